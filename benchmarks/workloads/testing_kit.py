"""The test kit: what a test that sleeps costs, and one that crashes everywhere; beside it a peer's tests."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contenders.dbos import sqlalchemy_url
from benchmarks.contenders.peers_venv import PYTHON, python_of_peers
from benchmarks.harness.apps import run_app
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Section, Table

ROWS = {
    "import_s": ("import of the kit", "s"),
    "sleep_ms": ("a test that sleeps 14 days", "ms"),
    "steps_ms": ("a test of 50 steps", "ms"),
    "crashes_s": ("50 steps, killed at each of their points and at pairs of them", "s"),
    "cpu_s": ("the same, processor time", "s"),
}
PEERS_ROWS = {
    "import_s": ("import", "s"),
    "reset_ms": ("what its page says to do between tests", "ms"),
    "sleep_ms": ("that, and a test that sleeps one second", "ms"),
    "steps_ms": ("that, and a test of 50 steps", "ms"),
}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "testing_kit",
        "The test kit",
        "No server and no database: `outlast.testing` in a process of its own. The import is that of the kit "
        "and all it needs, in a fresh interpreter; a test is a fixture made, used and closed: the median "
        "of 20. Beside it the same with DBOS, as its page on testing has it, over SQLite and over Postgres. "
        "It has no virtual time: a test of 14 days takes 14 days, so one second is waited for. Nothing in it "
        "kills a workflow at a point. Temporal's time-skipping server is no part of its package: the SDK "
        "downloads it from Temporal's own address when a test starts, and it was not measured.",
    )
    runs = [run_app("testing_kit") for _ in range(lab.rounds)]
    spreads = {name: Spread.of([run[name] for run in runs]) for name in ROWS}
    rows = [[what, f"{spreads[name].text()} {unit}"] for name, (what, unit) in ROWS.items()]
    for what, measured in rows:
        lab.say(f"{what}: {measured}")
    section.raw = {"kit": runs}
    section.figures = {name: spread.record() for name, spread in spreads.items()}
    section.ratios.append(
        f"A test that sleeps 14 days takes {spreads['sleep_ms'].text()} ms. {runs[-1]['crashes']:,} crashes "
        f"of a workflow of 50 steps take {spreads['crashes_s'].text(2)} s, the import "
        f"{spreads['import_s'].text(2)} s."
    )
    section.tables.append(Table("The test kit", ["", "measured"], rows))
    _measure_dbos(lab, section, spreads["steps_ms"])
    return section


def _measure_dbos(lab: Lab, section: Section, ours: Spread) -> None:
    why = python_of_peers()
    if why is not None:
        section.ratios.append(f"DBOS was not measured: {why}.")
        return
    found: dict[str, list[dict[str, Any]]] = {"SQLite": [], "Postgres": []}
    for number in range(lab.rounds_few):
        with tempfile.TemporaryDirectory() as folder:
            file = f"sqlite:///{Path(folder) / 'system.sqlite'}"
            found["SQLite"].append(run_app("dbos_testing", file, python=PYTHON))
        database = lab.database(f"dbos-testing-{number}", migrated=False)
        found["Postgres"].append(run_app("dbos_testing", sqlalchemy_url(database), python=PYTHON))
    spreads = {
        kind: {name: Spread.of([run[name] for run in runs]) for name in PEERS_ROWS}
        for kind, runs in found.items()
    }
    rows = [
        [what, *(f"{spreads[kind][name].text()} {unit}" for kind in found)]
        for name, (what, unit) in PEERS_ROWS.items()
    ]
    for what, *measured in rows:
        lab.say(f"DBOS: {what}: {', '.join(measured)}")
    section.raw |= {f"dbos over {kind}": runs for kind, runs in found.items()}
    section.tables.append(Table("A test with DBOS", ["", *(f"over {kind}" for kind in found)], rows))
    theirs = {kind: each["steps_ms"].text() for kind, each in spreads.items()}
    section.ratios.append(
        f"A test of 50 steps takes {ours.text()} ms; with DBOS {theirs['SQLite']} ms over SQLite and "
        f"{theirs['Postgres']} ms over Postgres."
    )
