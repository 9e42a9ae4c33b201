"""The engine without HTTP: recorded steps per second, beside the driver's own batched inserts."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.apps import run_app
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import Spread, interleaved, ratio
from benchmarks.harness.section import Section, Table

TITLES = {
    "steps": "the engine, recorded steps",
    "executemany": "psycopg's own batching: `executemany`, 256 rows a commit",
    "json": "the fastest way known: one JSON document a batch of 256, one commit each",
}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "engine_alone",
        "The engine alone",
        "One process, no HTTP: 256 workflows at a time record one step after another, 40 each, with their "
        "starts and ends. Beside it the driver inserts rows of the same shape into the same table in "
        "batches of 256, one commit a batch, with nothing around them.",
    )
    urls = {name: lab.database(f"alone_{name}") for name in TITLES}

    def one(name: str) -> dict[str, Any]:
        return run_app("engine_alone", urls[name], name, str(max(2.0, lab.seconds)))

    runs = interleaved(list(TITLES), lab.rounds, one)
    table = Table("Rows per second", ["", "rows/s"], [])
    for name, each in runs.items():
        spread = Spread.of([run["per_s"] for run in each])
        table.rows.append([TITLES[name], spread.text()])
        lab.say(f"{TITLES[name]}: {spread.text()}/s")
        section.raw[name] = each
    own, fastest = ratio(runs, "steps", "executemany"), ratio(runs, "steps", "json")
    section.figures = {"to_executemany": own.record(), "to_json": fastest.record()}
    section.ratios.append(
        f"The engine records steps at {own.text(2)}× the rate of psycopg's `executemany`, and at "
        f"{fastest.text(2)}× that of one JSON document a batch, the fastest way known."
    )
    section.tables.append(table)
    return section
