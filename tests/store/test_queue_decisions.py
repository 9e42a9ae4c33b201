"""What one decision of a queue lets begin, and what its door lets in: a test for each limit, by SQL."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from outlast.core.claims import Room
from outlast.core.records import Batch, DeclaredQueue, Ending, FencedWrite, NewWorkflow
from outlast.core.resources import QUEUES
from outlast.core.status import Status
from tests.store.harness import rows, store_of, under_way, waits_for_a_lock

CLAIM = """
select claimed, taken
from outlast.claim_queue('q', %s, array['f'], %s, 1, 3, 1000000, true, 1000, 1000000, true)
"""
ENQUEUE = """
select outcome from outlast.enqueue(
  %s, 'f', %s, null, null, null, null, null, 'q', null, 0, %s, null, null, null, null, null)
"""


class Decisions:
    """A queue `q`, and what comes of it."""

    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection

    def declare(self, **options: Any) -> None:
        self.connection.execute(
            "insert into outlast.queues (name, base) values ('q', %s)", (json.dumps(options),)
        )

    def enter(self, *ids: str, key: str = "k", delay_s: float = 0.0) -> list[str]:
        """How each came in."""
        text = json.dumps({"key": key})
        return [self.connection.execute(ENQUEUE, (each, text, delay_s)).fetchall()[0][0] for each in ids]

    def claim(self, room: int = 10, me: str = "i") -> list[str]:
        """What begins."""
        ((claimed, _),) = self.connection.execute(CLAIM, (me, room)).fetchall()
        return [each["workflow_id"] for each in claimed]

    def set(self, change: str) -> None:
        self.connection.execute(f"update outlast.{change}".encode())

    def end(self, *ids: str) -> None:
        self.connection.execute(
            "update outlast.workflow_status set status = 'SUCCESS', owner = null where workflow_id = any(%s)",
            (list(ids),),
        )


@pytest.fixture
def q(database: str) -> Iterator[Decisions]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield Decisions(connection)


def test_one_decides_at_a_time(q: Decisions, database: str) -> None:
    q.declare(concurrency=1)
    q.enter("a", "b")
    with psycopg.connect(database) as other:
        ((claimed, taken),) = other.execute(CLAIM, ("other", 1)).fetchall()
        assert (len(claimed), taken) == (1, False)
        ((claimed, taken),) = q.connection.execute(CLAIM, ("i", 1)).fetchall()
        assert (claimed, taken) == ([], True)
    assert q.claim() == []


def test_a_paused_queue_lets_nothing_begin(q: Decisions) -> None:
    q.declare()
    q.enter("a")
    q.set("queues set paused_at = now()")
    assert q.claim() == []
    q.set("queues set paused_at = null")
    assert q.claim() == ["a"]


def test_what_comes_too_late_is_cancelled_in_a_pause_too(q: Decisions) -> None:
    """An instance asks for a decision only where there is one to make."""
    q.declare(start_within=60.0)
    q.enter("a", "again")
    q.set("workflow_status set generation = 2 where workflow_id = 'again'")
    q.set("queues set paused_at = now()")
    busy = "select outlast.queues_busy()"
    q.set("queues set count_at = now() + interval '1 minute'")
    assert q.connection.execute(busy).fetchone() == (False,)
    q.set("workflow_status set claimable_at = now() - interval '2 minutes'")
    assert q.connection.execute(busy).fetchone() == (True,)
    assert q.claim() == []
    late = "select workflow_id from outlast.workflow_status where status = 'CANCELLED'"
    assert q.connection.execute(late).fetchall() == [("a",)]
    assert q.connection.execute(busy).fetchone() == (False,)


def test_concurrency_counts_what_others_run_too(q: Decisions) -> None:
    q.declare(concurrency=2)
    q.enter("a", "b", "c")
    assert q.claim(1, "one") + q.claim(9, "two") == ["a", "b"]
    assert q.claim() == []
    q.end("a")
    assert q.claim() == ["c"]


def test_an_instances_share_counts_its_own_alone(q: Decisions) -> None:
    q.declare(per_instance=1)
    q.enter("a", "b", "c")
    assert (q.claim(me="one"), q.claim(me="one"), q.claim(me="two")) == (["a"], [], ["b"])


def test_a_rate_is_held_one_by_one_and_together(q: Decisions) -> None:
    q.declare(rate={"n": 3, "per": 600})
    q.enter(*"abcde")
    assert [q.claim(1), q.claim(9), q.claim(1), q.claim(9)] == [["a"], ["b", "c"], [], []]


def test_what_begins_of_a_key_is_counted_by_key(q: Decisions) -> None:
    q.declare(key="key", per_key=1)
    q.enter("a", "b")
    q.enter("c", key="l")
    assert sorted(q.claim()) == ["a", "c"]
    assert q.claim() == []
    q.end("a")
    assert q.claim() == ["b"]


def test_the_rate_of_a_key_is_its_own(q: Decisions) -> None:
    q.declare(key="key", rate_per_key={"n": 1, "per": 600})
    q.enter("a", "b")
    q.enter("c", key="l")
    assert sorted([*q.claim(), *q.claim()]) == ["a", "c"]


def test_a_paused_key_holds_up_itself_alone(q: Decisions) -> None:
    q.declare(key="key")
    q.enter("a")
    q.enter("b", key="l")
    q.connection.execute("insert into outlast.queue_keys (queue, key, paused_at) values ('q', 'k', now())")
    assert q.claim() == ["b"]


def test_an_exclusive_key_waits_for_one_that_sleeps(q: Decisions) -> None:
    q.declare(key="key", exclusive=True)
    q.enter("a", "b")
    assert q.claim() == ["a"]
    q.set(
        "workflow_status set owner = null, claimable_at = now() + interval '1 hour' where workflow_id = 'a'"
    )
    assert q.claim() == []
    q.end("a")
    assert q.claim() == ["b"]


def test_a_first_one_that_cannot_be_had_holds_up_nobody_of_its_key(q: Decisions, database: str) -> None:
    q.declare(key="key")
    q.enter("a", "b", "c", "d")
    with psycopg.connect(database) as other:
        other.execute("select from outlast.workflow_status where workflow_id = 'a' for update")
        assert q.claim(1) == ["b"]
        assert q.claim(2) == ["c", "d"]
    assert q.claim() == ["a"]


def test_each_claim_raises_the_epoch(q: Decisions) -> None:
    q.declare()
    q.enter("a")
    q.claim()
    assert q.connection.execute("select epoch, status from outlast.workflow_status").fetchall() == [
        (1, "PENDING")
    ]


def test_what_is_not_ready_does_not_begin(q: Decisions) -> None:
    q.declare()
    q.enter("a", delay_s=600.0)
    assert q.claim() == []


async def test_one_passes_a_door_at_a_time(q: Decisions, database: str) -> None:
    q.declare(max_backlog=1)
    async with under_way(
        database, ENQUEUE.replace("%s", "'a'", 1).replace("%s", "'{}'", 1).replace("%s", "0")
    ):
        second = asyncio.create_task(asyncio.to_thread(q.enter, "b"))
        await waits_for_a_lock(database, second)
    assert await second == ["queue_full"]


async def test_a_door_that_is_held_keeps_nothing_from_beginning(q: Decisions, database: str) -> None:
    q.declare(max_backlog=5)
    q.enter("b")
    async with under_way(
        database, ENQUEUE.replace("%s", "'a'", 1).replace("%s", "'{}'", 1).replace("%s", "0")
    ):
        assert q.claim() == ["b"]


def test_a_drop_refuses_what_is_over_it(q: Decisions) -> None:
    q.declare(drop={"n": 2, "per": 600})
    assert q.enter("a", "b", "c") == ["started", "started", "rate_limited"]


def test_a_full_queue_is_full(q: Decisions) -> None:
    q.declare(max_backlog=2)
    assert q.enter("a", "b", "c") == ["started", "started", "queue_full"]


async def test_an_entry_is_its_own_by_its_nonce(database: str) -> None:
    async with store_of(database) as store:
        new = NewWorkflow("w", "f", "{}", queue="q")
        assert (await store.queues.enqueue([new], 1))[0].outcome == "started"
        assert (await store.queues.enqueue([new], 1))[0].outcome == "started"
        assert (await store.queues.enqueue([new], 2))[0].outcome == "exists"


TAKE = "select outlast.take_limit('l', %s, %s, 1, '1')"


@pytest.fixture
def owned(q: Decisions) -> Decisions:
    """With workflows `a`, `b` and `c` that run."""
    q.declare()
    q.enter("a", "b", "c")
    assert q.claim() == ["a", "b", "c"]
    return q


def taken(q: Decisions, workflow_id: str, **options: Any) -> bool:
    """Whether its step may begin now."""
    ((wait_s,),) = q.connection.execute(TAKE, (json.dumps(options), workflow_id)).fetchall()
    return wait_s is None


def test_a_limit_counts_who_holds_it(owned: Decisions) -> None:
    assert [taken(owned, each, concurrency=2) for each in "aabc"] == [True, True, True, False]
    owned.end("a")
    assert taken(owned, "c", concurrency=2)


def test_the_longest_waiting_is_woken_but_not_who_asks_no_more_or_is_held(owned: Decisions) -> None:
    owned.enter("d")
    assert owned.claim() == ["d"]
    assert [taken(owned, each, concurrency=1) for each in "abcd"] == [True, False, False, False]
    owned.end("a")
    free = "select here from outlast.free_limits('i', '[]', '{l}')"
    assert owned.connection.execute(free).fetchall() == [(["b"],)]
    gone = "update outlast.limit_waits set asks_at = now() - interval '2 minutes' where workflow_id = 'b'"
    owned.connection.execute(gone)
    assert owned.connection.execute(free).fetchall() == [(["c"],)]
    owned.connection.execute("update outlast.workflow_status set held = '{}' where workflow_id = 'c'")
    assert owned.connection.execute(free).fetchall() == [(["d"],)]


def test_a_limits_rate_is_held(owned: Decisions) -> None:
    rate = {"n": 2, "per": 600}
    assert [taken(owned, each, rate=rate) for each in "abc"] == [True, True, False]


async def test_one_takes_a_limit_at_a_time(owned: Decisions, database: str) -> None:
    assert taken(owned, "c", concurrency=2)
    first = TAKE.replace("%s", "'{\"concurrency\": 2}'", 1).replace("%s", "'a'")
    async with under_way(database, first):
        second = asyncio.create_task(asyncio.to_thread(taken, owned, "b", concurrency=2))
        await waits_for_a_lock(database, second)
    assert not await second


@pytest.mark.parametrize("status", ["PENDING", "ENQUEUED"])
def test_many_keys_that_nobody_serves_hold_up_no_other(q: Decisions, status: str) -> None:
    q.declare(key="key")
    q.connection.execute(
        "insert into outlast.workflow_status"
        " (workflow_id, function, status, queue, queue_key, claimable_at, rank)"
        " select 'g' || n, 'g', %s, 'q', 'k' || n, now(), now() from generate_series(1, 2000) n",
        (status,),
    )
    q.enter("a", key="z")
    assert ["a"] in [q.claim() for _ in range(10)]


def set_back(q: Decisions, column: str = "queue_starts set at = at") -> None:
    """Let all that was decided be of a clock that went a day ahead, and goes right again."""
    q.set("queues set decided_at = decided_at + interval '1 day', count_at = now() + interval '1 day'")
    q.set(f"{column} + interval '1 day'")


def test_what_began_by_a_clock_that_was_set_back_began_just_now(q: Decisions) -> None:
    q.declare(rate={"n": 1, "per": 600}, start_within=60)
    q.enter("a")
    assert q.claim() == ["a"]
    set_back(q)
    q.enter("b")
    assert q.claim() == []
    q.set("queue_starts set at = at - interval '601 s'")
    assert q.claim() == ["b"]


def test_a_drop_by_a_clock_that_was_set_back_ends_in_time(q: Decisions) -> None:
    q.declare(drop={"n": 1, "per": 600})
    assert q.enter("a") == ["started"]
    set_back(q)
    assert q.enter("b") == ["rate_limited"]
    q.set("queue_starts set at = at - interval '601 s'")
    assert q.enter("b") == ["started"]


def test_a_limit_used_by_a_clock_that_was_set_back_is_free_in_time(owned: Decisions) -> None:
    rate = {"n": 1, "per": 1}
    assert taken(owned, "a", rate=rate)
    set_back(owned, "limit_uses set at = at")
    assert not taken(owned, "b", rate=rate)
    time.sleep(1.1)
    assert taken(owned, "b", rate=rate)


def test_what_waits_is_counted_though_the_clock_was_set_back(q: Decisions) -> None:
    q.declare()
    q.enter("a")
    set_back(q)
    assert q.connection.execute("select outlast.count_due(q) from outlast.queues q").fetchall() == [(True,)]


async def test_a_queue_that_cannot_decide_says_so_and_is_asked_again_after_a_while(
    q: Decisions, database: str
) -> None:
    q.declare(concurrency="x")
    q.connection.execute(
        "insert into outlast.queues (name, base) values ('other', '{\"max_backlog\": \"x\"}')"
    )
    q.enter("a")
    q.connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status, queue, claimable_at, rank)"
        " values ('b', 'f', 'ENQUEUED', 'other', now(), now())"
    )
    async with store_of(database) as store:
        first = await store.instances.claim_queued(Room(["f"], 10, 1))
        assert [each.workflow_id for each in first.workflows] == ["b"]
        assert list(first.faults) == ["q"]
        assert "integer" in first.faults["q"]
        (shown,), _ = await store.workflows.listing(QUEUES, {"name": "q"}, None, 1)
        assert shown["fault"] == first.faults["q"]
        assert (await store.instances.claim_queued(Room(["f"], 10, 1))).faults == {}
        q.set("queues set fault_at = fault_at - interval '11 s'")
        assert list((await store.instances.claim_queued(Room(["f"], 10, 1))).faults) == ["q"]
        q.set("queues set base = '{}', fault_at = fault_at - interval '11 s'")
        mended = await store.instances.claim_queued(Room(["f"], 10, 1))
        assert [each.workflow_id for each in mended.workflows] == ["a"]
    assert q.connection.execute("select fault, fault_at from outlast.queues where name = 'q'").fetchall() == [
        (None, None)
    ]


async def test_a_fault_is_shown_while_there_is_something_to_decide(q: Decisions, database: str) -> None:
    async with store_of(database) as store:

        async def shown() -> tuple[str | None, datetime | None]:
            (row,), _ = await store.workflows.listing(QUEUES, {"name": "q"}, None, 1)
            return row["fault"], row["fault_at"]

        q.declare(concurrency="x")
        q.enter("a")
        await store.instances.claim_queued(Room(["f"], 10, 1))
        assert None not in await shown()
        q.connection.execute("select outlast.pause_queue('q')")
        assert await shown() == (None, None)
        q.connection.execute("select outlast.resume_queue('q')")
        assert None not in await shown()
        q.connection.execute("select outlast.drain_queue('q')")
        assert await shown() == (None, None)


@pytest.mark.parametrize("within", ['"x"', "1e300"])
async def test_a_paused_queue_that_cannot_be_read_holds_up_no_other(
    q: Decisions, database: str, within: str
) -> None:
    q.declare()
    q.enter("a")
    q.connection.execute("select outlast.pause_queue('q')")
    q.set(f"queues set override = '{{\"start_within\": {within}}}'")
    q.connection.execute(
        "insert into outlast.workflow_status (workflow_id, function, status, queue, claimable_at, rank)"
        " values ('b', 'f', 'ENQUEUED', 'other', now(), now())"
    )
    q.connection.execute("insert into outlast.queues (name, base) values ('other', '{}')")
    async with store_of(database) as store:
        claims = await store.instances.claim_queued(Room(["f"], 10, 1))
    assert [each.workflow_id for each in claims.workflows] == ["b"]


async def test_claims_of_all_else_ask_nothing_of_a_queue_that_cannot_be_read(
    q: Decisions, database: str
) -> None:
    q.declare(max_backlog="x")
    async with store_of(database) as store:
        assert (await store.instances.claim(Room(["f"], 10, 1))).full_queues == frozenset()


async def test_who_declares_a_queue_as_it_is_waits_for_nobody(database: str) -> None:
    declared = DeclaredQueue("q", {"concurrency": 1}, ("f", "g"))
    async with store_of(database) as store:
        await store.queues.declare([declared])
        async with under_way(database, "select from outlast.queues for update"), asyncio.timeout(10):
            await store.queues.declare([declared])


def test_what_was_begun_once_does_not_expire(q: Decisions) -> None:
    """It was retried, say: it may have something to undo."""
    q.declare(start_within=60.0)
    q.enter("new", "again")
    q.set("workflow_status set claimable_at = now() - interval '2 minutes'")
    q.set("workflow_status set generation = 2 where workflow_id = 'again'")
    assert q.claim() == ["again"]
    (status,) = q.connection.execute(
        "select status from outlast.workflow_status where workflow_id = 'new'"
    ).fetchone() or (None,)
    assert status == "CANCELLED"


def test_of_very_many_keys_that_are_held_up_none_lets_what_has_begun_wait_for_ever(q: Decisions) -> None:
    """The place in the circle is that of those that have begun until all of these were looked at."""
    q.declare(concurrency=10)
    q.connection.execute(
        "insert into outlast.workflow_status"
        " (workflow_id, function, status, queue, queue_key, claimable_at, rank)"
        " select 'w' || n, 'f', 'PENDING', 'q', to_char(n, 'FM0000'), now(), now()"
        " from generate_series(0, 999) n"
        " union all select 'free', 'f', 'PENDING', 'q', 'z', now(), now()"
        " union all select 'new', 'f', 'ENQUEUED', 'q', '0000', now(), now()"
    )
    q.connection.execute(
        "insert into outlast.queue_keys (queue, key, paused_at)"
        " select 'q', to_char(n, 'FM0000'), now() from generate_series(0, 999) n"
    )
    looks = [q.claim(10) for _ in range(4)]
    assert ["free"] in looks


BATCH = """
insert into outlast.workflow_status (workflow_id, function, status, batch, batch_place)
values ('b/batch', 'f', 'CANCELLED', null, 0), ('m1', 'f', 'PENDING', 'b/batch', 1),
  ('m2', 'f', 'PENDING', 'b/batch', 2)
