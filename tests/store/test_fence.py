"""The fence: nothing of a superseded execution lands, whenever it was superseded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast.core.errors import UsageError
from outlast.core.ports import Fence, TransactionWork
from outlast.core.records import Batch, Ending, FencedWrite, NewWorkflow, StepRecord, Suspension
from outlast.core.status import Status
from outlast.store.postgres import PostgresStore
from tests.store.harness import rows, start, step, store_of, under_way, waits_for_a_lock

TAKEOVER = "update outlast.workflow_status set owner = null, epoch = epoch + 1, claimable_at = now()"
STEPS = "select step_id, output::text from outlast.operation_outputs order by 1"
EFFECTS = "select count(*) from effects"
ENDS = {"record": None, "end": Ending(Status.SUCCESS, output="1"), "suspension": Suspension(9e9)}


def paying(runs: list[int]) -> TransactionWork:
    """A transaction with an effect; each run returns its number."""

    async def run(connection: Any) -> StepRecord:
        runs.append(len(runs) + 1)
        await connection.execute("insert into effects values (1)")
        return step(1, str(len(runs)))

    return TransactionWork(run, threaded=False, isolation=None)


async def pay(store: PostgresStore, runs: list[int], epoch: int = 1) -> StepRecord | None:
    return await store.transactions.transact(paying(runs), Fence("w", epoch, "1", 7))


@pytest.mark.parametrize("end", ENDS)
async def test_a_write_waits_for_a_takeover_that_is_under_way_and_is_refused(database: str, end: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        async with under_way(database, TAKEOVER):
            batch = Batch(2, [], [FencedWrite("w", 1, [step(1)], ENDS[end])])
            commit = asyncio.create_task(store.journal.commit(batch))
            await waits_for_a_lock(database, commit)
            assert not commit.done()
        assert (await commit).accepted == frozenset()
    assert await rows(database, STEPS) == []
    assert await rows(database, "select status, epoch from outlast.workflow_status") == [("PENDING", 2)]


async def test_a_transaction_waits_for_a_takeover_that_is_under_way_and_leaves_nothing(database: str) -> None:
    await rows(database, "create table effects (n int)")
    async with store_of(database) as store:
        await start(store, "w")
        async with under_way(database, TAKEOVER):
            paid = asyncio.create_task(pay(store, []))
            await waits_for_a_lock(database, paid)
            assert not paid.done()
        assert await paid is None
    assert await rows(database, EFFECTS) == [(0,)]
    assert await rows(database, STEPS) == []


@pytest.mark.parametrize("change", ["epoch = 2", "owner = 'you'", "owner = null"])
async def test_a_transaction_of_a_superseded_execution_leaves_nothing(database: str, change: str) -> None:
    await rows(database, "create table effects (n int)")
    async with store_of(database) as store:
        await start(store, "w")
        await rows(database, f"update outlast.workflow_status set {change}")
        assert await pay(store, []) is None
    assert await rows(database, EFFECTS) == [(0,)]
    assert await rows(database, STEPS) == []


async def test_a_transaction_that_was_recorded_undoes_its_second_run(database: str) -> None:
    await rows(database, "create table effects (n int)")
    runs: list[int] = []
    async with store_of(database) as store:
        await start(store, "w")
        first, second = await pay(store, runs), await pay(store, runs)
    assert runs == [1, 2]
    assert first is not None
    assert second is not None
    assert (first.output, second.output) == ("1", "1")
    assert await rows(database, EFFECTS) == [(1,)]
    assert await rows(database, STEPS) == [("1", "1")]


async def test_a_second_run_that_fails_was_done_by_the_first(database: str) -> None:
    """As one does that finds its own effect in its way."""
    await rows(database, "create table effects (n int)")

    async def fail(connection: Any) -> StepRecord:
        await connection.execute("select 1 / (select 0 from effects)")
        raise AssertionError("it divides by zero")

    async with store_of(database) as store:
        await start(store, "w")
        await pay(store, [])
        failing = TransactionWork(fail, threaded=False, isolation=None)
        stands = await store.transactions.transact(failing, Fence("w", 1, "1", 8))
        assert stands is not None
        assert stands.output == "1"


async def test_a_start_leaves_a_row_that_is_there_as_it_is(database: str) -> None:
    row = "select xmin::text, ctid::text from outlast.workflow_status"
    async with store_of(database) as store, store_of(database, "you") as other:
        await start(store, "w")
        before = await rows(database, row)
        assert (
            await other.journal.commit(Batch(2, [NewWorkflow("w", "g", "{}")], []))
        ).started == frozenset()
    assert await rows(database, row) == before


async def test_a_sleep_is_ended_by_none_but_itself(database: str) -> None:
    asleep = StepRecord("1", "sleep", "9e9", None, 1, None)
    async with store_of(database) as store:
        await start(store, "w")
        await store.journal.commit(Batch(2, [], [FencedWrite("w", 1, [asleep])]))
        assert (await store.journal.commit(Batch(3, [], [FencedWrite("w", 1, [step(1)])]))).accepted == set()
        over = Batch(4, [], [FencedWrite("w", 1, [asleep._replace(completion_order=1)])])
        assert (await store.journal.commit(over)).accepted == {"w"}
        # As after an answer that was lost: the row bears the nonce of the batch that ended the sleep.
        assert set(await store.journal.confirm(over)) == {"w"}


@pytest.mark.parametrize("end", ENDS)
async def test_what_a_lost_answer_said_is_told_by_the_nonce(database: str, end: str) -> None:
    started = Batch(1, [NewWorkflow("w", "f", "{}")], [])
    written = Batch(2, [], [FencedWrite("w", 1, [] if ENDS[end] else [step(1)], ENDS[end])])
    async with store_of(database) as store:
        await store.journal.commit(started)
        assert set(await store.journal.confirm(started)) == {"w"}
        assert set(await store.journal.confirm(Batch(9, started.starts, []))) == frozenset()
        await store.journal.commit(written)
        assert set(await store.journal.confirm(written)) == {"w"}
        assert set(await store.journal.confirm(Batch(9, [], written.writes))) == frozenset()


async def test_a_transaction_without_a_record_may_not_end_itself(database: str) -> None:
    async def run(connection: Any) -> StepRecord:
        await connection.execute("commit")
        return step(1)

    async with store_of(database) as store:
        with pytest.raises(UsageError):
            await store.transactions.transact(TransactionWork(run, threaded=False, isolation=None), None)
        await store.workflows.ended([])
