"""Sleeps: short ones in memory, long ones as rows, and what a crash or a deadline does to them."""

from __future__ import annotations

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outlast import UsageError, WorkflowTimeout, sleep, sleep_until, step, workflow
from outlast.engine.execution import execution
from outlast.engine.execution.execution import Execution
from tests.engine.harness import Bench, engine_on, pass_time

LONG_S = 3600.0


@step
async def say(text: str) -> str:
    return text


@pytest.mark.parametrize(
    "duration", [0, -5, 0.001, timedelta(0), timedelta(days=-1), float("-inf"), -(10**400)]
)
async def test_short_sleeps_stay_in_memory_and_are_recorded(database: str, duration: Any) -> None:
    @workflow
    async def flow() -> str:
        await sleep(duration)
        await sleep_until(datetime(1, 1, 1, tzinfo=UTC))
        return "awake"

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "awake"
        assert [(r["name"], r["completion_order"]) for r in await bench.steps(workflow_id)] == [
            ("sleep", 1),
            ("sleep", 2),
        ]


@pytest.mark.parametrize("duration", [float("nan"), "1", None, True])
async def test_what_is_no_duration_is_refused(database: str, duration: Any) -> None:
    @workflow
    async def flow() -> None:
        await sleep(duration)

    async with engine_on(database, flow) as bench:
        failure = await bench.failure(await bench.start(flow))
        assert failure["failure"]["type"] == "UsageError"


async def test_naive_dates_are_refused_and_sleeps_belong_in_the_body(database: str) -> None:
    @step
    async def sleeps() -> str:
        try:
            await sleep(1)
        except UsageError as error:
            return str(error)
        return "slept"

    @workflow
    async def flow() -> list[str]:
        try:
            await sleep_until(datetime(2030, 1, 1))  # noqa: DTZ001
        except UsageError as error:
            return [str(error), await sleeps()]
        return []

    async with engine_on(database, flow) as bench:
        naive, in_step = await bench.run(flow)
        assert "aware datetime" in naive
        assert "asyncio.sleep" in in_step


@pytest.mark.parametrize("duration", [LONG_S, timedelta(days=30), float("inf"), 10**400, timedelta.max])
async def test_a_long_sleep_is_a_row_and_wakes_on_any_engine(database: str, duration: Any) -> None:
    lives: list[str] = []

    @workflow
    async def flow() -> list[str]:
        lives.append("live")
        said = [await say("before")]
        await sleep(duration)
        return [*said, await say("after")]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        row = await bench.suspended(workflow_id)
        assert row["owner"] is None
        assert row["claimable_at"] > row["created_at"] + timedelta(minutes=50)
        assert bench.engine.running == 0
    async with engine_on(database, flow) as other:
        await pass_time(other, workflow_id, 1e10)
        assert await other.result(workflow_id) == ["before", "after"]
        assert lives == ["live", "live"]
        assert (await other.row(workflow_id))["recovery_attempts"] == 0


async def test_branches_that_all_sleep_suspend_until_the_first_wakes(database: str) -> None:
    order: list[str] = []

    @workflow
    async def flow() -> list[str]:
        order.clear()

        async def branch(name: str, seconds: float) -> str:
            await say(name)
            await sleep(seconds)
            order.append(name)
            return await say(f"{name} awake")

        found = await asyncio.gather(
            branch("a", 3 * LONG_S), branch("b", LONG_S), say("c"), branch("d", 0.01)
        )
        return [*found, *order]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        row = await bench.suspended(workflow_id)
        assert timedelta(minutes=59) < row["claimable_at"] - row["created_at"] < timedelta(minutes=61)
        await pass_time(bench, workflow_id, LONG_S)
        await bench.until(lambda: _recorded(bench, workflow_id, "b awake"))
        await bench.suspended(workflow_id)
        await pass_time(bench, workflow_id, 2 * LONG_S)
        assert await bench.result(workflow_id) == ["a awake", "b awake", "c", "d awake", "d", "b", "a"]


async def _recorded(bench: Bench, workflow_id: str, output: str) -> bool:
    return output in [r["output"] for r in await bench.steps(workflow_id)]


