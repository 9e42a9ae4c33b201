"""Queues: how soon what enters an idle one runs, how fast a long one is worked off, what a decision costs."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

import psycopg

from benchmarks.contenders.dbos import sqlalchemy_url
from benchmarks.contenders.peers_venv import PYTHON, python_of_peers
from benchmarks.harness.apps import run_app
from benchmarks.harness.database import run, select
from benchmarks.harness.driving import Call, drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import BenchmarkError
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Section, Table

LIMIT_S = 300.0
INSTANCES = 4
_WAYS = {
    "steps": "no queue: started by SQL, claimed when due",
    "queued": "a queue without limits",
    "bounded": "a queue with `concurrency=100`",
    "wide": "a queue with `concurrency=400`",
}
_ENQUEUE = """
insert into outlast.workflow_status
  (workflow_id, function, status, input, queue, queue_key, claimable_at, rank, load_bytes)
select %s || ':' || i, %s, 'ENQUEUED', '{"n": 1}', %s, '', now(), now() + i * interval '1 us', 40
from generate_series(1, %s) i
"""
_QUEUES = {"steps": None, "queued": "free", "bounded": "limited", "wide": "wider"}
_LIMITS = {"limited": 100, "wider": 400}
_LEFT = "select count(*) from outlast.workflow_status where status in ('ENQUEUED', 'PENDING')"
_TOOK = """
select extract(epoch from max(completed_at) - min(started_at))::float8 from outlast.workflow_status
where function = %s and load_bytes = 40  -- not the calls that show that a server answers
"""
_WAITED = """
select extract(epoch from started_at - created_at)::float8 * 1000 from outlast.workflow_status
where function = 'queued' and idempotency_key like %s order by 1
"""
_MILLION = """
insert into outlast.workflow_status
  (workflow_id, function, status, input, queue, queue_key, claimable_at, created_at, rank, load_bytes)
select
  -- As that of a call without a key: those that came one after the other stand next to each other.
  'by_key:' || (lpad(to_hex(1795000000000 + i), 12, '0') || '7' || substr(md5(i::text), 14))::uuid, 'by_key',
  'ENQUEUED', '{}', 'keyed', 'k' || lpad((i %% 10000)::text, 5, '0'), now(),
  now() + i * interval '1 us', now() + i * interval '1 us', 40
from generate_series(1, %s) i
"""
_DECIDE = """
select cardinality(claimed) from outlast.claim_queue(
  'keyed', 'bench', array['by_key'], 200, 1, 3, 1000000000, true, 65536, 1000000000, true)
