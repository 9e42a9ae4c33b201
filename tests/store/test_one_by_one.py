"""A row that refuses what is to be done to it, or that somebody holds, stops nobody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from outlast.core.claims import LostInstance, QueueClaims, Room
from outlast.core.ports import Unreachable
from outlast.core.records import Batch, Delivered, Ending, FencedWrite, Suspension, Wait
from outlast.core.status import Status
from outlast.store import refusals
from outlast.store.messages import DELIVERED_MAX
from outlast.store.postgres import PostgresStore
from outlast.store.refusals import Refusals
from tests.store.harness import rows, start, store_of, under_way

pytestmark = pytest.mark.postgres

GONE = LostInstance("me", 0.0, expired=True)
FAR = "now() + interval '1 hour'"
REFUSING = """
create or replace function public.refuse() returns trigger language plpgsql as $$
begin
  if starts_with(old.workflow_id, 'a-poison') and position('/map.1/' in old.workflow_id) = 0 then
    raise exception 'it stays';
  end if;
  if starts_with(old.workflow_id, 'a-late') then
    raise exception using errcode = 'object_not_in_prerequisite_state', message = 'not now';
  end if;
  if starts_with(old.workflow_id, 'busy') then
    raise exception using errcode = '40001', message = 'as ever';
  end if;
  return new;
end
$$;
create trigger refuse before update on outlast.workflow_status for each row execute function public.refuse();
"""


async def refuse(database: str) -> None:
    """From now on rows of certain names can't be updated."""
    await rows(database, REFUSING)


async def waiting(store: PostgresStore, database: str, *ids: str, attempts: int = 0) -> None:
    """Workflows that are due, one after the other."""
    await start(store, *ids)
    for place, each in enumerate(ids):
        await rows(
            database,
            "update outlast.workflow_status set owner = null, recovery_attempts = %s,"
            " claimable_at = now() - interval '1 min' + make_interval(secs => %s) where workflow_id = %s",
            *(attempts, place, each),
        )


async def claim(store: PostgresStore, room: int = 10, suspects: int = 1) -> list[str]:
    async with asyncio.timeout(10):
        claims = await store.instances.claim(Room(["f"], room, suspects))
    return [each.workflow_id for each in claims.workflows]


async def child_of(database: str, parent: str | None, *ids: str, **columns: str) -> None:
    """Rows as they are given, in SQL."""
    names = "".join(f", {each}" for each in columns)
    values = "".join(f", {each}" for each in columns.values())
    await rows(
        database,
        f"insert into outlast.workflow_status (workflow_id, function, input, nonce, parent{names})"
        f" select id, 'f', '{{}}', 1, %s{values} from unnest(%s::text[]) as i (id)",
        *(parent, list(ids)),
    )


async def test_who_refuses_a_claim_is_passed_by(database: str) -> None:
    async with store_of(database) as store, store_of(database, "you") as you:
        await waiting(store, database, "a-poison", "ok1", "ok2")
        await refuse(database)
        claims = await store.instances.claim(Room(["f"], 10, 1))
        assert [each.workflow_id for each in claims.workflows] == ["ok1", "ok2"]
        assert claims.refused == ["a-poison"]
        assert not (await store.instances.claim(Room(["f"], 10, 1))).refused, "it is told of once"
        assert await claim(store) == []
        await rows(database, "drop trigger refuse on outlast.workflow_status")
        assert await claim(store) == [], "it is asked again after a while"
        assert await claim(you) == ["a-poison"]
        assert await rows(
            database, "select workflow_id, owner, epoch from outlast.workflow_status order by 1"
        ) == [
            ("a-poison", "you", 2),
            ("ok1", "me", 2),
            ("ok2", "me", 2),
        ]


@pytest.mark.parametrize("attempts", [0, 5])
async def test_who_refuses_uses_up_no_room(database: str, attempts: int) -> None:
    async with store_of(database) as store:
        await waiting(store, database, "a-poison1", "a-poison2", "ok", attempts=attempts)
        await refuse(database)
        assert [await claim(store, room=1) for _ in range(3)] == [[], [], ["ok"]]


async def test_what_a_trigger_calls_may_refuse_for_its_state(database: str) -> None:
    """As functions of Outlast do. The code begins as that of a lock does, which is the database's own."""
    async with store_of(database) as store:
        await waiting(store, database, "a-late", "ok")
        await refuse(database)
        assert await claim(store) == ["ok"]


async def test_a_conflict_is_no_refusal(database: str) -> None:
    async with store_of(database) as store:
        await waiting(store, database, "a-poison", "busy")
        await refuse(database)
        with pytest.raises(Unreachable, match="as ever"):
            await claim(store)


