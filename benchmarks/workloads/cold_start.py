"""From the start of the process to the first durable answer, on a migrated database."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.contenders.outlast import Outlast
from benchmarks.contenders.plain import Plain
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import clean_environment, first_answer, stopping
from benchmarks.harness.rounds import Spread, interleaved
from benchmarks.harness.section import Section, Table

IMPORTS = {
    "python (nothing)": "pass",
    "import outlast": "import outlast",
    "import outlast.host.instance (the whole host)": "import outlast.host.instance",
}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "cold_start",
        "Cold start",
        "From the start of the process until the first call is answered, asked every millisecond. "
        "The database is there and migrated. The import lines are whole interpreters, from start to exit.",
    )
    outlast, plain = Outlast(), Plain()
    url = lab.database("cold")

    def start(name: str) -> float:
        began = time.perf_counter()
        server = outlast.launch(lab, url) if name == "outlast" else plain.launch(lab)
        with stopping(server):
            return (
                first_answer(server, (outlast if name == "outlast" else plain).call(1).request()) - began
            ) * 1000

    start("outlast")  # byte code is compiled and in the page cache
    rounds = lab.rounds * 3
    starts = interleaved(["outlast", "plain"], rounds, start)
    imports = interleaved(list(IMPORTS), rounds, _import_ms)
    table = Table("Milliseconds, median (least–most)", ["", "ms"], [])
    for name, title in (
        ("outlast", "Outlast, first durable answer"),
        ("plain", "Plain Starlette, first answer"),
    ):
        table.rows.append([title, Spread.of(starts[name]).text(0)])
        lab.say(f"{title}: {Spread.of(starts[name]).text(0)} ms")
    for name in IMPORTS:
        table.rows.append([name, Spread.of(imports[name]).text(0)])
    section.tables.append(table)
    against = Spread.of([a / b for a, b in zip(starts["outlast"], starts["plain"], strict=True)])
    section.ratios.append(f"First durable answer: {against.text(2)}× the plain endpoint's start.")
    section.raw = {"starts_ms": starts, "imports_ms": imports}
    return section


def _import_ms(name: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS[name]], check=True, env=clean_environment())
    return (time.perf_counter() - began) * 1000
