"""The table of a workflow's life is what the statements do: no more, no less."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg
import pytest

from outlast import workflow
from outlast.core.ports import NoSuchRow, NotNow
from outlast.core.records import Batch, Ending, FencedWrite, LostInstance, NewWorkflow, Suspension
from outlast.core.status import FAILED, LIVE, TRANSITIONS, Change, Status
from outlast.core.verbs import RETRY, REWIND
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore
from tests.engine.harness import engine_on


def test_nothing_leaves_an_end() -> None:
    for status, change in TRANSITIONS:
        again = change in (Change.RETRY, Change.REWIND)
        assert status is None or (status in FAILED if again else status in LIVE)
    assert {status for status in Status if status.ended} == set(Status) - LIVE


ID = "f:w"
RECORD = """
insert into outlast.operation_outputs (workflow_id, step_id, name, completion_order)
select workflow_id, '1', 's', 1 from outlast.workflow_status
"""


async def apply(store: PostgresStore, connection: psycopg.AsyncConnection[Any], change: Change) -> None:
    """Do to the workflow what `change` is."""
    ends: dict[Change, Any] = {
        Change.FINISH: Ending(Status.SUCCESS, output="1"),
        Change.FAIL: Ending(Status.ERROR, error='{"code": "x"}'),
        Change.SUSPEND: Suspension(9e9),
    }
    if change is Change.START:
        await store.journal.commit(Batch(1, [NewWorkflow(ID, "f", "{}")], []))
    elif change is Change.ENQUEUE:
        with contextlib.suppress(psycopg.Error):  # the key is used
            await connection.execute("select outlast.start('f', '{}', 'w')")
    elif change is Change.CLAIM:
        await store.instances.claim(["f"], 5, 5)
    elif change is Change.RELEASE:
        await store.instances.release({ID: 1})
    elif change is Change.CANCEL:
        await store.workflows.cancel(ID, "me")
    elif change in (Change.RETRY, Change.REWIND):
        await connection.execute(RECORD)
        with contextlib.suppress(NotNow, NoSuchRow):
            if change is Change.RETRY:
                await store.workflows.act(RETRY, ID, {}, "me")
            else:
                await store.workflows.act(REWIND, ID, {"to": "1"}, "me")
    elif change in (Change.RECOVER, Change.EXHAUST):
        await store.instances.recover([LostInstance("me", 0.0, expired=True)])
    else:
        await store.journal.commit(Batch(2, [], [FencedWrite(ID, 1, [], ends[change])]))


@pytest.mark.postgres
# A fork is another workflow: it changes nothing of this one.
@pytest.mark.parametrize("change", [each for each in Change if each is not Change.FORK])
async def test_statements_change_what_the_table_says(database: str, change: Change) -> None:
    limits = RecoveryLimits(attempts_max=0 if change is Change.EXHAUST else 10)
    store = PostgresStore(Database.at(database, "tests"), "me", "test", 4, limits)
    try:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            for status in (None, *Status):
                await connection.execute("truncate outlast.workflow_status, outlast.instances cascade")
                await connection.execute("insert into outlast.instances values ('me', '-infinity')")
                owned = status is Status.PENDING and change is not Change.CLAIM
                if status is not None:
                    await connection.execute(
                        "insert into outlast.workflow_status (workflow_id, function, status, owner, epoch,"
                        " claimable_at) values (%s, 'f', %s, %s, 1, %s)",
                        (
                            ID,
                            status,
                            "me" if owned else None,
                            None if owned or status not in LIVE else "-infinity",
                        ),
                    )
                await apply(store, connection, change)
                row = await (
                    await connection.execute(
                        "select status, owner is null and claimable_at is null from outlast.workflow_status"
                    )
                ).fetchone()
                found = None if row is None else Status(row[0])
                assert found == TRANSITIONS.get((status, change), status), (status, change)
                if row is not None and found not in LIVE:
                    assert row[1]
    finally:
        await store.close()


@pytest.mark.postgres
@pytest.mark.parametrize("status", list(Status))
async def test_a_fork_begins_as_the_table_says(database: str, status: Status) -> None:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            "insert into outlast.workflow_status (workflow_id, function, status) values ('w', 'f', %s)",
            (status,),
        )
        await connection.execute("select outlast.fork_workflow('w')")
        query = "select workflow_id, status from outlast.workflow_status"
        found: dict[str, str] = dict(await (await connection.execute(query)).fetchall())
    assert found == {"w": status, "w~2": TRANSITIONS[None, Change.FORK]}


async def test_a_started_workflow_goes_through_the_table(database: str) -> None:
    @workflow
    async def flow() -> int:
        return 1

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == 1
        assert (await bench.row(workflow_id))["status"] == "SUCCESS"
