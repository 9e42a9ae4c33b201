"""Steps whose outputs are large."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import cells, interleaved, ratio, summary
from benchmarks.harness.section import Section, Table

SIZES = {"nothing": 0, "1 KB": 1_000, "100 KB": 100_000, "1 MB": 1_000_000}
CONNECTIONS = 16


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "payloads",
        "Large steps",
        f"One-step calls at {CONNECTIONS} connections; the step gives a text of that length, which is "
        "recorded. The answer of the call is small.",
    )
    table = Table("Calls per second", ["a step's output", "calls/s", "MB/s recorded", "p50 ms", "p99 ms"], [])
    contender = lab.contenders["outlast"]
    with lab.serving("outlast") as server:

        def one(name: str) -> dict[str, Any]:
            call = contender.call(1, size=SIZES[name])
            return drive(server, call, CONNECTIONS, seconds=lab.seconds, warmup_s=lab.seconds / 4)

        runs = interleaved(list(SIZES), lab.rounds_few, one)
    for name, each in runs.items():
        per_s, *latencies = cells(each)
        recorded = summary(each)["per_s"].median * SIZES[name] / 1e6
        table.rows.append([name, per_s, f"{recorded:,.1f}", *latencies])
        lab.say(f"{name}: {per_s}/s")
        section.raw[name] = each
    section.ratios.append(
        f"A step of 1 KB runs at {ratio(runs, '1 KB', 'nothing').text()}× the rate of one of nothing, one of "
        f"100 KB at {ratio(runs, '100 KB', 'nothing').text()}×."
    )
    section.tables.append(table)
    return section