async def test_who_refuses_a_recovery_is_passed_by(database: str) -> None:
    async with store_of(database) as me, store_of(database, "you", batch=1, attempts_max=3) as you:
        await me.instances.beat(60.0)
        await start(me, "a-poison", "ok", "old")
        await me.instances.leave()
        await rows(
            database,
            "update outlast.workflow_status set recovery_attempts = 3, updated_at = created_at,"
            " created_at = created_at + interval '1 min' where workflow_id = 'old'",
        )
        await rows(
            database,
            "update outlast.workflow_status set created_at = created_at - interval '1 min'"
            " where workflow_id = 'a-poison'",
        )
        await refuse(database)
        assert [await you.instances.recover([GONE]) for _ in range(4)] == [
            [],
            [("ok", "PENDING")],
            [("old", "EXHAUSTED")],
            [],
        ]
        seen = "select workflow_id, owner, epoch, recovery_attempts from outlast.workflow_status order by 1"
        assert await rows(database, seen) == [
            ("a-poison", "me", 1, 0),
            ("ok", None, 2, 1),
            ("old", None, 2, 4),
        ]


async def test_who_refuses_to_be_given_back_is_passed_by(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "a-poison", "ok")
        await refuse(database)
        await store.instances.release({"a-poison": 1, "ok": 1}, {"ok": 5}, {"ok": 1.0})
        await store.instances.release({"a-poison": 1})
        seen = (
            "select workflow_id, owner, extract(epoch from claimable_at)::int, load_bytes"
            " from outlast.workflow_status order by 1"
        )
        assert [each[:3] for each in await rows(database, seen)] == [
            ("a-poison", "me", None),
            ("ok", None, 1),
        ]


async def test_who_refuses_messages_is_passed_by(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "a-poison", "ok")
        sent = "select outlast.send('a-poison', '1', 't') from generate_series(1, %s)"
        await rows(database, sent, DELIVERED_MAX)
        await rows(database, "select outlast.send('ok', '1', 't') from generate_series(1, 2)")
        await refuse(database)
        delivered = await store.messages.deliver()
        assert (delivered.left, delivered.refused) == (True, ["a-poison"])
        assert not (await store.messages.deliver()).left, "what is refused is not asked again at once"
        seen = "select number from outlast.messages where workflow_id = 'ok' order by message_id"
        assert await rows(database, seen) == [(1,), (2,)]
        assert await rows(database, "select count(number) from outlast.messages") == [(2,)]


async def test_who_refuses_to_be_woken_is_passed_by(database: str) -> None:
    async with store_of(database) as store:
        asleep = {"status": "'PENDING'", "claimable_at": FAR, "awaits": "'{}'"}
        await child_of(database, None, "a-poison", "ok", **asleep)
        await child_of(database, "ok", "c", status="'SUCCESS'", untold="true")
        await rows(
            database, "insert into outlast.waits (target, waiter) values ('c', 'a-poison'), ('c', 'ok')"
        )
        await refuse(database)
        assert await store.messages.tell() == Delivered(1, False)
        assert await store.messages.tell() == Delivered(0, False)
        assert await rows(database, "select waiter, due from outlast.waits") == [("a-poison", True)]
        await rows(database, "drop trigger refuse on outlast.workflow_status")
        assert await store.messages.tell() == Delivered(1, False)


async def test_who_leaves_the_memory_for_one_that_refuses_looks_again_at_once(database: str) -> None:
    """That somebody waits for it can't be noted on its row: its end would wake nobody."""
    async with store_of(database) as store:
        await start(store, "a-poison", "b", "ok")
        await refuse(database)
        waits = [Wait("a-poison"), Wait("b")]
        leaves = FencedWrite("ok", 1, [], Suspension(4e9, "{}", waits=waits))
        assert (await store.journal.commit(Batch(2, [], [leaves]))).accepted == {"ok"}
        assert await claim(store) == ["ok"]
        awaited = "select workflow_id from outlast.workflow_status where awaited order by 1"
        assert await rows(database, awaited) == [("b",)]


async def test_what_refuses_to_be_told_is_told_all_the_same(database: str) -> None:
    async with store_of(database) as store:
        await child_of(database, None, "ok", status="'PENDING'", claimable_at=FAR, awaits="'{}'")
        await child_of(database, "ok", "a-poison", "c", status="'SUCCESS'", untold="true")
        await rows(database, "insert into outlast.waits (target, waiter) values ('a-poison', 'ok')")
        await refuse(database)
        assert await store.messages.tell() == Delivered(1, False)
        seen = "select workflow_id from outlast.workflow_status where untold and status = 'SUCCESS'"
        assert await rows(database, seen) == [("a-poison",)]


