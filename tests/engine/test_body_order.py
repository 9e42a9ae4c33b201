"""In which order a body sees what happens: the same again, however deep and in whatever set it lies."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from outlast import sleep, step, workflow
from outlast.sdk.workflows import Workflow
from tests.engine.harness import engine_on

RUNS = 3
TASKS = 16
"""So many of them are in one order by chance once in 2 * 10¹³ times."""


@step
async def fast() -> str:
    return "fast"


@step
async def slow(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slow"


@step
async def say(text: str) -> str:
    return text


@workflow
async def under_gathers(depth: int) -> str:
    first: Any = asyncio.ensure_future(fast())
    for _ in range(depth):
        first = asyncio.gather(first)
    second = asyncio.ensure_future(slow(0.3))
    await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    said = await say(f"the first alone: {first.done() and not second.done()}")
    await second
    await sleep(1.6)  # it leaves the memory, and replays
    return said


@pytest.mark.parametrize("depth", [0, 5, 6, 7, 8, 20])
async def test_a_result_gets_through_any_depth_of_gathers_before_the_next(database: str, depth: int) -> None:
    async with engine_on(database, under_gathers) as bench:
        assert await bench.run(under_gathers, depth) == "the first alone: True"


@workflow
async def cancels_a_group() -> list[int]:
    seen: list[int] = []

    async def one(n: int) -> None:
        try:
            await slow(60)
        finally:
            seen.append(n)

    async with anyio.create_task_group() as tasks:
        for n in range(TASKS):
            tasks.start_soon(one, n)
        await fast()
        tasks.cancel_scope.cancel()
    return seen


@workflow
async def closes_a_stream() -> list[int]:
    seen: list[int] = []
    send, take = anyio.create_memory_object_stream[int]()

    async def one(n: int) -> None:
        try:
            await take.receive()
        except anyio.ClosedResourceError:
            seen.append(n)

    async with send, anyio.create_task_group() as tasks:
        for n in range(TASKS):
            tasks.start_soon(one, n)
        await fast()
        take.close()
    return seen


async def test_a_group_of_anyio_is_cancelled_in_the_same_order(database: str) -> None:
    assert await orders(database, cancels_a_group) == 1


async def test_who_waits_for_a_stream_of_anyio_is_woken_in_the_same_order(database: str) -> None:
    assert await orders(database, closes_a_stream) == 1


async def orders(database: str, flow: Workflow[[], Any]) -> int:
    async with engine_on(database, flow) as bench:
        runs = [await bench.run(flow) for _ in range(RUNS)]
    assert all(sorted(each) == list(range(TASKS)) for each in runs)
    return len({tuple(each) for each in runs})


@workflow
async def strikes() -> bool:
    loop, early = asyncio.get_running_loop(), list[bool]()
    every = [loop.time() + n / 30_000_000 for n in range(1_000)]
    over = [loop.create_future() for _ in every]

    def strike(when: float, each: asyncio.Future[None]) -> None:
        early.append(loop.time() < when)
        each.set_result(None)

    for when, each in zip(every, over, strict=True):
        loop.call_at(when, strike, when, each)
    await asyncio.gather(*over)
    return any(early)


async def test_no_timer_strikes_before_its_time_comes_for_the_body(database: str) -> None:
    async with engine_on(database, strikes) as bench:
        assert await bench.run(strikes) is False
