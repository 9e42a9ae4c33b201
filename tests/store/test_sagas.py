"""Rows of sagas: a cancel lets them undo, whoever asks, and in whatever order it comes with their marks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from outlast.core import kinds
from outlast.core.claims import Room
from outlast.core.records import Batch, Ending, FencedWrite, NewWorkflow, StepRecord, Suspension
from outlast.core.status import Status
from tests.store.harness import rows, start, store_of, under_way, waits_for_a_lock

UNDO = StepRecord("1", "undo book", '{"step": "book"}', None, 0, 1, kinds.UNDO)
STOP = StepRecord(
    kinds.STOP_ID, "stop", '{"code": "workflow_cancelled", "message": "m"}', None, 0, 2, kinds.STOP
)
ROW = (
    "select status, owner, epoch::int, saga, stop ->> 'message', claimable_at <= now()"
    " from outlast.workflow_status"
)
CANCELS = {
    "sql": "select outlast.cancel('w')",
    "statement": "select status from outlast.cancel_workflows(array['w'], 'why', 7)",
}


def noted(*records: StepRecord, epoch: int = 1, end: Any = None, nonce: int = 2) -> Batch:
    return Batch(nonce, [], [FencedWrite("w", epoch, list(records), end)])


@pytest.mark.parametrize("how", CANCELS)
async def test_a_cancel_of_one_that_runs_leaves_it_to_its_owner(database: str, how: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        assert (await store.journal.commit(noted(UNDO))).accepted == {"w"}
        assert await rows(database, ROW) == [("PENDING", "me", 1, "open", None, None)]
        for _ in range(2):
            assert await rows(database, CANCELS[how]) == [(True if how == "sql" else "PENDING",)]
            ((status, owner, epoch, saga, message, _),) = await rows(database, ROW)
            assert (status, owner, epoch, saga) == ("PENDING", "me", 1, "stopping")
            assert message == ("the workflow was cancelled" if how == "sql" else "why")
        stops = (await store.instances.claim(Room([], 0, 0))).stops
        assert json.loads(stops["w"])["code"] == "workflow_cancelled"
        assert (await store.journal.commit(noted(STOP, nonce=3))).accepted == {"w"}
        assert (await store.instances.claim(Room([], 0, 0))).stops == {}
        assert [each[3] for each in await rows(database, ROW)] == ["undoing"]
        await rows(database, CANCELS[how])
        assert [each[3] for each in await rows(database, ROW)] == ["undoing"], "another changes nothing"
        ended = Ending(Status.CANCELLED, error='{"code": "workflow_cancelled"}')
        assert (await store.journal.commit(noted(end=ended, nonce=4))).accepted == {"w"}
        assert await rows(database, CANCELS["statement"]) == []


async def test_one_that_noted_nothing_ends_at_once(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        assert await store.workflows.cancel("w", "me") is Status.CANCELLED
        assert (await store.journal.commit(noted(UNDO))).accepted == set()
        assert await rows(database, ROW) == [("CANCELLED", None, 2, None, None, None)]


async def test_one_that_sleeps_is_due_and_its_claim_brings_the_stop(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        await store.journal.commit(noted(UNDO, end=Suspension(4e9)))
        assert await store.workflows.cancel("w", "me") is Status.PENDING
        (claimed,) = (await store.instances.claim(Room(["f"], 1, 0))).workflows
        async for loaded in store.workflows.load([claimed], lambda _: False):
            assert json.loads(loaded.stop or "null")["message"] == "the workflow was cancelled"
            assert [each.kind for each in loaded.history.records.values()] == [kinds.UNDO]


async def test_what_is_cancelled_while_it_leaves_the_memory_is_due_at_once(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        await store.journal.commit(noted(UNDO))
        assert await store.workflows.cancel("w", "me") is Status.PENDING
        assert (await store.journal.commit(noted(end=Suspension(4e9), nonce=3))).accepted == {"w"}
        assert await rows(database, ROW) == [
            ("PENDING", None, 1, "stopping", "the workflow was cancelled", True)
        ]


async def test_a_cancel_that_meets_the_note_waits_for_it_and_lets_it_be_undone(database: str) -> None:
    note = """
        update outlast.workflow_status set saga = 'open' where workflow_id = 'w'
    """
    async with store_of(database) as store:
        await start(store, "w")
        async with under_way(database, note):
            cancelling = asyncio.create_task(store.workflows.cancel("w", "me"))
            await waits_for_a_lock(database, cancelling)
            assert not cancelling.done()
        assert await cancelling is Status.PENDING
        assert [each[3] for each in await rows(database, ROW)] == ["stopping"]


async def test_a_note_that_meets_a_cancel_is_refused(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        async with under_way(database, CANCELS["statement"]):
            noting = asyncio.create_task(store.journal.commit(noted(UNDO)))
            await waits_for_a_lock(database, noting)
            assert not noting.done()
        assert (await noting).accepted == set()
        assert await rows(database, "select from outlast.operation_outputs") == []


async def test_a_cancel_of_an_older_snapshot_is_refused_rather_than_wrong(database: str) -> None:
    async with store_of(database) as store:
        await start(store, "w")
        async with await AsyncConnection.connect(database) as connection:
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await connection.execute("select count(*) from outlast.workflow_status")
            await store.journal.commit(noted(UNDO))
            with pytest.raises(psycopg.errors.SerializationFailure):
                await connection.execute(CANCELS["sql"])
        assert [each[3] for each in await rows(database, ROW)] == ["open"]


async def test_a_queue_that_replaces_lets_the_old_one_undo(database: str) -> None:
    options = json.dumps({"key": "k", "exclusive": True, "on_busy": "replace"})
    async with store_of(database) as store:
        await rows(database, "insert into outlast.queues (name, base) values ('q', %s)", options)
        await start(store, "w")
        await rows(
            database,
            "update outlast.workflow_status set queue = 'q', queue_key = '1' where workflow_id = 'w'",
        )
        await store.journal.commit(noted(UNDO))
        new = NewWorkflow("x", "f", '{"k": 1}', queue="q", queue_key="1")
        assert (await store.queues.enqueue([new], 9))[0].outcome == "started"
        assert await rows(database, f"{ROW} where workflow_id = 'w'") == [
            ("PENDING", "me", 1, "stopping", "replaced by a newer call of its key in queue q", None)
        ]


async def test_how_far_it_has_undone_is_what_it_waits_on(database: str) -> None:
    def note(number: int, name: str, output: str) -> StepRecord:
        return StepRecord(str(number), name, output, None, 0, number, kinds.UNDO)

    waits = "select outlast.undoing_on('w')"
    async with store_of(database) as store:
        await start(store, "w")
        await store.journal.commit(noted(UNDO))
        assert await rows(database, waits) == [(None,)]
        await store.workflows.cancel("w", "me")
        assert await rows(database, waits) == [("undoing",)]
        await store.journal.commit(noted(STOP, note(3, "undoing", '{"total": 2}'), nonce=3))
        assert await rows(database, waits) == [("undoing: 0 of 2",)]
        await store.journal.commit(noted(note(4, "undone", "{}"), end=Suspension(4e9), nonce=4))
        assert await rows(database, waits) == [("undoing: 1 of 2, tries again at 2096-10-02T07:06:40Z",)]
        shown = await store.workflows.show("w")
        assert shown is not None
        assert shown["waiting_on"] == "undoing: 1 of 2, tries again at 2096-10-02T07:06:40Z"
