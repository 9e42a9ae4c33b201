"""Duplicates of calls that have ended, and calls that are only accepted (`Prefer: respond-async`)."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.database import value
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import cells, interleaved, ratio, summary
from benchmarks.harness.section import Section, Table

CONNECTIONS = (16, 64)
KEYS = 1_000
TITLES = {
    "new": "new one-step calls",
    "replayed": "duplicates, answered from what is stored",
    "accepted": "accepted with 202, run behind",
}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "accepting",
        "Duplicates, and calls that don't wait",
        f"Duplicates repeat {KEYS:,} keys whose workflows have ended. Accepted calls are answered when the "
        "start is committed; their one step and their end happen meanwhile and compete with the next calls.",
    )
    table = Table("Calls per second", ["connections", "", "calls/s", "p50 ms", "p99 ms"], [])
    outlast = Outlast()
    url = lab.database("accepting")
    with lab.serving("outlast", database=url) as server:
        drive(server, outlast.call(1), 64, requests=KEYS, keys=KEYS, key_prefix="same-")
        for connections in CONNECTIONS:

            def one(name: str, connections: int = connections) -> dict[str, Any]:
                same = name == "replayed"
                call = outlast.call_async("steps", {"n": 1}) if name == "accepted" else outlast.call(1)
                return drive(
                    server,
                    call,
                    connections,
                    seconds=lab.seconds,
                    warmup_s=lab.seconds / 4,
                    keys=KEYS if same else 0,
                    key_prefix="same-" if same else None,
                )

            runs = interleaved(list(TITLES), lab.rounds_few, one)
            for name, each in runs.items():
                table.rows.append([str(connections), TITLES[name], *cells(each)])
                lab.say(f"{connections} connections, {TITLES[name]}: {summary(each)['per_s'].text()}/s")
                section.raw[f"{name}@{connections}"] = each
            replayed, accepted = (ratio(runs, name, "new").text() for name in ("replayed", "accepted"))
            section.ratios.append(
                f"At {connections} connections duplicates are answered {replayed}× as fast as new calls, "
                f"accepted calls {accepted}×."
            )
    section.raw["rows"] = value(url, "select count(*) from outlast.workflow_status")
    section.tables.append(table)
    return section
