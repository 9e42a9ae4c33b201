"""From the start of the process to the first durable answer, import times, and memory of an idle instance."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.contenders.outlast import Outlast
from benchmarks.contenders.plain import Plain
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.memory import Memory, memory_of
from benchmarks.harness.processes import clean_environment, first_answer, stopping
from benchmarks.harness.rounds import Spread, interleaved
from benchmarks.harness.section import Section, Table

CALLS = 10_000
SETTLE_S = 3.0
IMPORTS = {
    "python (nothing)": "pass",
    "import outlast": "import outlast",
    "import outlast.host.instance (the whole host)": "import outlast.host.instance",
}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "cold_start",
        "Cold start and idle memory",
        "From the start of the process until the first call is answered, asked every millisecond. The "
        "database is there and migrated. The import lines are whole interpreters, from start to exit. "
        "Memory is that of `outlast serve`, a parent and its worker: RSS counts twice what they share, PSS "
        "once.",
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
    rounds = lab.rounds * 2
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
    idle, used = _memory(lab, outlast, url)
    memory = Table("MiB", ["", "RSS", "PSS"], [])
    for title, each in (("idle, after the first answer", idle), (f"after {CALLS:,} one-step calls", used)):
        memory.rows.append([title, f"{each.rss_mib:.1f}", f"{each.pss_mib:.1f}"])
        lab.say(f"{title}: PSS {each.pss_mib:.1f} MiB")
    section.tables += [table, memory]
    against = Spread.of([a / b for a, b in zip(starts["outlast"], starts["plain"], strict=True)])
    section.ratios.append(f"First durable answer: {against.text(2)}× the plain endpoint's start.")
    section.figures = {
        "first_answer_s": Spread.of([each / 1000 for each in starts["outlast"]]).record(),
        "idle_mib": Spread.of([idle.pss_mib]).record(),
    }
    section.raw = {"starts_ms": starts, "imports_ms": imports}
    return section


def _memory(lab: Lab, outlast: Outlast, url: str) -> tuple[Memory, Memory]:
    """Of an instance that has answered once, and of one that has answered many times."""
    with stopping(outlast.launch(lab, url)) as server:
        first_answer(server, outlast.call(1).request())
        time.sleep(SETTLE_S)
        idle = memory_of(server.pids())
        drive(server, outlast.call(1), 64, requests=CALLS)
        time.sleep(SETTLE_S)
        return idle, memory_of(server.pids())


def _import_ms(name: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS[name]], check=True, env=clean_environment())
    return (time.perf_counter() - began) * 1000
