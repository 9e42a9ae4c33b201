"""Maps: items a second on one instance, what its memory grows by, and many children started at once."""

from __future__ import annotations

import time

from benchmarks.harness.database import select
from benchmarks.harness.driving import Call, drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.memory import memory_of
from benchmarks.harness.processes import BenchmarkError, Server
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Section, Table

LIMIT_S = 600.0
CONCURRENCY = 200
_ENDED = (
    "select status from outlast.workflow_status where function = 'mapped' order by created_at desc limit 1"
)


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "maps",
        "Maps",
        "Items of one step each, on one instance. A map goes over the rows of a query; its rate is from the "
        "call to the parent's end. The instance's memory (PSS) is looked at all the time. `start_all` starts "
        "children and the parent waits for all of their results.",
    )
    items = 2_000 if lab.quick else 100_000
    rates, grown = [], []
    url = lab.database("maps")
    with lab.serving("outlast", database=url) as server:
        _run(server, url, 500)
        before = memory_of(server.pids()).pss_mib
        for _ in range(1 if lab.quick else 2):
            began = time.perf_counter()
            most = _run(server, url, items)
            rates.append(items / (time.perf_counter() - began))
            grown.append(most - before)
    rate, memory = Spread.of(rates), Spread.of(grown)
    section.figures |= {"items_per_s": rate.record(), "memory_mib": memory.record()}
    rows = [[f"map of {items:,}, `concurrency={CONCURRENCY}`", rate.text(), memory.text()]]
    for count in (1_000,) if lab.quick else (1_000, 10_000):
        of_many = Spread.of([_many(lab, count) for _ in range(lab.rounds_few)])
        section.figures[f"children_{count}_per_s"] = of_many.record()
        rows.append([f"`start_all` of {count:,}, all results", of_many.text(), ""])
    section.tables.append(Table("One instance", ["", "items/s", "memory, MiB more"], rows))
    section.ratios.append(
        f"A map of {items:,} items of one step runs {rate.text()} of them a second, and its instance takes "
        f"at most {memory.text()} MiB more than before."
    )
    for row in rows:
        lab.say(" | ".join(row))
    return section


def _run(server: Server, url: str, items: int) -> float:
    """Run a map to its end; the most memory meanwhile, in MiB."""
    body = {"items": items, "concurrency": CONCURRENCY}
    drive(server, Call("/functions/v1/mapped", body, {"Prefer": "respond-async"}, status=202), 1, requests=1)
    ends, most = time.monotonic() + LIMIT_S, 0.0
    while (status := select(url, _ENDED)[0][0]) == "PENDING":
        most = max(most, memory_of(server.pids()).pss_mib)
        if time.monotonic() > ends:
            raise BenchmarkError(f"a map of {items} items has not ended in {LIMIT_S:.0f} s")
        time.sleep(0.1)
    if status != "SUCCESS":
        raise BenchmarkError(f"a map of {items} items ended as {status}")
    return max(most, memory_of(server.pids()).pss_mib)


def _many(lab: Lab, count: int) -> float:
    with lab.serving("outlast", database=lab.database("many")) as server:
        began = time.perf_counter()
        drive(server, Call("/functions/v1/mapped/many", {"items": count}), 1, requests=1)
        return count / (time.perf_counter() - began)
