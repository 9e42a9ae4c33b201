"""`def` workflows in threads, `def` steps out of async ones, and calls of the wrong kind."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from outlast import (
    UsageError,
    WorkflowTimeout,
    context,
    receive,
    sleep,
    sleep_until,
    start,
    step,
    transaction,
    workflow,
)
from tests.engine.harness import BEGUN_BY_THEN_S, engine_on

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="-")


@step
async def async_step() -> str:
    return "async step"


@step
def def_step() -> str:
    return f"def step in {threading.current_thread().name.split('_')[0]}"


@transaction
async def async_transaction(tx: Any) -> str:
    return "async transaction"


@transaction
def def_transaction(tx: Any) -> str:
    return "def transaction"


async def test_each_kind_of_call_in_each_kind_of_workflow(database: str) -> None:
    @workflow
    async def on_the_loop() -> list[str]:
        return [
            await async_step(),
            await def_step.aio(),
            await async_transaction(),
            await def_transaction.aio(),
        ]

    @workflow
    def in_a_thread() -> list[str]:
        return [def_step(), def_transaction(), threading.current_thread().name.split("_")[0]]

    async with engine_on(database, on_the_loop, in_a_thread) as bench:
        assert await bench.run(on_the_loop) == [
            "async step",
            "def step in outlast-step",
            "async transaction",
            "def transaction",
        ]
        assert await bench.run(in_a_thread) == [
            "def step in outlast-step",
            "def transaction",
            "outlast-workflow",
        ]


async def test_the_wrong_call_is_refused_with_the_right_one(database: str) -> None:
    @workflow
    async def on_the_loop() -> list[str]:
        said = []
        for call in (def_step, def_transaction):
            try:
                call()
            except UsageError as error:
                said.append(str(error))
        return said

    @workflow
    def in_a_thread() -> list[str]:
        said = []
        for call in (async_step, def_step.aio, async_transaction, def_transaction.aio):
            try:
                call()  # type: ignore[unused-coroutine]
            except UsageError as error:
                said.append(str(error))
        return said

    async with engine_on(database, on_the_loop, in_a_thread) as bench:
        said = await bench.run(on_the_loop)
        assert ["`await def_step.aio(…)`" in said[0], "`await def_transaction.aio(…)`" in said[1]] == [
            True,
            True,
        ]
        workflow_id = await bench.start(in_a_thread)
        said = await bench.result(workflow_id)
        assert "make async_step a def step" in said[0]
        assert "make async_transaction a def transaction" in said[2]
        assert len(said) == 4
        assert await bench.steps(workflow_id) == []


async def test_a_def_transaction_on_the_loop_is_refused_rather_than_to_block_it(database: str) -> None:
    @step
    async def calls_it() -> str:
        try:
            return def_transaction()
        except UsageError as error:
            return str(error)

    @workflow
    async def flow() -> list[str]:
        return [await calls_it()]

    async with engine_on(database, flow) as bench:
        assert "`await def_transaction.aio(…)`" in (await bench.run(flow))[0]


async def test_context_variables_reach_threads_and_come_back_not(database: str) -> None:
    @step
    def looks() -> list[str]:
        found = [variable.get(), context().workflow_id]
        variable.set("of the step")
        return found

    @workflow
    def flow() -> list[Any]:
        variable.set("of the body")
        return [*looks(), variable.get(), context().workflow_id]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == ["of the body", workflow_id, "of the body", workflow_id]


@pytest.mark.postgres
async def test_a_def_workflow_sleeps_short_and_long_without_a_thread(database: str) -> None:
    lives: list[str] = []

    @workflow
    def flow(seconds: float) -> str:
        lives.append("live")
        sleep(0.001)  # type: ignore[unused-awaitable]
        sleep_until(datetime(2020, 1, 1, tzinfo=UTC))  # type: ignore[unused-awaitable]
        sleep(seconds)  # type: ignore[unused-awaitable]
        return "awake"

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow, 0.001) == "awake"
        lives.clear()
        workflow_id = await bench.start(flow, 3600)
        await bench.suspended(workflow_id)
        assert bench.engine.running == 0
        await bench.rows("update outlast.operation_outputs set output = '0' where completion_order is null")
        await bench.rows(
            "update outlast.workflow_status set claimable_at = now() where claimable_at is not null"
        )
        assert await bench.result(workflow_id) == "awake"
        assert len(lives) == 2


@pytest.mark.postgres
async def test_a_def_workflow_goes_on_after_a_crash(database: str) -> None:
    reached, release = threading.Event(), threading.Event()
    ran: list[str] = []

    @step
    def first() -> str:
        ran.append("first")
        return "first"

    @step
    def second() -> str:
        ran.append("second")
        reached.set()
        release.wait(20)
        return "second"

    @workflow
    def flow() -> list[str]:
        return [first(), second()]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(reached.is_set)
        await bench.abandon()
    release.set()
    async with engine_on(database, flow) as bench:
        assert await bench.result(workflow_id) == ["first", "second"]
        assert ran == ["first", "second", "second"]


@pytest.mark.postgres
async def test_a_stopped_thread_ends_at_its_call_or_at_its_next(database: str) -> None:
    ended = threading.Event()
    reasons: list[BaseException] = []

    @step
    def sticks() -> None:
        threading.Event().wait(0.5)

    @workflow(timeout=BEGUN_BY_THEN_S)
    def flow() -> None:
        try:
            while True:
                sticks()
        except BaseException as error:
            reasons.append(error)
            try:
                sticks()
            except BaseException as again:
                reasons.append(again)
            raise
        finally:
            ended.set()

    async with engine_on(database, flow) as bench:
        with pytest.raises(WorkflowTimeout):
            await bench.run(flow)
        await bench.until(ended.is_set)
        assert [type(each).__name__ for each in reasons] == ["TimedOut", "TimedOut"]


async def test_a_thread_that_waits_for_another_workflow_is_let_go(database: str) -> None:
    """What a thread blocks on ends with its execution, however long it might have taken."""
    ended = threading.Event()

    @workflow
    async def waits() -> None:
        await receive()

    @workflow(timeout=BEGUN_BY_THEN_S)
    def flow() -> None:
        try:
            start(waits, detached=True).result()
        finally:
            ended.set()

    async with engine_on(database, flow, waits) as bench:
        with pytest.raises(WorkflowTimeout):
            await bench.run(flow)
        await bench.until(ended.is_set)


@pytest.mark.postgres
async def test_many_def_workflows_run_at_once(database: str) -> None:
    barrier = threading.Barrier(20)

    @step
    def meets() -> int:
        return barrier.wait(20)

    @workflow
    def flow() -> int:
        return meets()

    async with engine_on(database, flow) as bench:
        ids = [await bench.start(flow) for _ in range(20)]
        found = await asyncio.gather(*(bench.result(each) for each in ids))
        assert sorted(found) == list(range(20))