"""
MEMBERS = "select workflow_id, status from outlast.workflow_status where batch is not null order by 1"


async def test_a_member_of_a_batch_that_somebody_holds_stops_no_queue(q: Decisions, database: str) -> None:
    q.declare()
    q.enter("a")
    q.connection.execute(BATCH)
    async with store_of(database) as store, asyncio.timeout(10):
        async with under_way(
            database, "select from outlast.workflow_status where workflow_id = 'm2' for update"
        ):
            claimed = await store.instances.claim_queued(Room(["f"], 10, 1))
            assert [each.workflow_id for each in claimed.workflows] == ["a"]
            assert q.connection.execute(MEMBERS).fetchall() == [("m1", "CANCELLED"), ("m2", "PENDING")]
        await store.instances.claim_queued(Room(["f"], 10, 1))
        assert q.connection.execute(MEMBERS).fetchall() == [("m1", "CANCELLED"), ("m2", "CANCELLED")]


KEEPS = """
create function public.keep() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
create trigger keep before update on outlast.workflow_status for each row
when (old.workflow_id = 'm2') execute function public.keep()
"""


async def test_a_member_of_a_batch_that_a_trigger_refuses_stops_no_queue_and_no_other_member(
    q: Decisions, database: str
) -> None:
    q.declare()
    q.enter("a")
    q.connection.execute(BATCH)
    q.connection.execute(KEEPS)
    async with store_of(database) as store:
        claimed = await store.instances.claim_queued(Room(["f"], 10, 1))
        assert [each.workflow_id for each in claimed.workflows] == ["a"]
        assert q.connection.execute(MEMBERS).fetchall() == [("m1", "CANCELLED"), ("m2", "PENDING")]


async def test_a_batch_ends_though_a_trigger_refuses_one_of_its_members(q: Decisions, database: str) -> None:
    q.connection.execute(BATCH)
    q.connection.execute(
        "update outlast.workflow_status set status = 'PENDING', owner = 'me', epoch = 1 where batch is null"
    )
    q.connection.execute(KEEPS)
    end = FencedWrite("b/batch", 1, [], Ending(Status.SUCCESS, output='["x", "y"]'))
    got = "select workflow_id, output from outlast.workflow_status where batch is not null order by 1"
    async with store_of(database) as store:
        assert (await store.journal.commit(Batch(2, [], [end]))).accepted == {"b/batch"}
        assert q.connection.execute(got).fetchall() == [("m1", "x"), ("m2", None)]
        q.connection.execute("drop trigger keep on outlast.workflow_status")
        await store.instances.claim_queued(Room(["f"], 10, 1))
        assert q.connection.execute(got).fetchall() == [("m1", "x"), ("m2", "y")]


MANY = """
insert into outlast.workflow_status
  (workflow_id, function, status, input, queue, queue_key, claimable_at, rank, load_bytes)
