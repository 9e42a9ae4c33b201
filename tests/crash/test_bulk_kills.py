"""A bulk over thousands whose hosts are killed at each block goes on: one act for each, and none twice.

Three ways to die take turns: right after a block's commit, in the middle of a block, and in the middle of one
whose connection is gone with it, so that the block is lost.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import psycopg
import pytest

from tests.crash.conftest import Query
from tests.hosts import Host, Hosts, until

FAILED = """
with failed as (
  insert into outlast.workflow_status
    (workflow_id, function, status, input, error, queue, queue_key, started_at, completed_at, created_at)
  select 'proof/single:' || n, 'proof/single', 'ERROR', json_build_object('key', n::text),
    '{"code": "workflow_error", "message": "boom", "steps": ["1"]}', 'later', '', now(), now(),
    now() - interval '1 hour' + n * interval '1 ms'
  from generate_series(1, %s) n returning workflow_id
)
insert into outlast.operation_outputs
  (workflow_id, step_id, name, kind, error, attempts, completion_order, called_after)
select workflow_id, '1', 'first', 'step',
  '{"code": "step_failed", "failure": {"type": "E", "message": "boom"}}', 1, 1, 0
from failed
"""
BEGIN = """
select workflow_id from outlast.bulk(
  'retry', '{"function": "proof/single", "status": "ERROR"}', rate => %s, expect => %s)
"""
IN_A_BLOCK = """
select pid from pg_stat_activity
where state = 'active' and query like '%%run_bulk%%' and pid <> pg_backend_pid()
  and datname = current_database()
"""
STANDS = "select place, done, refused, failed, over from outlast.bulks"
CAME = """
select
  (select count(*)::int from outlast.acts where verb = 'retry') as acts,
  (select count(distinct name)::int from outlast.acts where verb = 'retry') as of,
  (select count(*)::int from outlast.bulk_items where outcome = 'done') as items,
  (select count(*)::int from outlast.workflow_status
   where function = 'proof/single' and generation = 2) as retried,
  (select count(*)::int from outlast.operation_outputs where error is not null) as failures
"""


@pytest.fixture
def watching(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def killed_within(host: Host, watching: psycopg.Connection[Any], *, cut: bool) -> bool:
    """Kill it with all its processes once it is in a block; whether it was. With `cut` the block is lost."""

    def begun() -> int | None:
        row = watching.execute(IN_A_BLOCK).fetchone()
        return None if row is None else int(row[0])

    def over() -> bool:
        row = watching.execute("select bool_and(over) from outlast.bulks").fetchone()
        return row is not None and bool(row[0])

    pid = until(lambda: begun() or (-1 if over() else None), f"a block; {host.said()}")
    if pid > 0:
        host.kill()
        if cut:
            watching.execute("select pg_terminate_backend(%s)", (pid,))
        until(lambda: begun() is None, "the end of what the block began")
    return pid > 0


def kill_until_it_is_over(hosts: Hosts, query: Query, watching: psycopg.Connection[Any]) -> list[int]:
    """Where the bulk stood after each kill."""
    places: list[int] = []
    for way in cycle(("after", "within", "cut")):
        if query(STANDS)[0]["over"]:
            return places
        if way == "after":
            assert hosts.launch(crash_at="bulk.after_commit:1").ended() == -signal.SIGKILL
        elif not killed_within(host := hosts.launch(), watching, cut=way == "cut"):
            host.close()
        places.append(query(STANDS)[0]["place"])
    raise AssertionError


def retried_through_kills(
    hosts: Hosts, query: Query, watching: psycopg.Connection[Any], count: int, rate: int, kills: int
) -> None:
    """What failed is retried by hosts that die; it waits in a paused queue, then runs."""
    query("insert into outlast.queues (name) values ('later')")
    query("select outlast.pause_queue('later')")
    query(FAILED, count)
    query(BEGIN, rate, count)
    places = kill_until_it_is_over(hosts, query, watching)
    assert len(places) >= kills
    assert places == sorted(places)
    assert query(STANDS) == [{"place": count, "done": count, "refused": 0, "failed": 0, "over": True}]
    each = {"acts": count, "of": count, "items": count, "retried": count, "failures": 0}
    assert query(CAME) == [each]
    query("select outlast.resume_queue('later')")
    hosts.start()
    open_ones = """
        select 1 as open from outlast.workflow_status
        where function = 'proof/single' and status <> 'SUCCESS' limit 1
    """
    until(lambda: not query(open_ones), "the end of all that was retried", 60 + count / 500)
    seen = hosts.testimony()
    assert (len(seen), len(set(seen))) == (count, count)
    assert query(CAME) == [each]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_thousands_are_retried_once_each_though_hosts_die_at_each_block(
    hosts: Hosts, query: Query, watching: psycopg.Connection[Any]
) -> None:
    retried_through_kills(hosts, query, watching, count=2_000, rate=500, kills=20)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_are_retried_once_each_though_hosts_die_at_each_block(
    hosts: Hosts, query: Query, watching: psycopg.Connection[Any]
) -> None:
    retried_through_kills(hosts, query, watching, count=100_000, rate=10_000, kills=50)
