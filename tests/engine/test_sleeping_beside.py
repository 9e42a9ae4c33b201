"""A sleep beside other work: nothing suspends yet, and a crash must not start it anew."""

from __future__ import annotations

import asyncio

from outlast import sleep, step, workflow
from tests.engine.harness import engine_on

HOUR_S = 3600.0
opened: list[asyncio.Event] = []


@step
async def say(text: str) -> str:
    return text


@step
async def wait() -> None:
    await opened[-1].wait()


@workflow
async def flow() -> None:
    async def beside() -> None:
        await say("beside")
        await wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(beside())
        await sleep(HOUR_S)


async def test_a_sleep_is_recorded_when_it_begins(database: str) -> None:
    opened[:] = [asyncio.Event()]
    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        before_s = bench.engine.clock.now_s()
        records = await bench.until(lambda: bench.steps(workflow_id))
        (asleep,) = [each for each in records if each["name"] == "sleep"]
        assert asleep["completion_order"] is None
        assert before_s + HOUR_S - 60 < asleep["output"] <= bench.engine.clock.now_s() + HOUR_S
        opened[-1].set()
