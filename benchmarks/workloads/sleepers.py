"""A million suspended workflows: what they cost at rest, and how soon those that are due are claimed."""

from __future__ import annotations

import time

from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.database import run, value
from benchmarks.harness.lab import Lab
from benchmarks.harness.memory import cpu_s, memory_of
from benchmarks.harness.plans import execution_ms
from benchmarks.harness.processes import BenchmarkError, Server, first_answer, stopping
from benchmarks.harness.section import Section, Table

IDLE_S = 10.0
LIMIT_S = 300.0

# As the API leaves a workflow that sleeps for a day: one recorded step, one recorded sleep.
_WORKFLOWS = """
insert into outlast.workflow_status (
  workflow_id, function, status, input, request, idempotency_key, fingerprint, version, epoch, claimable_at,
  nonce, started_at
)
select 'sleeper:' || n, 'sleeper', 'PENDING', '{}', '{"method":"POST","path":"","query":"","headers":[]}',
  n::text,
  md5(n::text), 'v1', 1, now() + interval '1 day' + n * interval '1 ms', n, now()
from generate_series(1, %s) n
"""
_STEPS = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, completion_order, nonce, started_at
)
select 'sleeper:' || n, '1', 'note', '"before"', 1, n, now() from generate_series(1, %s) n
"""
_SLEEPS = """
insert into outlast.operation_outputs (workflow_id, step_id, name, output, nonce, started_at)
select 'sleeper:' || n, '2', 'sleep', to_json(extract(epoch from now())::float8 + 86400), n, now()
from generate_series(1, %s) n
"""
_DUE = """
with due as (
  update outlast.workflow_status set claimable_at = now()
  where workflow_id in (select 'sleeper:' || n from generate_series(1, %s) n) returning workflow_id
)
update outlast.operation_outputs o set output = to_json(extract(epoch from now())::float8)
from due where o.workflow_id = due.workflow_id and o.step_id = '2'
"""
_ENDED = "select count(*) from outlast.workflow_status where status = 'SUCCESS' and function = 'sleeper'"


def measure(lab: Lab) -> Section:
    """Run it."""
    count = 50_000 if lab.quick else 1_000_000
    due = 1_000 if lab.quick else 10_000
    section = Section(
        "sleepers",
        f"{count:,} suspended workflows",
        "The rows are inserted by SQL as the engine leaves them (a recorded step, a recorded sleep). "
        "Then an instance "
        f"starts beside them and rests for {IDLE_S:.0f} s; then {due:,} of them are made due at once.",
    )
    outlast = Outlast()
    url = lab.database("sleepers")
    alone = _rest(lab, outlast, url)
    began = time.perf_counter()
    for statement in (_WORKFLOWS, _STEPS, _SLEEPS):
        run(url, statement, count)
    inserted_s = time.perf_counter() - began
    run(url, "analyze")
    lab.say(f"{count:,} sleepers inserted in {inserted_s:.0f} s")
    beside = _rest(lab, outlast, url)
    index_bytes = int(value(url, "select pg_relation_size('outlast.workflow_status_claimable')"))
    tick_ms = execution_ms(url, "claim", functions=["sleeper", "steps"], room=200)
    with stopping(outlast.launch(lab, url)) as server:
        first_answer(server, outlast.call(1).request())
        woken_s = _wake(url, due)
    table = Table("", ["", "nothing suspended", f"{count:,} suspended"], [])
    for title, index in (("memory of the instance, RSS MiB", 0), ("its processor time at rest, %", 1)):
        table.rows.append([title, f"{alone[index]:.1f}", f"{beside[index]:.1f}"])
    section.tables.append(table)
    section.ratios += [
        f"{count:,} sleepers add {beside[0] - alone[0]:.1f} MiB to an instance and "
        f"{beside[1] - alone[1]:+.2f} % of a core; seeing that none is due takes the database "
        f"{tick_ms:.2f} ms.",
        f"{due:,} that fall due at once are claimed, replayed, run and ended within {woken_s:.1f} s "
        f"({due / woken_s:,.0f}/s); the index of wake times takes {index_bytes / count:.0f} bytes a "
        f"sleeper.",
    ]
    section.raw = {
        "count": count,
        "insert_s": inserted_s,
        "idle_alone": alone,
        "idle_beside": beside,
        "claim_none_ms": tick_ms,
        "due": due,
        "woken_s": woken_s,
    }
    return section


def _rest(lab: Lab, outlast: Outlast, url: str) -> tuple[float, float]:
    """RSS in MiB and percent of a core of an instance that has nothing to do."""
    with stopping(outlast.launch(lab, url)) as server:
        first_answer(server, outlast.call(1).request())
        time.sleep(2.0)
        return memory_of(server.pids()).rss_mb, _idle_percent(server)


def _idle_percent(server: Server) -> float:
    before = cpu_s(server.pids())
    time.sleep(IDLE_S)
    return (cpu_s(server.pids()) - before) / IDLE_S * 100


def _wake(url: str, due: int) -> float:
    run(url, _DUE, due)
    began = time.perf_counter()
    while int(value(url, _ENDED)) < due:
        if time.perf_counter() - began > LIMIT_S:
            raise BenchmarkError("the sleepers that were due have not ended in time")
        time.sleep(0.1)
    return time.perf_counter() - began
