"""Rows that somebody holds in an open transaction: who needs them waits shortly, and at few places."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from outlast.core.holds import Hold
from outlast.core.ports import Fence, HeldUp, TransactionWork, Unreachable
from outlast.core.records import LimitUse, NewWorkflow, StepRecord
from outlast.engine.instances.holding import Holder
from outlast.store import pool, repeatable
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.migrations import lock_migrations
from outlast.store.postgres import PostgresStore
from tests.engine.harness import Functions
from tests.store.harness import WAIT_S, rows, start, step, store_of, under_way, waits_for_a_lock

HELD = "select from outlast.workflow_status where workflow_id = 'w' for update"
DOOR = "select outlast.start('d', '{}')"
LIMIT = "select pg_advisory_xact_lock(hashtextextended('outlast_limit:l', 0))"
HOLD = Hold({"reason": "function_missing", "version": "v1"})
USE = LimitUse("l", "w", 1, "1")


async def recorded(_: Any) -> StepRecord:
    return step(1)


WORK = TransactionWork(recorded, threaded=False, isolation=None)
Needs = Callable[[PostgresStore], Awaitable[Any]]
NEEDS: dict[str, tuple[str, Needs]] = {
    "a door": (DOOR, lambda store: store.queues.enqueue([queued("v")], 7)),
    "a verb that changes": (HELD, lambda store: store.workflows.cancel("w", "me")),
    "a message": (HELD, lambda store: store.messages.send("w", "1", "t", "k")),
    "a limit": (LIMIT, lambda store: store.queues.take_limit(USE, {"concurrency": 1})),
    "a hold": (HELD, lambda store: store.holds.hold([("w", 1, HOLD)])),
    "a record": (HELD, lambda store: store.transactions.transact(WORK, Fence("w", 1, "1", 5))),
    "a version": (HELD, lambda store: store.holds.pin("w", 1, "v1")),
}


def queued(workflow_id: str) -> NewWorkflow:
    return NewWorkflow(workflow_id, "d", "{}", queue="doors")


@pytest.fixture
async def stored(database: str) -> str:
    """A database with the workflow `w` and a queue `doors`, of the function `d`, that has a door."""
    async with store_of(database) as store:
        await start(store, "w")
    await rows(
        database,
        """insert into outlast.queues (name, base, functions)
        values ('doors', '{"max_backlog": 9}', '{d}')""",
    )
    return database


@pytest.mark.parametrize("sessions", [None, False], ids=["direct", "no sessions"])
@pytest.mark.parametrize("needs", NEEDS)
async def test_who_needs_what_somebody_holds_is_told_so(
    stored: str, needs: str, sessions: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LOCK_WAIT", "50ms")
    monkeypatch.setattr(repeatable, "LOCK_WAIT", "50ms")
    held, do = NEEDS[needs]
    store = PostgresStore(Database.at(stored, "tests", sessions), "me", "test", 4, RecoveryLimits())
    async with asyncio.timeout(WAIT_S), under_way(stored, held):
        with pytest.raises(Unreachable, match=r"another transaction|lock timeout"):
            await do(store)
    await do(store)
    await store.close()


async def test_they_wait_at_half_of_the_places_and_fail_together(stored: str) -> None:
    async with asyncio.timeout(WAIT_S), store_of(stored) as store, under_way(stored, HELD):
        cancels = [asyncio.create_task(store.workflows.cancel("w", "me")) for _ in range(5)]
        await waits_for_a_lock(stored, cancels[0])
        assert (await store.workflows.ownership(["w"])).keys() == {"w"}  # over the other place
        assert not any(each.done() for each in cancels)
        await asyncio.wait(cancels, return_when=asyncio.FIRST_COMPLETED)
        await waits_for_a_lock(stored, cancels[-1])
        assert cancels[-1].done()  # without a wait of its own
        found = await asyncio.gather(*cancels, return_exceptions=True)
        assert [type(each) for each in found] == [HeldUp] * 5


async def test_who_is_cancelled_while_it_waits_takes_no_place(stored: str) -> None:
    async with asyncio.timeout(WAIT_S), store_of(stored) as store:
        async with under_way(stored, HELD):
            cancels = [asyncio.create_task(store.workflows.cancel("w", "me")) for _ in range(5)]
            await waits_for_a_lock(stored, cancels[0])
            for each in cancels:
                each.cancel()
            await asyncio.wait(cancels)
        assert await store.workflows.cancel("w", "me")


async def test_what_may_have_been_done_is_not_taken_for_undone(stored: str) -> None:
    """The first try was cut off, and its answer is lost; the second finds the row held."""
    async with asyncio.timeout(WAIT_S), store_of(stored) as store, under_way(stored, HELD):
        cancel = asyncio.create_task(store.workflows.cancel("w", "me"))
        await waits_for_a_lock(stored, cancel)
        await rows(
            stored,
            "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database()",
        )
        with pytest.raises(Unreachable) as raised:
            await cancel
        assert not isinstance(raised.value, HeldUp)


async def test_whoever_migrates_waits_for_the_others(stored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LOCK_WAIT", "1ms")
    await rows(
        stored,
        "delete from outlast.schema_migrations m"
        " where m.version = (select max(version) from outlast.schema_migrations)",
    )
    async with asyncio.timeout(WAIT_S), store_of(stored) as store:
        async with await Database.at(stored, "tests").connect() as other, other.transaction():
            await lock_migrations(other)
            migrating = asyncio.create_task(store.migrate())
            await waits_for_a_lock(stored, migrating)
            await asyncio.wait([migrating], timeout=0.1)
            assert not migrating.done()
        applied, _ = await migrating
        assert len(applied) == 1


async def test_a_row_that_is_held_keeps_no_other_from_being_given_back(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "LOCK_WAIT", "50ms")
    async with asyncio.timeout(WAIT_S), store_of(stored) as store:
        await start(store, "other", nonce=2)
        holder = Holder(
            store.holds, Functions(), lambda: None, lambda: False, lambda _: None, 60.0, 60.0, 60.0, 0.0
        )
        async with under_way(stored, HELD):
            waits = asyncio.create_task(holder.hold("w", 1, HOLD))
            other = asyncio.create_task(holder.hold("other", 1, HOLD))
            await asyncio.sleep(0)
            holder.loop.open()
            assert await other is True
            assert not waits.done()
        assert await waits is True
        await holder.close()
