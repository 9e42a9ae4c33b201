"""Memory of an instance at rest, and with many suspended workflows."""

from __future__ import annotations

import time

from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.database import value
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.memory import Memory, memory_of
from benchmarks.harness.processes import BenchmarkError, first_answer, stopping
from benchmarks.harness.section import Section, Table

SETTLE_S = 3.0


def measure(lab: Lab) -> Section:
    """Run it."""
    suspended = 5_000 if lab.quick else 100_000
    section = Section(
        "memory",
        "Memory",
        f"Of the one process of `outlast serve`. The {suspended:,} suspended workflows were each started "
        "through the HTTP API (`Prefer: respond-async`), recorded a step, and sleep for a day. RSS counts "
        "shared pages in full; PSS divides them among the processes that share them.",
    )
    outlast = Outlast()
    url = lab.database("memory")
    rows: list[tuple[str, Memory]] = []
    with stopping(outlast.launch(lab, url)) as server:
        first_answer(server, outlast.call(1).request())
        time.sleep(SETTLE_S)
        rows.append(("after the first answer", memory_of(server.pids())))
        drive(server, outlast.call(1), 64, requests=suspended // 10)
        time.sleep(SETTLE_S)
        rows.append((f"after {suspended // 10:,} one-step calls at 64 connections", memory_of(server.pids())))
        accepted = drive(server, outlast.call_async("sleeper", {}), 64, requests=suspended)
        lab.say(f"{suspended:,} sleepers accepted at {accepted['per_s']:,.0f}/s")
        _wait_until_suspended(url, suspended)
        time.sleep(SETTLE_S)
        rows.append((f"with {suspended:,} suspended workflows", memory_of(server.pids())))
    with stopping(outlast.launch(lab, url)) as server:
        first_answer(server, outlast.call(1).request())
        time.sleep(SETTLE_S)
        rows.append((f"started anew beside {suspended:,} suspended workflows", memory_of(server.pids())))
    table = Table("MiB", ["", "RSS", "PSS"], [])
    for title, memory in rows:
        table.rows.append([title, f"{memory.rss_mb:.1f}", f"{memory.pss_mb:.1f}"])
        lab.say(f"{title}: RSS {memory.rss_mb:.1f}, PSS {memory.pss_mb:.1f} MiB")
    disk = int(value(url, "select pg_total_relation_size('outlast.workflow_status')"))
    disk += int(value(url, "select pg_total_relation_size('outlast.operation_outputs')"))
    grown = rows[3][1].rss_mb - rows[0][1].rss_mb
    section.ratios.append(
        f"{suspended:,} suspended workflows change the memory of an instance started beside them by "
        f"{grown:+.1f} MiB; each takes {disk / suspended:,.0f} bytes of disk with its step, indexes and dead "
        "rows."
    )
    section.tables.append(table)
    section.raw = {
        "rows": [[title, memory.rss_mb, memory.pss_mb] for title, memory in rows],
        "suspended": suspended,
        "accepted_per_s": accepted["per_s"],
        "table_bytes": disk,
    }
    return section


def _wait_until_suspended(url: str, count: int) -> None:
    deadline = time.perf_counter() + 120
    while time.perf_counter() < deadline:
        if value(url, "select count(*) from outlast.workflow_status where claimable_at > now()") >= count:
            return
        time.sleep(0.5)
    raise BenchmarkError("not all workflows were suspended in time")
