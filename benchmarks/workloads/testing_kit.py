"""The test kit: what a test that sleeps costs, and one that crashes everywhere."""

from __future__ import annotations

from benchmarks.harness.apps import run_app
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Section, Table

ROWS = {
    "import_s": ("import of the kit", "s"),
    "sleep_ms": ("a test that sleeps 14 days", "ms"),
    "crashes_s": ("50 steps, killed at each of their points and at pairs of them", "s"),
    "cpu_s": ("the same, processor time", "s"),
}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "testing_kit",
        "The test kit",
        "No server and no database: `outlast.testing` in a process of its own. The import is that of the kit "
        "and all it needs, in a fresh interpreter; the test is a fixture made, used and closed: the median "
        "of 20.",
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
    return section