"""


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "queues",
        "Queues",
        "Workflows of one step. A long queue is filled in one transaction while its instances wait, and is "
        "worked off; its rate is that from the first start to the last end. Beside it DBOS's queue in one "
        "process, filled by its client and polled each 20 ms.",
    )
    peers = python_of_peers() is None
    _measure_drains(lab, section, peers=peers)
    _measure_waits(lab, section)
    if not peers:
        section.ratios.append("DBOS was not measured: its environment is missing.")
    _measure_decisions(lab, section)
    _measure_debounce(lab, section)
    return section


def _measure_drains(lab: Lab, section: Section, *, peers: bool) -> None:
    count = 2_000 if lab.quick else 20_000
    runs: dict[str, list[float]] = {}
    theirs: list[dict[str, Any]] = []
    for _ in range(lab.rounds_few):
        for function in _WAYS:
            for instances in (1, INSTANCES):
                rate = _drain(lab, function, count, instances)
                runs.setdefault(f"{function}-{instances}", []).append(rate)
        if peers:
            url = sqlalchemy_url(lab.database("dbos_queues", migrated=False))
            theirs.append(run_app("dbos_queues", url, str(count // 20), python=PYTHON))
    table = Table("A long queue is worked off, workflows/s", ["", "1 instance", f"{INSTANCES} instances"], [])
    for function, title in _WAYS.items():
        cells = [Spread.of(runs[f"{function}-{each}"]).text() for each in (1, INSTANCES)]
        table.rows.append([title, *cells])
        lab.say(f"{title}: {' | '.join(cells)}/s")
    kept = _ratio(runs, "queued-1", "steps-1")
    of_four, of_wide = (_ratio(runs, f"{each}-4", "queued-4") for each in ("bounded", "wide"))
    section.figures["queued_of_unqueued"] = kept.record()
    section.figures["limited_of_unlimited_on_4"] = of_four.record()
    section.figures["wide_of_unlimited_on_4"] = of_wide.record()
    section.ratios.append(
        f"A queue is worked off at {kept.text(2)} of the rate without one. With a limit of all together "
        f"{INSTANCES} instances keep {of_wide.text(2)} of theirs without it where the limit is 400, and "
        f"{of_four.text(2)} where it is 100: so few places are what bounds them then, as each is held from "
        "the claim to the commit of the end."
    )
    if theirs:
        spread = Spread.of([each["per_s"]["limited"] for each in theirs])
        table.rows.append(["DBOS, `global_concurrency=100`", spread.text(), ""])
        free = Spread.of([each["per_s"]["free"] for each in theirs])
        table.rows.append(["DBOS, without limits", free.text(), ""])
        times = Spread.of(
            [ours / each["per_s"]["limited"] for ours, each in zip(runs["bounded-1"], theirs, strict=True)]
        )
        section.figures["times_dbos"] = times.record()
        section.ratios.append(f"That of one instance is {times.text()} times DBOS's, each with a limit.")
        section.raw["dbos"] = theirs
    section.tables.append(table)
    section.raw["drains"] = runs


def _drain(lab: Lab, function: str, count: int, instances: int) -> float:
    url = lab.database(f"drain_{function}")
    with psycopg.connect(url, autocommit=True) as connection:
        queue = _QUEUES[function]
        name = function if queue is None else f"queued/{function}" if function != "queued" else function
        if queue is not None:
            options = json.dumps({"concurrency": _LIMITS[queue]} if queue in _LIMITS else {})
            connection.execute("insert into outlast.queues (name, base) values (%s, %s)", (queue, options))
        with ExitStack() as stack:
            for _ in range(instances):
                stack.enter_context(lab.serving("outlast", database=url, warm=False))
            with connection.transaction():
                connection.execute(_ENQUEUE, (name, name, queue, count))
                if queue is None:
                    connection.execute("update outlast.workflow_status set rank = null")
                connection.execute("analyze outlast.workflow_status")
            _until(connection, f"{_LEFT} and function = '{name}'", 0)
            ((took_s,),) = connection.execute(_TOOK, (name,)).fetchall()
    return count / float(took_s)


def _until(connection: psycopg.Connection[Any], query: str, value: int) -> None:
    ends = time.monotonic() + LIMIT_S
    while connection.execute(query.encode()).fetchall() != [(value,)]:
        if time.monotonic() > ends:
            raise BenchmarkError(f"it has not come to {value} in {LIMIT_S:.0f} s: {query}")
        time.sleep(0.1)


def _ratio(runs: dict[str, list[float]], left: str, right: str) -> Spread:
    return Spread.of([a / b for a, b in zip(runs[left], runs[right], strict=True)])


def _measure_waits(lab: Lab, section: Section) -> None:
    count = 30 if lab.quick else 100
    url = lab.database("queue_waits")
    with lab.serving("outlast", database=url, env={"OUTLAST_DB_SESSIONS": "true"}) as server:
        call = Call("/functions/v1/queued", {"n": 1})
        drive(server, call, 1, requests=50)
        run(url, "update outlast.workflow_status set idempotency_key = 'http-' || workflow_id"
            " where function = 'queued'")  # fmt: skip
        with psycopg.connect(url, autocommit=True) as connection:
            for number in range(count):
                connection.execute("select outlast.start('queued', '{\"n\": 1}', %s)", (f"sql-{number}",))
                time.sleep(0.03 + 0.003 * (number % 17))
            _until(connection, _LEFT, 0)
    table = Table("From an idle queue to running", ["", "p50 ms", "p99 ms"], [])
    medians: dict[str, float] = {}
    for name, title in (("http", "called on the same instance"), ("sql", "started by SQL")):
        waited = [float(ms) for (ms,) in select(url, _WAITED.replace("%s", f"'{name}-%'"))]
        medians[name] = waited[len(waited) // 2]
        table.rows.append([title, f"{medians[name]:.1f}", f"{waited[int(len(waited) * 0.99)]:.1f}"])
        section.figures[f"wait_{name}_ms"] = Spread.of([medians[name]]).record()
    section.ratios.append(
        f"What enters an idle queue runs after {medians['http']:.1f} ms on the same instance, "
        f"after {medians['sql']:.1f} ms from SQL (medians)."
    )
    if theirs := section.raw.get("dbos"):
        waited = sorted(ms for each in theirs for ms in each["waited_ms"])
        median = waited[len(waited) // 2]
        table.rows.append(["DBOS, polling each 20 ms", f"{median:.1f}", f"{waited[-1]:.1f}"])
        section.ratios.append(f"DBOS's takes {median / medians['http']:.0f} times as long.")
    for row in table.rows:
        lab.say(" | ".join(row))
    section.tables.append(table)


def _measure_decisions(lab: Lab, section: Section) -> None:
    count = 50_000 if lab.quick else 1_000_000
    url = lab.database("queue_million")
    took: list[float] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "insert into outlast.queues (name, base, count_at) values"
            " ('keyed', '{\"key\": \"key\", \"per_key\": 5}', 'infinity')"
        )
        connection.execute(_MILLION, (count,))
        # What the load left to do is done before anything is measured: hint bits, statistics, dirty pages.
        connection.execute("vacuum analyze outlast.workflow_status")
        connection.execute("checkpoint")
        for _ in range(20):
            began = time.perf_counter()
            assert connection.execute(_DECIDE).fetchall() == [(200,)]
            took.append((time.perf_counter() - began) * 1000)
    spread = Spread.of(took[3:])
    section.figures["decision_ms"] = spread.record()
    section.ratios.append(
        f"With {count:,} waiting over 10,000 keys, written to disk before, a decision that starts 200 takes "
        f"{spread.text()} ms of the database."
    )
    lab.say(section.ratios[-1])


def _measure_debounce(lab: Lab, section: Section) -> None:
    count = 1_000 if lab.quick else 10_000
    url = lab.database("queue_debounce")
    with lab.serving("outlast", database=url) as server:
        call = Call("/functions/v1/queued/last", {"key": "k"}, {"Prefer": "respond-async"}, status=202)
        began = time.perf_counter()
        drive(server, call, 16, requests=count)
        took = time.perf_counter() - began
        with psycopg.connect(url, autocommit=True) as connection:
            _until(connection, _LEFT, 0)
        ((ran,),) = select(url, "select count(*) from outlast.workflow_status where function = 'queued/last'")
    section.figures["debounced_per_s"] = Spread.of([count / took]).record()
    section.ratios.append(
        f"{count:,} debounced calls of one key, 16 at once, take {took:.1f} s ({count / took:,.0f}/s) "
        f"and make {ran} workflow{'' if ran == 1 else 's'}."
    )
    lab.say(section.ratios[-1])
