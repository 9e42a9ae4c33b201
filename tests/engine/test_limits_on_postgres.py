"""The cases of limits on Postgres, and what threads and operators do."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from outlast import Limit, step, workflow
from outlast.core.observations import LoopFailed
from outlast.engine.operations import limiting
from tests.engine import limit_cases
from tests.engine.harness import Bench, engine_on
from tests.engine.limit_cases import *  # noqa: F403
from tests.engine.limit_cases import limited

pytestmark = pytest.mark.postgres

LATER = """
update outlast.workflow_status set claimable_at = claimable_at + interval '1 hour' where owner is null
"""


async def test_a_place_is_not_free_while_a_thread_works_that_was_given_up(database: str) -> None:
    go_on, given_up, over = threading.Event(), asyncio.Event(), asyncio.Event()

    @step(limit=Limit("api", concurrency=1))
    def call(name: str) -> str:
        if name == "first":
            go_on.wait(30)
        return name

    @step
    async def works_on() -> None:
        given_up.set()
        await over.wait()

    @workflow
    async def gives_up() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await call.aio("first")
        await works_on()

    @workflow
    async def short() -> str:
        return await call.aio("second")

    async with engine_on(database, gives_up, short) as bench:
        first = await bench.start(gives_up)
        await bench.until(given_up.is_set)
        second = await bench.start(short)
        await bench.suspended(second)
        assert await bench.rows("select outlast.limit_held('api') as held") == [{"held": 1}]
        go_on.set()
        assert await bench.result(second) == "second"
        over.set()
        await bench.result(first)


async def test_who_waits_in_vain_is_woken_by_a_free_place_long_before_it_would_ask(database: str) -> None:
    flows = short, holds, _ = limited(Limit("api", concurrency=1))
    async with engine_on(database, *flows, moment_s=0.05) as bench:
        await bench.start(holds, "first")
        await bench.until(lambda: limit_cases.holder.begun)
        second = await bench.start(short, "second")
        await bench.suspended(second)
        await bench.rows(LATER)
        limit_cases.holder.gate.set()
        assert await bench.result(second) == "second"


@pytest.mark.parametrize(
    "change",
    [
        "select outlast.resume_queue('step:api')",
        "select outlast.set_queue('step:api', '{\"concurrency\": 5}', reset => true)",
    ],
)
async def test_operators_wake_who_waits(database: str, change: str) -> None:
    flows = short, holds, _ = limited(Limit("api", concurrency=1))
    async with engine_on(database, *flows, moment_s=0.05) as bench:
        await bench.start(holds, "first")
        await bench.until(lambda: limit_cases.holder.begun)
        if "resume" in change:
            limit_cases.holder.gate.set()
            await bench.rows("select outlast.pause_queue('step:api')")
        second = await bench.start(short, "second")
        await bench.suspended(second)
        await bench.rows(LATER)
        await bench.rows(change)
        assert await bench.result(second) == "second"
        limit_cases.holder.gate.set()


UNREADABLE = (
    "update outlast.queues set override = '{\"concurrency\": \"x\"}' where name = 'step:api' returning name"
)
READABLE = "update outlast.queues set override = null where name = 'step:api' returning name"


def told_of(bench: Bench) -> list[LoopFailed]:
    return [each for each in bench.observations if isinstance(each, LoopFailed)]


async def test_a_step_asks_again_where_its_limit_could_not_be_read(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiting, "FAILED_S", 0.3)
    short, _, _ = limited(Limit("api", concurrency=1))
    async with engine_on(database, short) as bench:
        assert await bench.run(short, "first") == "first"
        await bench.rows(UNREADABLE)
        second = await bench.start(short, "second")
        await bench.until(lambda: told_of(bench))
        await asyncio.sleep(1)
        await bench.rows(READABLE)
        assert await bench.result(second) == "second"
        assert len(told_of(bench)) == 1


async def test_a_limit_that_cannot_be_read_keeps_no_other_from_waking(database: str) -> None:
    flows = limited(Limit("api", concurrency=1))
    others = short, holds, _ = limited(Limit("other", concurrency=1))
    async with engine_on(database, *flows[1:2]) as one, engine_on(database, *others, moment_s=0.05) as two:
        await one.start(flows[1], "first")
        await two.start(holds, "second")
        await two.until(lambda: len(limit_cases.holder.begun) == 2)
        third = await two.start(short, "third")
        await two.suspended(third)
        await two.rows(LATER)
        await two.rows(UNREADABLE)
        two.engine._limits._free_soon("api")
        limit_cases.holder.gate.set()
        assert await two.result(third) == "third"
        assert "limit api" in {each.loop for each in told_of(two)}
