"""What the engine tells its listeners: starts, ends of steps, claims and commits, each once and as it was."""

from __future__ import annotations

import json
from typing import TypeVar

import pytest

from outlast import Queue, every, start, step, transaction, workflow
from outlast.core.errors import WorkflowFailed
from outlast.core.observations import (
    JournalCommitted,
    Observation,
    StepEnded,
    WorkflowsClaimed,
    WorkflowStarted,
)
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

T = TypeVar("T", bound=Observation)
tries = 0


@step(max_attempts=3, backoff=0.001)
async def flaky() -> int:
    global tries
    tries += 1
    if tries < 3:
        raise OSError("not yet")
    return tries


@step
async def fail() -> None:
    raise ValueError("no")


@transaction
async def count(connection: object) -> int:
    return 1


@workflow
async def child() -> int:
    return 1


@workflow
async def parent() -> int:
    handle = await start(child)
    return await handle.result()


@workflow
async def works() -> int:
    return await flaky() + await count()


@workflow
async def fails() -> None:
    await fail()


def told(bench: Bench, kind: type[T]) -> list[T]:
    return [each for each in bench.observations if isinstance(each, kind)]


async def test_a_start_is_told_once_with_what_made_it(database: str) -> None:
    async with engine_on(database, parent, child) as bench:
        called = await bench.start(parent)
        assert await bench.result(called) == 1
        (row,) = await bench.rows("select outlast.start('child', %s::text, 'k') as id", json.dumps({}))
        assert await bench.result(row["id"]) == 1
        starts = {(each.workflow_id, each.function, each.trigger) for each in told(bench, WorkflowStarted)}
        (of_parent,) = [each for each in starts if each[2] == "child"]
        assert starts == {(called, "parent", "call"), of_parent, (row["id"], "child", "sql")}
        assert len(told(bench, WorkflowStarted)) == 3


async def test_what_had_to_wait_is_told_once_with_what_made_it(database: str) -> None:
    queue = Queue("told")

    @workflow(queue=queue)
    async def queued() -> int:
        return 1

    @workflow
    async def asks() -> str:
        handle = await start(queued)
        await handle.result()
        return handle.workflow_id

    @workflow(queue=queue, schedule=every(seconds=1))
    async def ticks() -> None: ...

    async with engine_on(database, queued, asks, ticks) as bench:
        called = await bench.engine.host.start(queued.definition, (), {}, None)
        (row,) = await bench.rows("select outlast.start('queued', '{}', 'k') as id")
        of_parent = await bench.result(await bench.start(asks))
        assert [await bench.result(each) for each in (called, row["id"])] == [1, 1]

        def ticked() -> list[WorkflowStarted]:
            return [each for each in told(bench, WorkflowStarted) if each.function == "ticks"]

        await bench.until(ticked)
        starts = [each for each in told(bench, WorkflowStarted) if each.function == "queued"]
        assert sorted((each.workflow_id, each.trigger) for each in starts) == sorted(
            [(called, "call"), (row["id"], "sql"), (of_parent, "child")]
        )
        assert {each.trigger for each in ticked()} == {"schedule"}


async def test_a_workflow_that_is_claimed_again_is_not_started_again(database: str) -> None:
    async with engine_on(database, works) as bench:
        await bench.rows(
            """
            insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at, epoch)
            values ('w', 'works', 'PENDING', '{}', now() - interval '90 s', 1)
            """
        )
        await bench.result("w")
        assert told(bench, WorkflowStarted) == []
        (claim,) = [each for each in told(bench, WorkflowsClaimed) if "w" in each.workflow_ids]
        (lag_s,) = claim.lags_s
        assert 89.0 < lag_s < 150.0


async def test_a_step_is_told_when_it_has_ended_with_its_attempts_and_how(database: str) -> None:
    global tries
    tries = 0
    async with engine_on(database, works, fails) as bench:
        workflow_id = await bench.start(works)
        assert await bench.result(workflow_id) == 4
        flaky_one, transacted = told(bench, StepEnded)
        expected = (workflow_id, "works", "flaky", "step", True, 3)
        found = flaky_one
        assert (
            found.workflow_id,
            found.function,
            found.name,
            found.kind,
            found.succeeded,
            found.attempts,
        ) == expected
        assert found.duration_s > 0.0
        assert (transacted.name, transacted.kind, transacted.attempts) == ("count", "transaction", 1)
        with pytest.raises(WorkflowFailed):
            await bench.run(fails)
        (_, _, failed) = told(bench, StepEnded)
        assert (failed.name, failed.succeeded) == ("fail", False)


async def test_each_commit_is_told_with_what_waits_behind_it(database: str) -> None:
    async with engine_on(database, child) as bench:
        await bench.run(child)
        commits = told(bench, JournalCommitted)
        assert [(each.workflows, each.depth) for each in commits] == [(1, 0), (1, 0)]
        assert all(each.took_s > 0.0 for each in commits)