async def test_so_many_that_refuse_to_be_told_are_passed_by(database: str) -> None:
    async with store_of(database) as store:
        poison = [f"a-poison{number}" for number in range(1_001)]
        await child_of(database, None, "p", status="'PENDING'")
        await child_of(database, "p", *poison, "z", status="'SUCCESS'", untold="true")
        await refuse(database)
        assert await store.messages.tell() == Delivered(0, False)
        seen = "select count(*) from outlast.workflow_status where untold and status = 'SUCCESS'"
        assert await rows(database, seen) == [(1_001,)]


async def test_a_child_that_refuses_to_be_cancelled_is_passed_by(database: str) -> None:
    async with store_of(database) as store:
        await child_of(database, None, "p", status="'CANCELLED'", started_at="now()", untold="true")
        await child_of(database, "p", "a-poison", "b", "c", status="'PENDING'")
        await refuse(database)
        assert await store.messages.tell() == Delivered(0, False)
        seen = "select workflow_id from outlast.workflow_status where status = 'PENDING'"
        assert await rows(database, seen) == [("a-poison",)]


async def a_map(database: str, map_id: str, items: int, *, stopped: bool = False) -> None:
    """A map of which all items are over but untold, or one that is to be stopped."""
    of_map = f"""'{{"total": {items}, "started": {items}, "tolerate": 0, "stopped": {str(stopped).lower()},
        "on_fail": "drain", "tell_at": 4e9}}'"""
    await child_of(database, "p", map_id, status="'PENDING'", map=of_map)
    await rows(database, "insert into outlast.queues (name) values (%s)", map_id)
    ids = [f"{map_id}/{number}" for number in range(items)]
    ended = {"status": "'SUCCESS'", "untold": "true", "queue": f"'{map_id}'"}
    await child_of(database, map_id, *ids, **ended)


async def test_a_map_that_refuses_to_be_stopped_is_passed_by(database: str) -> None:
    async with store_of(database) as store:
        await store.instances.beat(60.0)
        await child_of(database, None, "p", status="'PENDING'", owner="'me'")
        for each in ("a-poison/map.1", "p/map.1"):
            await a_map(database, each, 1, stopped=True)
        await refuse(database)
        async with asyncio.timeout(10):
            assert not (await store.instances.claim_queued(Room(["f"], 10, 1))).more
        assert await rows(
            database, "select workflow_id, status from outlast.workflow_status where map is not null"
        ) == [
            ("a-poison/map.1", "PENDING"),
            ("p/map.1", "SUCCESS"),
        ]


async def test_items_end_though_their_map_refuses_to_be_told(database: str) -> None:
    async with store_of(database) as store:
        await store.instances.beat(60.0)
        await child_of(database, None, "p", status="'PENDING'", owner="'me'")
        await a_map(database, "a-poison/map.1", 2)
        await rows(
            database,
            "update outlast.workflow_status set status = 'PENDING', owner = 'me', untold = true, epoch = 1"
            " where workflow_id = 'a-poison/map.1/1'",
        )
        await store.messages.tell()
        await refuse(database)
        end = FencedWrite("a-poison/map.1/1", 1, [], Ending(Status.SUCCESS, output="1"))
        assert (await store.journal.commit(Batch(2, [], [end]))).accepted == {"a-poison/map.1/1"}
        over = "select status from outlast.workflow_status where workflow_id = 'a-poison/map.1'"
        await store.messages.tell()
        assert await rows(database, over) == [("PENDING",)]
        await rows(database, "drop trigger refuse on outlast.workflow_status")
        await store.messages.tell()
        assert await rows(database, over) == [("SUCCESS",)]


HELD = "select from outlast.workflow_status where workflow_id = 'p/map.1' for update"


@pytest.mark.parametrize("told_by", ["claim_queued", "tell"])
async def test_the_items_of_a_map_that_somebody_holds_are_told_later(database: str, told_by: str) -> None:
    async def tell(store: PostgresStore) -> Any:
        async with asyncio.timeout(10):
            if told_by == "tell":
                return await store.messages.tell()
            return await store.instances.claim_queued(Room(["f"], 10, 1))

    async with store_of(database) as store:
        await store.instances.beat(60.0)
        await child_of(database, None, "p", status="'PENDING'", owner="'me'")
        await child_of(database, None, "z", status="'PENDING'", claimable_at=FAR, awaits="'{}'")
        await a_map(database, "p/map.1", 1_001)
        await child_of(database, "z", "z/1", status="'SUCCESS'", untold="true")
        await rows(database, "insert into outlast.waits (target, waiter) values ('z/1', 'z')")
        woken = "select claimable_at <= now() from outlast.workflow_status where workflow_id = 'z'"
        over = "select status from outlast.workflow_status where workflow_id = 'p/map.1'"
        async with under_way(database, HELD):
            await tell(store)
            assert await rows(database, woken) == [(True,)]
            assert await rows(database, over) == [("PENDING",)]
            assert (await store.instances.claim(Room(["f"], 0, 0))).untold
        await tell(store)
        assert await rows(database, over) == [("SUCCESS",)]
        assert not (await store.instances.claim(Room(["f"], 0, 0))).untold