select 'w' || lpad(i::text, 8, '0'), 'f', 'ENQUEUED', '{}', 'q', 'k' || lpad((i % 10000)::text, 5, '0'),
  now(), now() + i * interval '1 us', 40
from generate_series(1, 40000) i
"""
READ = """
select sum(idx_tup_read)::int from pg_stat_user_indexes
where indexrelname like 'workflow_status%'
"""


def test_a_decision_reads_what_begins_though_statistics_are_of_an_empty_table(q: Decisions) -> None:
    q.declare(key="key", per_key=5)
    q.set("queues set count_at = 'infinity'")
    q.connection.execute("alter table outlast.workflow_status set (autovacuum_enabled = off)")
    q.connection.execute("analyze outlast.workflow_status")
    q.connection.execute(MANY.encode())

    def read() -> int:
        q.connection.execute("select pg_stat_force_next_flush()")
        ((count,),) = q.connection.execute(READ.encode()).fetchall()
        return int(count)

    before = read()
    assert len(q.claim(200)) == 200
    assert read() - before < 5000


async def test_a_function_that_was_moved_waits_in_its_new_queue(database: str) -> None:
    """Of two the newest, as long as other code runs; out of its queue it is in none."""

    async def queues_of() -> list[str | None]:
        query = "select outlast.queue_of('moved'), outlast.queue_of('left'), outlast.queue_of('stays')"
        return list((await rows(database, query))[0])

    served = ["moved", "left"]
    former = [DeclaredQueue("former", {}, ("moved", "left", "stays"))]
    later = [DeclaredQueue("later", {}, ("moved",))]
    async with store_of(database, "new") as new:
        await new.instances.beat(60.0)
        async with store_of(database, "old") as old:
            await old.instances.beat(60.0)
            await old.queues.declare(former, [*served, "stays"])
            await new.queues.declare(later, served)
            await old.queues.declare(former, [*served, "stays"])
            assert await queues_of() == ["later", "former", "former"]
            await old.instances.leave()
        await new.queues.declare(later, served)
        assert await queues_of() == ["later", None, "former"]
        await new.instances.leave()
    async with store_of(database, "rolled back") as old:
        await old.instances.beat(60.0)
        await old.queues.declare(former, [*served, "stays"])
        assert await queues_of() == ["former"] * 3
