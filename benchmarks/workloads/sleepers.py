"""A million suspended workflows: how fast they suspend, what they cost, how soon those due are claimed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.database import run, value
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.memory import cpu_s, memory_of
from benchmarks.harness.plans import execution_ms
from benchmarks.harness.processes import BenchmarkError, Server, first_answer, stopping
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Chart, Section, Table

SETTLE_S = 3.0
IDLE_S = 10.0
LIMIT_S = 300.0
BATCH = 200
"""How many are claimed at a time, by default."""

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
  where workflow_id in (select 'sleeper:' || n from generate_series(%s::int, %s::int) n) returning workflow_id
)
update outlast.operation_outputs o set output = to_json(extract(epoch from now())::float8)
from due where o.workflow_id = due.workflow_id and o.step_id = '2'
"""
# Both read small partial indexes, so that looking costs those who are watched little.
_SUSPENDED = "select count(*) from outlast.workflow_status where owner is null and claimable_at > now()"
_LEFT = """
select
  (select count(*) from outlast.workflow_status where owner is null and claimable_at <= now()),
  (select count(*) from outlast.workflow_status where owner is not null)
"""


@dataclass(frozen=True)
class Rest:
    """An instance with nothing to do: memory, and percent of a core."""

    rss_mib: float
    percent: float


@dataclass(frozen=True)
class Woken:
    """Seconds since the sleepers fell due; the rate between the first claim that was seen and the last."""

    claimed_s: float
    ended_s: float
    claimed_per_s: float


def measure(lab: Lab) -> Section:
    """Run it."""
    by_http, count, due, times = (2_000, 50_000, 1_000, 1) if lab.quick else (50_000, 1_000_000, 10_000, 3)
    section = Section(
        "sleepers",
        f"{count:,} suspended workflows",
        f"First {by_http:,} workflows are started over HTTP (`Prefer: respond-async`, 64 connections), "
        "record a step and suspend for a day. Then rows are inserted by SQL as the engine leaves them (a "
        f"recorded step, a recorded sleep), {count:,} of them. A new instance beside them rests for "
        f"{IDLE_S:.0f} s; then {due:,} are made due at once. Claiming keeps pace with running: an instance "
        "claims when it has room for more.",
    )
    outlast, url = Outlast(), lab.database("sleepers")
    idle_ms = _claim_ms(url)
    alone, suspended_per_s, after_mib = _suspend(lab, outlast, url, by_http)
    for statement in (_WORKFLOWS, _STEPS, _SLEEPS):
        run(url, statement, count)
    run(url, "vacuum analyze")
    lab.say(f"{count:,} sleepers inserted")
    index_bytes = value(url, "select pg_relation_size('outlast.workflow_status_claimable')") / (
        count + by_http
    )
    none_due_ms = _claim_ms(url)
    with stopping(outlast.launch(lab, url)) as server:
        first_answer(server, outlast.call(1).request())
        beside = _rest(server)
        woken = [_wake(url, due, n * due) for n in range(times)]
    run(url, _DUE, times * due + 1, (times + 1) * due)
    batch_ms = _claim_ms(url)
    grown = beside.rss_mib - alone.rss_mib
    claims = Spread.of([each.claimed_per_s for each in woken])
    ends = Spread.of([due / each.ended_s for each in woken])
    section.figures = {"memory_mib": Spread.of([grown]).record(), "claimed_per_s": claims.record()}
    section.ratios += [
        f"{suspended_per_s:,.0f} workflows/s start, record a step and suspend; having suspended {by_http:,}, "
        f"the instance holds {after_mib - alone.rss_mib:+.1f} MiB.",
        f"{count:,} sleepers change an instance by {grown:+.1f} MiB and by "
        f"{beside.percent - alone.percent:+.2f} % of a core. The index of wake times takes {index_bytes:.0f} "
        "bytes a sleeper.",
        f"{due:,} that fall due at once are claimed at {claims.text()}/s, while those claimed before them "
        f"are replayed and run; all have ended at {ends.text()}/s, the wait for the next look at the table "
        "included.",
    ]
    section.tables = [_table(count, alone, beside), _statements(count, due, idle_ms, none_due_ms, batch_ms)]
    labels = ["nothing suspended", f"having suspended {by_http:,}", f"beside {count:,} suspended"]
    memory: list[float | None] = [alone.rss_mib, after_mib, beside.rss_mib]
    section.charts.append(Chart("sleepers.svg", "Memory of an instance", "MiB, RSS", labels, {"": memory}))
    section.raw = {"suspended_per_s": suspended_per_s, "woken": [vars(each) for each in woken]}
    return section


