"""The cases of queues on Postgres, and what shows in its statements."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress

import pytest

from outlast import Queue, workflow
from outlast.core import records
from outlast.core.errors import DatabaseUnavailable
from outlast.core.observations import LoopFailed, QueueUndecided
from outlast.core.resources import CATALOG
from outlast.core.status import Status
from outlast.engine.instances import membership
from tests.engine import queue_cases
from tests.engine.harness import engine_on
from tests.engine.queue_cases import *  # noqa: F403
from tests.engine.queue_cases import batched, bench_on, started, state_of
from tests.store.harness import under_way

pytestmark = pytest.mark.postgres


async def test_members_end_in_the_commit_of_their_batch_and_not_by_an_end_that_is_refused(
    database: str,
) -> None:
    job = batched()
    queue_cases.batches.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in "abc"]
        await bench.until(lambda: queue_cases.batches.got)
        batch = f"{ids[0]}/batch"
        ending = records.Ending(Status.SUCCESS, output='["x", "y", "z"]')
        for epoch, outputs in ((0, [None] * 3), (1, ['"x"', '"y"', '"z"'])):
            writes = [records.FencedWrite(batch, epoch, [], ending)]
            await bench.store.journal.commit(records.Batch(epoch + 1, [], writes))
            assert [(await state_of(bench, each)).output for each in ids] == outputs
            ended = [(await bench.row(each))["completed_at"] is not None for each in ids]
            assert ended == [bool(epoch)] * 3
        queue_cases.batches.gate.set()


async def test_members_of_a_batch_that_runs_are_counted_as_open(database: str) -> None:
    job = batched()
    queue_cases.batches.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in "abc"]
        await bench.until(lambda: queue_cases.batches.got)
        opened = (await bench.store.measures()).open
        assert sorted((state, count) for _, state, count in opened) == [("running", 1), ("waiting", 3)]
        (found,) = (await bench.store.workflows.listing(CATALOG, {})).rows
        assert (found["running"], found["waiting"]) == (1, 3)
        queue_cases.batches.gate.set()
        await queue_cases.all_of(bench, ids)
        assert (await bench.store.measures()).open == []


async def test_who_waits_too_long_at_a_door_is_told_that_it_is_unknown(database: str) -> None:
    @workflow(queue=Queue("counted", max_backlog=9))
    async def flow() -> int:
        return 1

    async with engine_on(database, flow, database_wait_s=0.1) as bench:

        async def enters(workflow_id: str) -> bool:
            """On a busy machine a commit may take as long, too."""
            with suppress(DatabaseUnavailable):
                await bench.start(flow, workflow_id=workflow_id)
                return True
            return False

        await bench.until(lambda: enters("first"))
        async with under_way(database, "update outlast.queue_doors set passed = 0"):
            with pytest.raises(DatabaseUnavailable, match="the same key is safe"):
                await bench.start(flow, workflow_id="w")
        await bench.until(lambda: enters("w"))
        assert await bench.result("w") == 1


async def test_in_a_rolling_deploy_the_limits_of_the_newest_code_that_runs_hold(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "DECLARE_S", 0.05)
    old, new = (queue_cases.queued(Queue("q", concurrency=n)) for n in (5, 1))
    async with engine_on(database, old) as one:

        async def holds() -> int:
            ((row),) = await one.rows("select base from outlast.queues where name = 'q'")
            return int(row["base"]["concurrency"])

        async with engine_on(database, new):
            assert await holds() == 1
            async with engine_on(database, old):  # as after a crash of one of the old instances
                assert await holds() == 1
            queue_cases.gauge.gate.set()
            assert await one.run(old, "a") == "a"
            assert await holds() == 1

        async def heard() -> bool:
            return await holds() == 5

        await one.until(heard)


async def test_a_function_without_a_queue_is_taken_out_of_its_former_one(database: str) -> None:
    @workflow
    async def free() -> str:
        return "done"

    async with engine_on(database) as bench:
        await bench.rows("insert into outlast.queues (name, functions) values ('former', array['free'])")
    async with engine_on(database, free) as bench:

        async def left() -> bool:
            (row,) = await bench.rows("select functions from outlast.queues where name = 'former'")
            return row["functions"] == []

        await bench.until(left)


async def test_whoever_holds_a_queue_that_is_to_be_changed_back_holds_up_no_claims(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "DECLARE_S", 0.05)
    old, new = (queue_cases.queued(Queue("q", concurrency=n)) for n in (5, 1))

    @workflow
    async def plain() -> int:
        return 3

    async with engine_on(database, old, plain) as one, AsyncExitStack() as newer:
        await newer.enter_async_context(engine_on(database, new))
        async with under_way(database, "update outlast.queues set paused_why = 'w'"):
            await newer.aclose()
            for key in ("a", "b", "c"):
                start = "select outlast.start('plain', '{}', %s) as id"
                assert await one.result((await one.rows(start, key))[0]["id"]) == 3
        assert not [each for each in one.observations if isinstance(each, LoopFailed)]


async def test_a_queue_that_cannot_decide_is_told_of_once_and_decides_when_it_was_changed(
    database: str,
) -> None:
    @workflow(queue=Queue("bad"))
    async def waits() -> int:
        return 1

    @workflow(queue=Queue("good"))
    async def goes_on() -> int:
        return 2

    @workflow
    async def plain() -> int:
        return 3

    async with engine_on(database, waits, goes_on, plain) as bench:
        await bench.rows(
            """update outlast.queues set override = '{"rate": {"n": "x"}}' where name = 'bad' returning 1"""
        )
        workflow_id = await bench.start(waits)

        def told() -> list[QueueUndecided]:
            return [each for each in bench.observations if isinstance(each, QueueUndecided)]

        await bench.until(told)
        for _ in range(3):
            assert [await bench.run(goes_on), await bench.run(plain)] == [2, 3]
        assert [each.queue for each in told()] == ["bad"]
        await bench.rows("select outlast.set_queue('bad', '{}', reset => true)")
        assert await bench.result(workflow_id) == 1
