"""The table of a workflow's life is what the statements do: no more, no less."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import psycopg
import pytest

from outlast import workflow
from outlast.core.claims import LostInstance, Room
from outlast.core.ports import NoSuchRow, NotNow
from outlast.core.records import Batch, Ending, FencedWrite, NewWorkflow, Suspension
from outlast.core.resources import WORKFLOWS
from outlast.core.status import FAILED, LIVE, TRANSITIONS, Change, Status
from outlast.core.verbs import DELETE, KILL, PAUSE, RESUME, RETRY, REWIND, SETTLE, UNDO, Verb
from outlast.core.verbs import VERBS as ALL_VERBS
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore
from tests.engine.harness import engine_on


def test_nothing_leaves_an_end() -> None:
    for (status, change), after in TRANSITIONS.items():
        if status is None or status in LIVE:
            continue
        again = change in (Change.RETRY, Change.REWIND)
        assert status in FAILED if again else after in (status, None), (status, change)
        assert change is not Change.SETTLE or status in FAILED
    assert {status for status in Status if status.ended} == set(Status) - LIVE


ID = "f:w"
RECORD = """
insert into outlast.operation_outputs (workflow_id, step_id, name, completion_order)
select workflow_id, '1', 's', %s from outlast.workflow_status
"""
INSERT = """
insert into outlast.workflow_status (workflow_id, function, status, owner, epoch, claimable_at, held)
values (%s, 'f', %s, %s, 1, %s, %s)
"""
LONG_AGO = "2026-01-01T00:00:00Z"
HELD = json.dumps({"reason": "non_determinism", "version": "1", "since": LONG_AGO, "message": "m"})
HOLDS = {
    Change.FREE: HELD,
    Change.END_HELD: HELD,
    Change.RESUME: json.dumps({"reason": "paused", "since": LONG_AGO}),
    Change.SETTLE: json.dumps({"reason": "paused", "since": LONG_AGO}),
}
"""What holds a live workflow before."""

ENDS: dict[Change, Any] = {
    Change.FINISH: Ending(Status.SUCCESS, output="1"),
    Change.FAIL: Ending(Status.ERROR, error='{"code": "x"}'),
    Change.SUSPEND: Suspension(9e9),
}
VERBS: dict[Change, tuple[Verb, dict[str, Any]]] = {
    Change.PAUSE: (PAUSE, {}),
    Change.RESUME: (RESUME, {}),
    Change.SETTLE: (SETTLE, {"step": "1", "output": 1}),
    Change.RETRY: (RETRY, {}),
    Change.REWIND: (REWIND, {"to": "1"}),
    Change.DELETE: (DELETE, {}),
}
BY_SQL = {
    # What runs, and what waits.
    Change.HOLD: [
        f"select from outlast.hold_workflows('me', '{{{ID}}}', '{{1}}', array['{HELD}'])",
        "select from outlast.hold_unserved('0 s', 10)",
    ],
    Change.FREE: ["select outlast.free_fitting('me', 10)"],
    Change.END_HELD: ["select outlast.end_held(1, 10)"],
}


async def apply(store: PostgresStore, connection: psycopg.AsyncConnection[Any], change: Change) -> None:
    """Do to the workflow what `change` is."""
    if change is Change.START:
        await store.journal.commit(Batch(1, [NewWorkflow(ID, "f", "{}")], []))
    elif change is Change.ENQUEUE:
        with contextlib.suppress(psycopg.Error):  # the key is used
            await connection.execute("select outlast.start('f', '{}', 'w')")
    elif change is Change.CLAIM:
        await store.instances.claim(Room(["f"], 5, 5))
    elif change is Change.RELEASE:
        await store.instances.release({ID: 1})
    elif change in (Change.CANCEL, Change.KILL):
        await store.workflows.cancel(ID, "me", mode=KILL if change is Change.KILL else UNDO)
    elif change in VERBS:
        verb, given = VERBS[change]
        with contextlib.suppress(NotNow, NoSuchRow):
            await store.workflows.act(verb, ID, given, "me")
    elif change in BY_SQL:
        for statement in BY_SQL[change]:
            await connection.execute(statement.encode())
    elif change in (Change.RECOVER, Change.EXHAUST):
        await store.instances.recover([LostInstance("me", 0.0, expired=True)])
    else:
        await store.journal.commit(Batch(2, [], [FencedWrite(ID, 1, [], ENDS[change])]))


async def prepare(connection: psycopg.AsyncConnection[Any], status: Status | None, change: Change) -> None:
    """A workflow as it is before."""
    await connection.execute("truncate outlast.workflow_status, outlast.instances cascade")
    # Whose code is another one by now, where what was held is to go on; else it has told nothing.
    serves = '{"f": "2"}' if change is Change.FREE else "{}" if change is Change.HOLD else None
    until = "-infinity" if change is not Change.FREE else "infinity"
    await connection.execute(
        "insert into outlast.instances (instance_id, lease_until, versions) values ('me', %s, %s)",
        (until, serves),
    )
    if status is None:
        return
    held = HOLDS.get(change) if status in LIVE or change is Change.END_HELD else None
    owned = status is Status.PENDING and change is not Change.CLAIM and held is None
    due = None if owned or status not in LIVE else "-infinity"
    await connection.execute(INSERT, (ID, status, "me" if owned else None, due, held))
    if change in VERBS:
        await connection.execute(RECORD, (None if change is Change.SETTLE else 1,))


@pytest.mark.postgres
# A fork is another workflow: it changes nothing of this one.
@pytest.mark.parametrize("change", [each for each in Change if each is not Change.FORK])
async def test_statements_change_what_the_table_says(database: str, change: Change) -> None:
    limits = RecoveryLimits(attempts_max=0 if change is Change.EXHAUST else 10)
    store = PostgresStore(Database.at(database, "tests"), "me", "test", 4, limits)
    query = "select status, owner is null and claimable_at is null, w::text from outlast.workflow_status w"
    try:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            for status in (None, *Status):
                await prepare(connection, status, change)
                before = await (await connection.execute(query)).fetchone()
                await apply(store, connection, change)
                row = await (await connection.execute(query)).fetchone()
                found = None if row is None else Status(row[0])
                assert found == TRANSITIONS.get((status, change), status), (status, change)
                assert (row != before) == ((status, change) in TRANSITIONS), (status, change)
                if row is not None and found not in LIVE:
                    assert row[1]
    finally:
        await store.close()


def test_a_verbs_statuses_are_those_of_the_table() -> None:
    every = frozenset(Status)
    of = {each.name: each.statuses for each in ALL_VERBS if each.noun is WORKFLOWS}
    assert (of["pause"], of["cancel"], of["retry"], of["fork"]) == (LIVE, LIVE, FAILED, every)
    assert (of["settle"], of["delete"]) == (LIVE | FAILED, every - LIVE)


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
