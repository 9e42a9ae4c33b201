"""Steps whose outputs are large."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import interleaved, summary
from benchmarks.harness.section import Section, Table

SIZES = {"nothing": 0, "1 KB": 1_000, "100 KB": 100_000, "1 MB": 1_000_000}
CONNECTIONS = 16


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "payloads",
        "Large steps",
        f"One-step calls at {CONNECTIONS} connections; the step gives a text of that length, which is "
        f"recorded. The "
        "answer of the call is small.",
    )
    table = Table("Calls per second", ["a step's output", "calls/s", "MB/s recorded", "p50 ms", "p99 ms"], [])
    contender = lab.contenders["outlast"]
    with lab.serving("outlast") as server:

        def one(name: str) -> dict[str, Any]:
            call = contender.call(1, size=SIZES[name])
            return drive(server, call, CONNECTIONS, seconds=lab.seconds, warmup_s=lab.seconds / 4)

        runs = interleaved(list(SIZES), lab.rounds, one)
    for name, each in runs.items():
        spread = summary(each)
        recorded = spread["per_s"].median * SIZES[name] / 1e6
        table.rows.append(
            [
                name,
                spread["per_s"].text(),
                f"{recorded:,.1f}",
                spread["p50_ms"].text(),
                spread["p99_ms"].text(),
            ]
        )
        lab.say(f"{name}: {spread['per_s'].text()}/s")
        section.raw[name] = each
    small, large = (summary(runs[name])["per_s"].median for name in ("nothing", "1 KB"))
    section.ratios.append(f"A step of 1 KB runs at {large / small:.2f}× the rate of one of nothing.")
    section.tables.append(table)
    return section
