"""`start_all`: many children in few commits, each once, whatever happens between two blocks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import InvalidInput, Queue, UsageError, start_all, step, workflow
from outlast.core.observations import JournalCommitted
from tests.engine.harness import Bench, engine_on

ran: list[int] = []
narrow = Queue("narrow", concurrency=2)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@workflow
async def double(number: int) -> int:
    ran.append(number)
    return number * 2


@workflow
async def parent(count: int) -> list[int]:
    handles = await start_all(double, range(count))
    return [await each.result() for each in handles[:3]]


@workflow
def threaded(count: int) -> list[int]:
    return [each.result() for each in start_all(double, range(count))]


@step
async def starts_there(count: int) -> list[str]:
    return [each.workflow_id for each in await start_all(double, range(count))]


@workflow
async def through_a_step(count: int) -> list[str]:
    return await starts_there(count)


@workflow
async def queued(count: int) -> list[int]:
    handles = await start_all(double, list(range(count)), queue=narrow)
    return [await each.result() for each in handles]


@workflow
async def misuses(how: str) -> Any:
    wrong: dict[str, Any] = {
        "text": lambda: start_all(double, "abc"),
        "many": lambda: start_all(double, range(10_001)),
        "plain": lambda: start_all(len, [1]),  # type: ignore[arg-type]
        "detached": lambda: start_all(double, [1], detached="no"),  # type: ignore[arg-type]
    }
    if how == "item":
        return len(await start_all(double, [1, "two", 3]))
    return len(await wrong[how]())


async def test_each_item_starts_once_and_one_record_holds_all(database: str) -> None:
    async with engine_on(database, parent, double) as bench:
        parent_id = await bench.start(parent, 2_500)
        assert await bench.result(parent_id) == [0, 2, 4]
        await bench.until(lambda: len(ran) == 2_500)
        assert sorted(ran) == list(range(2_500))
        (record,) = (each for each in await bench.steps(parent_id) if each["kind"] == "start_all")
        assert record["name"] == "start all double"
        assert record["output"] == {"of": f"{parent_id}/1", "count": 2_500, "others": {}}
        assert (await bench.row(f"{parent_id}/1/2499"))["parent"] == parent_id
        commits = [each for each in bench.observations if isinstance(each, JournalCommitted)]
        assert any(each.workflows >= 900 for each in commits), "blocks share commits"


@pytest.mark.parametrize("function", [threaded, queued], ids=["def", "queued"])
async def test_handles_come_in_the_order_of_the_items(database: str, function: Any) -> None:
    async with engine_on(database, function, double) as bench:
        assert await bench.run(function, 7) == [0, 2, 4, 6, 8, 10, 12]


async def test_a_step_starts_workflows_of_its_own(database: str) -> None:
    async with engine_on(database, through_a_step, double) as bench:
        ids = await bench.run(through_a_step, 3)
        assert len(set(ids)) == 3
        assert [await bench.result(each) for each in ids] == [0, 2, 4]


async def test_a_crash_between_two_blocks_neither_repeats_nor_skips(database: str) -> None:
    reached = asyncio.Event()
    async with engine_on(database, parent, double) as bench:
        start_block = bench.engine.host.start_block

        async def stops(children: Any, definition: Any, first: int, inputs: Any) -> list[str | None]:
            if first == 1_000:
                reached.set()
                await asyncio.Event().wait()
            return await start_block(children, definition, first, inputs)

        bench.engine.host.start_block = stops  # type: ignore[method-assign, assignment]
        parent_id = await bench.start(parent, 1_500)
        await asyncio.wait_for(reached.wait(), 30)
        await bench.until(lambda: len(ran) == 1_000)
        await _all_ended(bench, [f"{parent_id}/1/{place}" for place in range(1_000)])
        await bench.abandon()
    async with engine_on(database, parent, double) as bench:
        assert await bench.result(parent_id) == [0, 2, 4]
        await bench.until(lambda: len(ran) >= 1_500)
        assert sorted(ran) == list(range(1_500))


async def _all_ended(bench: Bench, ids: list[str]) -> None:
    for each in ids:
        await bench.result(each)


async def test_nothing_starts_where_one_item_does_not_fit(database: str) -> None:
    async with engine_on(database, misuses, double) as bench:
        error = await bench.failure(await bench.start(misuses, "item"))
        assert error["failure"]["type"] == InvalidInput.__name__
        assert error["failure"]["message"].startswith("item ")
        assert "does not fit: number (number: Input should be a valid integer" in error["failure"]["message"]
        assert error["failure"]["attributes"]["errors"][0]["loc"] == ["number"], "it is recorded whole"
        assert "runtime/outlast/" not in error["failure"]["traceback"], "its frames are one line"
        assert ran == []


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("text", "takes a list of items"),
        ("many", "use map_ over what isn't held in memory"),
        ("plain", "decorated with @workflow"),
        ("detached", "is True or False"),
    ],
)
async def test_misuse_is_told(database: str, how: str, told: str) -> None:
    async with engine_on(database, misuses, double) as bench:
        error = await bench.failure(await bench.start(misuses, how))
        assert error["failure"]["type"] == UsageError.__name__
        assert told in error["failure"]["message"]