async def test_a_crash_keeps_the_wake_time(database: str) -> None:
    reached, opened = asyncio.Event(), asyncio.Event()

    @step
    async def held() -> str:
        reached.set()
        await opened.wait()
        return "held"

    @workflow
    async def flow() -> list[Any]:
        return list(await asyncio.gather(sleep(LONG_S), held()))

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(reached.is_set)

        async def sleeping() -> Any:
            return [r["output"] for r in await bench.steps(workflow_id) if r["name"] == "sleep"]

        (wake,) = await bench.until(sleeping)
        await bench.abandon()
    opened.set()
    async with engine_on(database, flow) as bench:
        row = await bench.suspended(workflow_id)
        assert row["claimable_at"].timestamp() == pytest.approx(wake, abs=0.01)
        await pass_time(bench, workflow_id, LONG_S)
        assert await bench.result(workflow_id) == [None, "held"]


@pytest.mark.postgres
async def test_a_deadline_comes_before_the_wake_time(database: str) -> None:
    @workflow(timeout=timedelta(minutes=10))
    async def flow() -> None:
        await sleep(LONG_S)

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        row = await bench.suspended(workflow_id)
        assert row["claimable_at"] == row["deadline"]
        await bench.rows(
            "update outlast.workflow_status set deadline = now() - interval '1 s', claimable_at = now()"
            " where workflow_id = %s",
            workflow_id,
        )
        with pytest.raises(WorkflowTimeout):
            await bench.result(workflow_id)


async def test_finally_runs_at_suspension_and_a_step_called_there_is_refused(database: str) -> None:
    seen: list[str] = []

    @workflow
    async def flow() -> str:
        try:
            await sleep(LONG_S)
        finally:
            await asyncio.sleep(0)
            seen.append("finally")
            try:
                await say("refund")
            except BaseException as error:
                seen.append(type(error).__name__)
                raise
        return "awake"

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        assert seen == ["finally", "Suspended"]
        assert [r["name"] for r in await bench.steps(workflow_id)] == ["sleep"]
        await pass_time(bench, workflow_id, LONG_S)
        assert await bench.result(workflow_id) == "awake"
        assert [r["name"] for r in await bench.steps(workflow_id)] == ["sleep", "say"]


@pytest.mark.parametrize("then", ["returns", "calls on and on", "waits for ever"])
async def test_a_body_that_catches_everything_is_suspended_all_the_same(
    database: str, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "STOP_GRACE_S", 0.2)
    forever = True

    @workflow
    async def flow() -> str:
        try:
            await sleep(LONG_S)
        except BaseException:
            if then == "calls on and on":
                for _ in range(10**6):
                    try:
                        await say("again")
                    except BaseException as error:
                        if isinstance(error, GeneratorExit):
                            raise
            elif then == "waits for ever" and forever:
                await asyncio.Event().wait()
        return "awake"

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        assert (await bench.row(workflow_id))["status"] == "PENDING"
        await pass_time(bench, workflow_id, LONG_S)
        assert await bench.result(workflow_id) == "awake"


def nothing_is_left_of(ids: set[str]) -> bool:
    """Whether no execution of these workflows is in memory. Other tests may have left some of theirs."""
    gc.collect()
    runners = [each for each in gc.get_objects() if type(each) is Execution]
    return not any(each.workflow_id in ids for each in runners)


@pytest.mark.slow
@pytest.mark.postgres
async def test_suspended_workflows_hold_no_memory(database: str) -> None:
    @workflow
    async def flow() -> None:
        await sleep(LONG_S)

    count = 2_000
    async with engine_on(database, flow, workflows_max=10_000) as bench:
        ids: set[str] = set()
        for _ in range(count // 500):
            ids.update(await asyncio.gather(*(bench.start(flow) for _ in range(500))))
        await bench.until(lambda: bench.engine.running == 0)
        (row,) = await bench.rows(
            "select count(*) n from outlast.workflow_status where owner is null and claimable_at > now()"
        )
        assert row["n"] == count
        await bench.until(lambda: nothing_is_left_of(ids))  # the last ones may just be leaving
