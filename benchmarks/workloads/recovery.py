"""After `kill -9` of a host with thousands of pending workflows: how soon the next one has ended them all."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.contenders.dbos import Dbos
from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.database import value
from benchmarks.harness.driving import Call, drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import BenchmarkError, Server, first_answer, stopping
from benchmarks.harness.section import Section, Table

LIMIT_S = 300.0
DBOS = "DBOS (sync, one core)"
HOLD = {"BENCH_HOLD": "1"}
_OURS = "select count(*) from outlast.workflow_status where status = 'PENDING'"
_OUR_STEPS = "select count(*) from outlast.operation_outputs"
_THEIRS = "select count(*) from dbos.workflow_status where status = 'PENDING'"
_THEIR_STEPS = "select count(*) from dbos.operation_outputs"


def measure(lab: Lab) -> Section:
    """Run it."""
    count = 1_000 if lab.quick else 10_000
    peers = 100 if lab.quick else 1_000
    section = Section(
        "recovery",
        "Recovery",
        f"{count:,} workflows of three steps have recorded their first step and hang in the second when "
        "their host is killed with SIGKILL. A new host is started at once; time runs from the start of its "
        f"process to the last end. It serves other calls meanwhile. DBOS gets {peers:,} workflows, since "
        "it holds each in a thread, and one core, on which it is faster; rates of unlike counts are only "
        "roughly comparable.",
    )
    table = Table("", ["", "workflows", "first answer s", "all ended s", "workflows/s"], [])
    outlast = Outlast()
    url = lab.database("recovery")
    roomy = {**HOLD, "OUTLAST_WORKFLOWS_MAX": str(2 * count)}

    def ours(env: dict[str, str] | None) -> Server:
        return outlast.launch(lab, url, env)

    async_call = outlast.call_async("steps", {"n": 3})
    rows = {"Outlast": _one(lab, ours, roomy, outlast.call(1), async_call, count, url, _OURS, _OUR_STEPS)}
    if lab.present("dbos-sync-pinned"):
        dbos = Dbos("sync", pinned=True)
        their_url = lab.database("dbos_recovery", migrated=False)

        def theirs(env: dict[str, str] | None) -> Server:
            return dbos.launch(lab, their_url, env)

        call = dbos.call_async({"n": 3})
        rows[DBOS] = _one(lab, theirs, HOLD, dbos.call(1), call, peers, their_url, _THEIRS, _THEIR_STEPS)
    for title, (workflows, answer_s, ended_s) in rows.items():
        table.rows.append(
            [title, f"{workflows:,}", f"{answer_s:.2f}", f"{ended_s:.1f}", f"{workflows / ended_s:,.0f}"]
        )
        lab.say(
            f"{title}: {workflows:,} recovered {ended_s:.1f} s after the start, first answer {answer_s:.2f} s"
        )
    section.tables.append(table)
    rates = {title: workflows / ended_s for title, (workflows, _, ended_s) in rows.items()}
    against = f", {rates['Outlast'] / rates[DBOS]:.0f}× DBOS's" if DBOS in rates else ""
    section.ratios.append(
        f"{rates['Outlast']:,.0f} workflows/s are recovered, the process's start included{against}."
    )
    section.raw = {title: list(row) for title, row in rows.items()}
    return section


def _one(
    lab: Lab,
    launch: Callable[[dict[str, str] | None], Server],
    holding: dict[str, str],
    probe: Call,
    call: Call,
    count: int,
    url: str,
    pending: str,
    recorded: str,
) -> tuple[int, float, float]:
    """Workflows, seconds to the first answer, seconds to the last end."""
    free = Call(probe.path, {**probe.body, "n": 0}, probe.headers)
    with stopping(launch(holding)) as server:
        first_answer(server, free.request())
        drive(server, call, 16, requests=count)
        _until(lambda: int(value(url, recorded)) >= count, "the first steps were not recorded in time")
        server.kill()
    assert int(value(url, pending)) == count
    began = time.perf_counter()
    with stopping(launch(None)) as server:
        answered = first_answer(server, free.request())
        _until(lambda: int(value(url, pending)) == 0, f"not all had ended after {LIMIT_S:.0f} s")
        return count, answered - began, time.perf_counter() - began


def _until(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.perf_counter() + LIMIT_S
    while not condition():
        if time.perf_counter() > deadline:
            raise BenchmarkError(failure)
        time.sleep(0.1)
