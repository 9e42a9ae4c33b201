"""Waits for ends in Postgres: every kind of end, locked rows, snapshots, and a storm of connections."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from psycopg import AsyncConnection

from outlast.core.claims import Room
from outlast.core.records import Batch, FencedWrite
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore
from tests.store.alike import SUCCESS, new, start, write
from tests.store.test_waits import family, waiting_for, woken

pytestmark = pytest.mark.postgres


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(Database.at(database, "tests"), "a", "test", 3, RecoveryLimits(attempts_max=3))
    await store.instances.beat(60.0)
    yield store
    await store.close()


@pytest.fixture
async def other(database: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(Database.at(database, "tests"), "b", "test", 3, RecoveryLimits(attempts_max=3))
    yield store
    await store.close()


@pytest.fixture
async def sql(database: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await AsyncConnection.connect(database, autocommit=True) as connection:
        yield connection


async def far(sql: AsyncConnection[Any], workflow_id: str = "w") -> bool:
    """Whether it sleeps for long."""
    cursor = await sql.execute(
        "select claimable_at > now() + interval '1 min' from outlast.workflow_status where workflow_id = %s",
        (workflow_id,),
    )
    ((sleeps,),) = await cursor.fetchall()
    return bool(sleeps)


ENDS = {
    "cancelled by SQL": "select outlast.cancel_any('c')",
    "drained": "select outlast.drain_queue('q')",
    "exhausted": None,
    "expired": None,
}


@pytest.mark.parametrize("how", list(ENDS))
async def test_every_end_wakes_in_its_own_commit(
    store: PostgresStore, other: PostgresStore, sql: AsyncConnection[Any], how: str
) -> None:
    await start(store, "w")
    queued = how in ("drained", "expired")
    child = new("c", parent="w", queue="q" if queued else None)
    assert (await store.journal.commit(Batch(3, [child], []))).started == {"c"}
    if queued:
        await sql.execute(
            "insert into outlast.queues (name, base) values ('q', '{\"start_within\": 1}') on conflict (name)"
            " do update set base = excluded.base"
        )
    assert await write(store, end=waiting_for("c"))
    assert await far(sql)
    match how:
        case "exhausted":
            await sql.execute(
                "update outlast.workflow_status set recovery_attempts = 3 where workflow_id = 'c'"
            )
            await store.instances.beat(-1.0)
            lost = (await other.instances.claim(Room([], 0, 0))).lost
            assert await other.instances.recover(lost) == [("c", "EXHAUSTED")]
        case "expired":
            await sql.execute(
                "update outlast.workflow_status set claimable_at = now() - interval '9 s'"
                " where workflow_id = 'c'"
            )
            await store.instances.claim_queued(Room(["f"], 10, 10))
        case _:
            await sql.execute(ENDS[how] or "")
    assert not await far(sql)
    assert await woken(store) == ["w"]


async def test_a_target_that_is_removed_wakes(store: PostgresStore, sql: AsyncConnection[Any]) -> None:
    await start(store, "c", "d", "w")
    assert await write(store, end=waiting_for("c", "d"))
    await sql.execute("delete from outlast.workflow_status where workflow_id in ('c', 'd')")
    assert (await store.instances.claim(Room(["f"], 10, 10))).untold
    assert (await store.messages.tell()).woken == 1
    assert await woken(store) == ["w"]
    assert await rows(sql, "select count(*) from outlast.waits") == [(0,)]


async def rows(sql: AsyncConnection[Any], query: str) -> list[Any]:
    return await (await sql.execute(query)).fetchall()


@pytest.mark.parametrize(
    "end",
    [
        "update outlast.workflow_status set status = 'ERROR', owner = null where workflow_id = 'c'",
        "begin isolation level repeatable read; select outlast.cancel_any('c'); commit",
        "begin isolation level serializable; select outlast.cancel_any('c'); commit",
    ],
)
async def test_what_nobody_told_of_is_told_by_the_next_claim(
    store: PostgresStore, sql: AsyncConnection[Any], end: str
) -> None:
    """An instance of an older version, SQL by hand, or a snapshot that may be older than the wait."""
    await family(store, "c")
    assert await write(store, end=waiting_for("c"))
    await sql.execute(end)
    claims = await store.instances.claim(Room(["f"], 10, 10))
    assert (claims.workflows, claims.untold) == ([], True)
    assert (await store.messages.tell()).woken == 1
    assert await woken(store) == ["w"]
    assert not (await store.instances.claim(Room(["f"], 10, 10))).untold


async def test_a_waiter_that_is_locked_is_woken_by_the_next_claim(
    store: PostgresStore, sql: AsyncConnection[Any]
) -> None:
    await family(store, "c")
    assert await write(store, end=waiting_for("c"))
    async with sql.transaction():
        await sql.execute("select from outlast.workflow_status where workflow_id = 'w' for update")
        # The end waits for nobody.
        assert await asyncio.wait_for(write(store, end=SUCCESS, of="c"), 10)
    assert (await store.instances.claim(Room(["f"], 10, 10))).untold
    assert (await store.messages.tell()).woken == 1
    assert await woken(store) == ["w"]


async def test_a_target_that_is_locked_keeps_nobody_asleep(
    store: PostgresStore, sql: AsyncConnection[Any]
) -> None:
    """Its end may be under way: whoever would wait for it looks once more."""
    await family(store, "c")
    async with sql.transaction(force_rollback=True):
        await sql.execute("update outlast.workflow_status set status = 'ERROR' where workflow_id = 'c'")
        assert await asyncio.wait_for(write(store, end=waiting_for("c")), 10)
    assert await woken(store) == ["w"]


@pytest.mark.parametrize("queue", [None, "q"])
async def test_a_child_that_starts_beside_a_cancel_is_no_orphan(
    store: PostgresStore, sql: AsyncConnection[Any], queue: str | None
) -> None:
    """Neither sees the other: the start waits for the cancel, and is refused."""
    await start(store, "w")
    async with sql.transaction():
        await sql.execute("select outlast.cancel_any('w')")
        starts = asyncio.ensure_future(
            store.journal.commit(Batch(4, [new("c", parent="w", queue=queue)], []))
        )
        await blocked(sql)
    assert (await asyncio.wait_for(starts, 10)).started == set()


async def blocked(sql: AsyncConnection[Any]) -> None:
    """Wait until a session waits for what this one holds."""
    waits = "select count(*) from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))"
    async with asyncio.timeout(10):
        while await rows(sql, waits) == [(0,)]:
            await asyncio.sleep(0.01)


async def test_recording_steps_is_in_nobodys_way(store: PostgresStore, sql: AsyncConnection[Any]) -> None:
    await family(store, "c")
    async with sql.transaction():
        await sql.execute("select from outlast.workflow_status where workflow_id = 'c' for share")
        assert await asyncio.wait_for(write(store, end=waiting_for("c")), 10)
    assert await woken(store) == []


async def test_a_cancel_of_many_goes_on_by_the_next_claims(
    store: PostgresStore, sql: AsyncConnection[Any]
) -> None:
    await start(store, "w")
    await sql.execute(
        "insert into outlast.workflow_status"
        " (workflow_id, function, status, parent, claimable_at, started_at)"
        " select 'w/' || n, 'f', 'PENDING', 'w', now() + interval '1 h', now()"
        " from generate_series(1, 12000) n"
    )
    assert await store.workflows.cancel("w", "me")
    live = "select count(*) from outlast.workflow_status where status in ('ENQUEUED', 'PENDING')"
    assert await rows(sql, live) == [(7000,)]
    looks = 0
    while (await store.instances.claim(Room(["f"], 10, 10))).untold:
        looks += 1
        await store.messages.tell()
    assert await rows(sql, live) == [(0,)]
    assert looks == 2


async def test_an_end_for_which_nobody_waits_writes_no_more_rows_than_before(
    store: PostgresStore, sql: AsyncConnection[Any]
) -> None:
    await family(store, "c")
    size = "select pg_relation_size('outlast.workflow_status_untold') + pg_relation_size('outlast.waits_due')"
    before = await rows(sql, size)
    assert await write(store, end=SUCCESS, of="c")
    assert await write(store, end=SUCCESS)
    assert await rows(sql, "select count(*) from outlast.waits") == [(0,)]
    versions = await rows(sql, "select xmax::text = '0' from outlast.workflow_status order by workflow_id")
    assert versions == [(True,), (True,)]
    assert await rows(sql, size) == before


# --- in all orders -----------------------------------------------------------------------------------------


async def test_in_a_storm_of_ends_and_waits_nobody_sleeps_on_and_nothing_stands_still(database: str) -> None:
    """Each of four instances owns children of all parents, and parents; each waits for all children.

    What they end and what they suspend goes out in common commits, in orders of chance.
    """
    chance = random.Random(17)
    parents, children = [f"p{n}" for n in range(8)], [f"c{n}" for n in range(40)]
    async with AsyncExitStack() as stack, await AsyncConnection.connect(database, autocommit=True) as sql:
        stores = []
        for name in "abcd":
            store = PostgresStore(Database.at(database, "tests"), name, "test", 3, RecoveryLimits())
            stack.push_async_callback(store.close)
            await store.instances.beat(60.0)
            stores.append(store)
        for again in range(12):
            await sql.execute("delete from outlast.workflow_status")
            owned: list[list[FencedWrite]] = []
            for place, store in enumerate(stores):
                of_parents, of_children = parents[place::4], children[place::4]
                await start(store, *of_parents)
                born = [new(each, parent=chance.choice(of_parents)) for each in of_children]
                assert len((await store.journal.commit(Batch(again + 9, born, []))).started) == 10
                writes = [FencedWrite(each, 1, [], SUCCESS) for each in of_children]
                writes += [FencedWrite(each, 1, [], waiting_for(*children)) for each in of_parents]
                chance.shuffle(writes)
                owned.append(writes)
            deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
            seeds = [chance.random() for _ in stores]
            await asyncio.wait_for(
                asyncio.gather(*(act(*each) for each in zip(stores, owned, seeds, strict=True))), 60
            )
            while (await stores[0].instances.claim(Room([], 0, 0))).untold:
                await stores[0].messages.tell()
            asleep = (
                "select workflow_id from outlast.workflow_status"
                " where status = 'PENDING' and claimable_at > now() + interval '1 s'"
            )
            assert await rows(sql, asleep) == [], f"again {again}"
            assert await rows(sql, deadlocks) == [(0,)]


async def act(store: PostgresStore, writes: list[FencedWrite], seed: float) -> None:
    chance = random.Random(seed)
    while writes:
        together, writes[:] = writes[:3], writes[3:]
        # A deadlock would be raised here.
        committed = await store.journal.commit(Batch(chance.getrandbits(60), [], together))
        assert committed.accepted == {each.workflow_id for each in together}
        await asyncio.sleep(chance.random() / 200)