async def queue_up(database: str, *ids: str, ranked: bool = True, key: str = "k", **options: Any) -> None:
    """These wait in a queue, one after the other; `options` are its own, where it is new."""
    if options:
        base = json.dumps({"key": "key", **options})
        await rows(database, "insert into outlast.queues (name, base) values ('q', %s)", base)
    for each in ids:
        due = "clock_timestamp() - interval '1 min'"
        rank = due if ranked else "null"
        columns = {"status": "'ENQUEUED'", "queue": "'q'", "queue_key": f"'{key}'", "claimable_at": due}
        await child_of(database, None, each, rank=rank, load_bytes="2", **columns)


async def begin(store: PostgresStore, room: int = 10) -> tuple[list[str], list[str]]:
    async with asyncio.timeout(10):
        claims = await store.instances.claim_queued(Room(["f"], room, 1))
    assert claims.faults == {}
    return [each.workflow_id for each in claims.workflows], sorted(claims.refused)


async def test_who_refuses_to_be_ready_stops_no_queue(database: str) -> None:
    async with store_of(database) as store:
        await queue_up(database, "a-poison", "b", ranked=False, concurrency=1)
        await refuse(database)
        assert await begin(store) == (["b"], ["a-poison"])


async def test_who_refuses_to_be_ready_keeps_its_place_before_others_of_an_exclusive_key(
    database: str,
) -> None:
    async with store_of(database) as store:
        await queue_up(database, "a-poison", ranked=False, exclusive=True)
        await queue_up(database, "b")
        await queue_up(database, "c", key="other")
        await refuse(database)
        assert await begin(store) == (["c"], ["a-poison"])
        assert await begin(store) == ([], [])
        await rows(database, "drop trigger refuse on outlast.workflow_status")
        async with store_of(database, "you") as you:
            assert await begin(you) == (["a-poison"], [])


@pytest.mark.parametrize("options", [{"concurrency": 5}, {"batch": {"n": 5, "wait": 0}}], ids=str)
async def test_nothing_is_asked_of_what_a_queue_passes_by(database: str, options: Any) -> None:
    async with store_of(database) as store:
        await store.instances.beat(60.0)
        await queue_up(database, "b", "a-poison", **options)
        await queue_up(database, "a-poison2", ranked=False)
        await rows(database, "update outlast.queues set functions = '{f}'")
        await refuse(database)
        claimed = await rows(
            database,
            "select cardinality(claimed), refused from outlast.claim_queue("
            " 'q', 'me', '{f}', 9, 9, 3, 99999, true, 99, 99999, true, '{a-poison,a-poison2}')",
        )
        assert claimed == [(1, [])]


@pytest.mark.parametrize("options", [{"concurrency": 200}, {"rate": {"n": 1, "per": 600}}], ids=str)
async def test_of_many_that_refuse_to_begin_a_look_asks_some_and_the_next_one_others(
    database: str, options: Any
) -> None:
    async with store_of(database) as store:
        many = [f"a-poison{number:03}" for number in range(120)]
        await queue_up(database, *many, "b", **options)
        await refuse(database)
        looks: list[QueueClaims] = []
        while not looks or looks[-1].more:
            looks.append(await store.instances.claim_queued(Room(["f"], 60, 1)))
        assert 1 < len(looks) < 8
        assert sorted(each for look in looks for each in look.refused) == many
        assert [each.workflow_id for look in looks for each in look.workflows] == ["b"]


async def test_a_conflict_is_no_refusal_of_a_queues_either(database: str) -> None:
    async with store_of(database) as store:
        await queue_up(database, "a-poison", "busy", concurrency=5)
        await refuse(database)
        with pytest.raises(Unreachable, match="as ever"):
            await begin(store)


def test_who_refuses_again_is_left_out_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(refusals, "monotonic", lambda: now)
    known = Refusals()
    pauses = []
    for _ in range(12):
        known.note(["w"])
        before = now
        while known.now():
            now += 0.5
        pauses.append(now - before)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert known.news() == ["w"], "it is told of once"
    now += refusals.FORGOTTEN_AFTER_S - 1
    known.note(["w"])
    assert known.news() == [], "it may not have been asked meanwhile"
    now += 300 + refusals.FORGOTTEN_AFTER_S + 1
    known.note(["w"])
    assert known.news() == ["w"], "it has done well meanwhile"
    now += 1
    assert known.now() == []
    known.note(str(number) for number in range(refusals.REFUSALS_MAX + 10))
    assert len(known.now()) == refusals.REFUSALS_MAX
    assert "w" not in known.now()
