"""Timers that a body sets through asyncio: what they decided is decided, and they outlive a suspension."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import receive, sleep, step, workflow
from tests.engine.harness import engine_on

FIRST_S, LATER_S = 0.25, 1_000.0


class World:
    """What is outside of the workflows: how long their code waits, and what lets their steps go on."""

    def __init__(self) -> None:
        self.limit_s = FIRST_S
        self.freed = asyncio.Event()
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.ran: list[str] = []


world: World


@pytest.fixture(autouse=True)
async def _world() -> None:
    global world
    world = World()


@step
async def quick(name: str) -> str:
    world.ran.append(name)
    return name


@step
async def slow(name: str) -> str:
    world.ran.append(name)
    await world.freed.wait()
    return name


@step
async def free() -> None:
    world.freed.set()


@step
async def held() -> str:
    world.ran.append("held")
    world.reached.set()
    await world.opened.wait()
    return "end"


@workflow
async def waits() -> list[Any]:
    tasks = [asyncio.create_task(quick("a")), asyncio.create_task(slow("b"))]
    done, pending = await asyncio.wait(tasks, timeout=world.limit_s)
    seen: list[Any] = [sorted(task.result() for task in done)]
    await free()
    return [*seen, [await task for task in pending], await held()]


@workflow
async def in_order_of_completion() -> list[Any]:
    seen: list[Any] = []
    try:
        for each in asyncio.as_completed([slow("b"), quick("a")], timeout=world.limit_s):
            seen.append(await each)
    except TimeoutError:
        seen.append("timeout")
    return [*seen, await held()]


@workflow
async def for_a_shielded_one() -> list[Any]:
    task = asyncio.create_task(slow("b"))
    seen: list[Any] = []
    try:
        await asyncio.wait_for(asyncio.shield(task), world.limit_s)
    except TimeoutError:
        seen.append("timeout")
    await free()
    return [*seen, await task, await held()]


@workflow
async def nested() -> list[Any]:
    seen: list[Any] = []
    try:
        async with asyncio.timeout(2 * world.limit_s):
            try:
                async with asyncio.timeout(world.limit_s):
                    await asyncio.gather(quick("a"), slow("b"))
            except TimeoutError:
                seen.append("inner")
            await slow("c")
    except TimeoutError:
        seen.append("outer")
    return [*seen, await held()]


@workflow
async def pauses() -> list[Any]:
    async def paused() -> None:
        await asyncio.sleep(world.limit_s)
        seen.append("paused")
        await free()

    async def called() -> None:
        seen.append(await slow("b"))

    seen: list[Any] = []
    await asyncio.gather(called(), paused())
    return [*seen, await held()]


@workflow
async def around_a_sleep() -> list[Any]:
    try:
        async with asyncio.timeout(world.limit_s):
            await sleep(3600)
    except TimeoutError:
        return ["timeout", await held()]
    return ["slept"]


@workflow
async def around_a_receive() -> list[Any]:
    try:
        async with asyncio.timeout(world.limit_s):
            return [await receive("never")]
    except TimeoutError:
        return ["timeout", await held()]


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (waits, [["a"], ["b"], "end"]),
        (in_order_of_completion, ["a", "timeout", "end"]),
        (for_a_shielded_one, ["timeout", "b", "end"]),
        (nested, ["inner", "outer", "end"]),
        (pauses, ["paused", "b", "end"]),
        (around_a_sleep, ["timeout", "end"]),
        (around_a_receive, ["timeout", "end"]),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_it_strikes_on_replay_where_it_struck(database: str, flow: Any, expected: list[Any]) -> None:
    """On replay the code asks for a much longer time, which nobody waits for."""
    async with engine_on(database, flow, moment_s=0.02) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(world.reached.is_set)
        await bench.abandon()
    world.limit_s, world.ran = LATER_S, []
    world.opened.set()
    async with engine_on(database, flow, moment_s=0.02) as bench:
        assert await bench.result(workflow_id) == expected
    assert world.ran[-1] == "held"
    assert "a" not in world.ran, "it was recorded"


async def test_a_suspension_keeps_when_it_is_to_strike(database: str) -> None:
    world.limit_s = 0.5
    async with engine_on(database, around_a_sleep, moment_s=0.02) as bench:
        workflow_id = await bench.start(around_a_sleep)
        await bench.until(lambda: workflow_id not in bench.live)
        (timer, _) = await bench.steps(workflow_id)
        assert (timer["step_id"], timer["name"], timer["completion_order"]) == ("0.1", "timer", None)
        await bench.abandon()
    world.limit_s = LATER_S
    world.opened.set()
    async with engine_on(database, around_a_sleep, moment_s=0.02) as bench:
        assert await bench.result(workflow_id) == ["timeout", "end"]


async def test_a_result_that_comes_first_counts_though_the_time_is_over(database: str) -> None:
    """What is left when the time is over is that which has a later place in the order of completion."""

    @workflow
    async def both() -> list[str]:
        try:
            async with asyncio.timeout(world.limit_s) as limit:
                return [await quick("a"), "expired" if limit.expired() else "entered"]
        except TimeoutError:
            return ["timeout"]

    world.limit_s = 0.0005
    async with engine_on(database, both) as bench:
        for _ in range(50):
            assert await bench.run(both) in (["a", "entered"], ["timeout"])


async def test_timers_of_steps_are_not_the_bodys(database: str) -> None:
    @step
    async def waiting() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)
        return "over"

    @workflow
    async def flow() -> str:
        return await waiting()

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "over"
        assert [each["step_id"] for each in await bench.steps(workflow_id)] == ["1"]