def _table(count: int, alone: Rest, beside: Rest) -> Table:
    return Table(
        "An instance at rest",
        ["", "nothing suspended", f"{count:,} suspended"],
        [
            ["memory, RSS MiB", f"{alone.rss_mib:.1f}", f"{beside.rss_mib:.1f}"],
            ["processor time, % of a core", f"{alone.percent:.2f}", f"{beside.percent:.2f}"],
        ],
    )


def _statements(count: int, due: int, idle_ms: float, none_due_ms: float, batch_ms: float) -> Table:
    return Table(
        f"The statement of a tick, that claims up to {BATCH} at a time",
        ["", "ms of the database"],
        [
            ["nothing suspended", f"{idle_ms:.2f}"],
            [f"{count:,} suspended, none due", f"{none_due_ms:.2f}"],
            [f"{count:,} suspended, {due:,} due", f"{batch_ms:.2f}"],
        ],
    )


def _suspend(lab: Lab, outlast: Outlast, url: str, count: int) -> tuple[Rest, float, float]:
    """An instance at rest; workflows a second that start, record a step and suspend; memory after them."""
    with stopping(outlast.launch(lab, url)) as server:
        first_answer(server, outlast.call(1).request())
        alone = _rest(server)
        began = time.perf_counter()
        drive(server, outlast.call_async("sleeper", {}), 64, requests=count)
        while value(url, _SUSPENDED) < count:
            if time.perf_counter() - began > LIMIT_S:
                raise BenchmarkError("not all workflows were suspended in time")
            time.sleep(0.1)
        per_s = count / (time.perf_counter() - began)
        lab.say(f"{count:,} workflows suspended at {per_s:,.0f}/s")
        time.sleep(SETTLE_S)
        return alone, per_s, memory_of(server.pids()).rss_mib


def _claim_ms(url: str) -> float:
    """Of the database, for what an instance with room for a batch asks at each tick; rolled back."""
    return execution_ms(url, "claim", functions=["sleeper", "steps"], room=BATCH)


def _rest(server: Server) -> Rest:
    time.sleep(SETTLE_S)
    before = cpu_s(server.pids())
    time.sleep(IDLE_S)
    return Rest(memory_of(server.pids()).rss_mib, (cpu_s(server.pids()) - before) / IDLE_S * 100)


def _wake(url: str, due: int, after: int) -> Woken:
    """Make `due` sleepers due and watch them."""
    run(url, _DUE, after + 1, after + due)
    began = time.perf_counter()
    first: tuple[float, int] | None = None
    claimed_s = claimed_per_s = 0.0
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            claimable, running = connection.execute(_LEFT).fetchone() or (0, 0)
            elapsed = time.perf_counter() - began
            if first is None and claimable < due:
                first = (elapsed, claimable)
            if not claimed_s and first and not claimable:
                claimed_s, claimed_per_s = elapsed, first[1] / max(elapsed - first[0], 1e-3)
            if claimed_s and not running:
                return Woken(claimed_s, elapsed, claimed_per_s)
            if elapsed > LIMIT_S:
                raise BenchmarkError("the sleepers that were due have not ended in time")
            time.sleep(0.02)
