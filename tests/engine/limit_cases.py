"""Limits of steps: a place is used, given back, and taken by who waits longest.

They run in memory (test_limits.py) and on Postgres (test_limits_on_postgres.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import Limit, Rate, step, workflow
from tests.engine.harness import engine_on


class Holder:
    """Lets steps hold their places until the test is done with them."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gate, self.given_up = asyncio.Event(), asyncio.Event()


holder: Holder


@pytest.fixture(autouse=True)
async def fresh_holder() -> None:
    global holder
    holder = Holder()


def limited(limit: Limit) -> tuple[Any, Any, Any]:
    """Workflows of a step under `limit`: a short one, one that holds its place, one that gives it up."""

    @step(limit=limit)
    async def call(name: str, *, holds: bool = False) -> str:
        holder.begun.append(name)
        if holds:
            await holder.gate.wait()
        return name

    @workflow
    async def short(name: str) -> str:
        return await call(name)

    @workflow
    async def holds(name: str) -> str:
        return await call(name, holds=True)

    @workflow
    async def gives_up(name: str) -> str:
        try:
            async with asyncio.timeout(0.2):
                return await call(f"{name} in vain", holds=True)
        except TimeoutError:
            holder.given_up.set()
            return await call(name)

    return short, holds, gives_up


async def test_a_step_that_was_given_up_gives_its_place_back(database: str) -> None:
    flows = short, _, gives_up = limited(Limit("api", concurrency=1))
    stays: dict[str, Any] = {"moment_s": 60.0}  # what leaves the memory has no place
    async with engine_on(database, *flows, **stays) as one, engine_on(database, *flows, **stays) as two:
        first = await one.start(gives_up, "first")
        await one.until(lambda: holder.begun)
        second = await two.start(short, "second")
        assert await one.result(first) == "first"
        assert await two.result(second) == "second"
    assert sorted(holder.begun) == ["first", "first in vain", "second"]


async def test_who_waits_and_gives_up_is_no_longer_in_the_way(database: str) -> None:
    flows = short, holds, gives_up = limited(Limit("api", concurrency=1))
    async with engine_on(database, *flows) as bench:
        first = await bench.start(holds, "first")
        await bench.until(lambda: holder.begun)
        second, third = await bench.start(gives_up, "second"), await bench.start(short, "third")
        await bench.until(holder.given_up.is_set)
        holder.gate.set()
        assert [await bench.result(each) for each in (first, second, third)] == ["first", "second", "third"]


async def test_what_waits_for_a_place_leaves_the_memory_and_is_woken_when_one_is_free(database: str) -> None:
    flows = short, holds, _ = limited(Limit("api", concurrency=1))
    async with engine_on(database, *flows, moment_s=0.1) as bench:
        first = await bench.start(holds, "first")
        await bench.until(lambda: holder.begun)
        second = await bench.start(short, "second")
        await bench.suspended(second)
        holder.gate.set()
        assert await bench.result(first) == "first"
        assert await bench.result(second) == "second"


async def test_places_are_used_one_after_the_other_by_whoever_waits(database: str) -> None:
    """On two instances: none is free for long while somebody waits."""
    flows = short, holds, _ = limited(Limit("api", concurrency=1))
    async with engine_on(database, *flows) as one, engine_on(database, *flows) as two:
        await one.start(holds, "first")
        await one.until(lambda: holder.begun)
        ids = [await (one, two)[number % 2].start(short, str(number)) for number in range(20)]
        await asyncio.sleep(1)
        holder.gate.set()
        began = asyncio.get_running_loop().time()
        assert [await one.result(each) for each in ids] == [str(number) for number in range(20)]
        assert asyncio.get_running_loop().time() - began < 10


async def test_a_rate_is_used_to_the_full_and_few_ask_in_vain(database: str) -> None:
    flows = short, _, _ = limited(Limit("api", rate=Rate(2, per=1)))
    async with engine_on(database, *flows, moment_s=0.05) as bench:
        began = asyncio.get_running_loop().time()
        ids = [await bench.start(short, str(number)) for number in range(8)]
        assert [await bench.result(each) for each in ids] == [str(number) for number in range(8)]
        assert 3 <= asyncio.get_running_loop().time() - began < 6


async def test_who_waited_for_a_rate_and_was_cancelled_is_no_longer_in_the_way(database: str) -> None:
    short, _, _ = limited(Limit("api", rate=Rate(1, per=2)))
    async with engine_on(database, short, moment_s=0.05) as bench:
        await bench.run(short, "first")
        ids = [await bench.start(short, str(number)) for number in range(20)]
        for each in ids:
            await bench.suspended(each)
        for each in ids:
            await bench.engine.cancel(each)
        began = asyncio.get_running_loop().time()
        assert await bench.run(short, "last") == "last"
        assert asyncio.get_running_loop().time() - began < 6
