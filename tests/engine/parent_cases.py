"""Parents: they leave the memory while they wait, an end wakes them, and a cancel passes down.

They run in memory (test_parents.py) and on Postgres (test_parents_on_postgres.py).
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from outlast import (
    Queue,
    WorkflowCancelled,
    WorkflowHandle,
    receive,
    send,
    sleep,
    start,
    step,
    wait_any,
    workflow,
)
from outlast.core.errors import UsageError, WorkflowNotFound
from tests.engine.harness import Bench, engine_on

QUEUED = Queue("parents", concurrency=1)


@workflow
async def told(topic: str) -> str:
    """A child that ends when it is told."""
    word: str = await receive(topic)
    if word == "fail":
        raise ValueError(topic)
    return f"{topic} {word}"


@workflow(queue=QUEUED)
async def queued(topic: str) -> str:
    return str(await receive(topic))


@workflow
async def parent(topic: str) -> str:
    return await (await start(told, topic)).result()


@workflow
def def_parent(topic: str) -> str:
    return start(told, topic).result()


@workflow
async def of_many(topics: list[str]) -> list[str]:
    handles = [await start(told, each) for each in topics]
    return await asyncio.gather(*(each.result() for each in handles))


@workflow
async def of_any(topics: list[str]) -> list[str]:
    handles = [await start(told, each) for each in topics]
    ended = []
    while handles:
        first = await wait_any(handles)
        handles.remove(first)
        try:
            ended.append(await first.result())
        except ValueError as error:
            ended.append(f"{error} failed")
    return ended


@workflow
def def_of_any(topics: list[str]) -> str:
    handles = [start(told, each) for each in topics]
    return wait_any(handles).result()


@workflow
async def impatient(timeout: float) -> str:
    handle = await start(told, "a")
    try:
        return await (await wait_any([handle], timeout=timeout)).result()
    except TimeoutError as error:
        await handle.cancel()
        return str(error)


@workflow
async def grandparent(topic: str) -> str:
    return await (await start(parent, topic)).result()


@workflow
async def either(topic: str) -> str:
    """It waits for an end and for a message."""
    result = asyncio.ensure_future((await start(told, topic)).result())
    message = asyncio.ensure_future(receive("m"))
    done, _ = await asyncio.wait({result, message}, return_when=asyncio.FIRST_COMPLETED)
    message.cancel()
    return str(done.pop().result())


@workflow
async def other_waiter(workflow_id: str) -> str:
    return str(await WorkflowHandle[str](workflow_id).result())


FLOWS = (
    told, queued, parent, def_parent, of_many, of_any, def_of_any, impatient, grandparent, either,
    other_waiter,
)  # fmt: skip


def bench_on(database: str, **options: Any) -> AbstractAsyncContextManager[Bench]:
    return engine_on(database, *FLOWS, **{"moment_s": 0.05, **options})


async def tell(bench: Bench, workflow_id: str, word: str = "ok", topic: str = "a") -> None:
    await bench.engine.host.send(workflow_id, f'"{word}"', topic, None)


@pytest.mark.parametrize("flow", [parent, def_parent])
async def test_a_parent_leaves_the_memory_and_its_childs_end_wakes_it(database: str, flow: Any) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        workflow_id = await bench.start(flow, "a")
        row = await bench.suspended(workflow_id)
        assert row["awaits"]["ends"] == [f"{workflow_id}/1"]
        await bench.suspended(f"{workflow_id}/1")
        assert list(bench.live) == []
        await tell(bench, f"{workflow_id}/1")
        assert await bench.result(workflow_id) == "a ok"


async def test_a_whole_line_of_them_does(database: str) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        workflow_id = await bench.start(grandparent, "a")
        for each in ("", "/1", "/1/1"):
            await bench.suspended(workflow_id + each)
        await tell(bench, f"{workflow_id}/1/1")
        assert await bench.result(workflow_id) == "a ok"


async def test_a_failure_wakes_and_is_raised(database: str) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        workflow_id = await bench.start(parent, "a")
        await bench.suspended(workflow_id)
        await tell(bench, f"{workflow_id}/1", "fail")
        assert (await bench.failure(workflow_id))["failure"]["type"] == "ValueError"


async def test_a_cancelled_child_wakes_and_is_raised(database: str) -> None:
    async with bench_on(database, tick_s=0.1) as bench:
        workflow_id = await bench.start(parent, "a")
        await bench.suspended(workflow_id)
        assert await bench.engine.cancel(f"{workflow_id}/1")
        assert (await bench.failure(workflow_id))["failure"]["type"] == "WorkflowCancelled"


async def test_who_waits_for_all_is_woken_by_each_and_goes_on_with_the_last(database: str) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        workflow_id = await bench.start(of_many, ["a", "b", "c"])
        for number, topic in enumerate("abc", start=1):
            row = await bench.suspended(workflow_id)
            assert row["awaits"]["of"] == 4 - number
            await tell(bench, f"{workflow_id}/{number}", topic=topic)
            await bench.until(lambda: ended_or_asleep(bench, workflow_id, 3 - number))  # noqa: B023
        assert await bench.result(workflow_id) == ["a ok", "b ok", "c ok"]


async def ended_or_asleep(bench: Bench, workflow_id: str, left: int) -> bool:
    row = await bench.row(workflow_id)
    return row["status"] != "PENDING" or bool(row["awaits"] and row["awaits"]["of"] == left)


async def test_the_first_that_ends_is_recorded(database: str) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        workflow_id = await bench.start(of_any, ["a", "b", "c"])
        for number, topic, word in ((2, "b", "ok"), (3, "c", "fail"), (1, "a", "ok")):
            await bench.suspended(workflow_id)
            await tell(bench, f"{workflow_id}/{number}", word, topic)
            left = {2: 2, 3: 1, 1: 0}[number]
            await bench.until(lambda: ended_or_asleep(bench, workflow_id, left))  # noqa: B023
        assert await bench.result(workflow_id) == ["b ok", "c failed", "a ok"]
        kinds = [each["kind"] for each in await bench.steps(workflow_id)]
        assert kinds.count("wait_any") == 3


async def test_a_def_workflow_waits_for_any_as_well(database: str) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        workflow_id = await bench.start(def_of_any, ["a", "b"])
        await bench.suspended(workflow_id)
        await tell(bench, f"{workflow_id}/2", topic="b")
        assert await bench.result(workflow_id) == "b ok"


async def test_a_wait_for_any_ends_in_time_though_it_left_the_memory(database: str) -> None:
    async with bench_on(database) as bench:
        workflow_id = await bench.start(impatient, 0.5)
        await bench.suspended(workflow_id)
        assert await bench.result(workflow_id) == "none of 1 workflows ended within 0.5 s"
        assert (await bench.row(f"{workflow_id}/1"))["status"] == "CANCELLED"


async def test_and_sooner_if_one_ends(database: str) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        workflow_id = await bench.start(impatient, 3600.0)
        await bench.suspended(workflow_id)
        await tell(bench, f"{workflow_id}/1")
        assert await bench.result(workflow_id) == "a ok"


@pytest.mark.parametrize("by", ["end", "message"])
async def test_an_end_or_a_message_wakes_whichever_comes(database: str, by: str) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        workflow_id = await bench.start(either, "a")
        await bench.suspended(workflow_id)
        if by == "end":
            await tell(bench, f"{workflow_id}/1")
        else:
            await tell(bench, workflow_id, "message", "m")
        assert await bench.result(workflow_id) == {"end": "a ok", "message": "message"}[by]


async def test_others_than_the_parent_wait_too(database: str) -> None:
    async with bench_on(database, tick_s=30.0) as bench:
        target = await bench.start(told, "a")
        waiting = [await bench.start(other_waiter, target) for _ in range(3)]
        for each in waiting:
            await bench.suspended(each)
        await tell(bench, target)
        assert [await bench.result(each) for each in waiting] == ["a ok"] * 3


async def test_what_waits_in_a_queue_is_waited_for(database: str) -> None:
    @workflow
    async def of_queued() -> list[str]:
        handles = [await start(queued, each) for each in "ab"]
        return await asyncio.gather(*(each.result() for each in handles))

    async with engine_on(database, *FLOWS, of_queued, moment_s=0.05) as bench:
        workflow_id = await bench.start(of_queued)
        await bench.suspended(workflow_id)
        for number, topic in enumerate("ab", start=1):
            await tell(bench, f"{workflow_id}/{number}", "x", topic)
        assert await bench.result(workflow_id) == ["x", "x"]


async def test_a_parent_is_woken_elsewhere_when_its_instance_is_gone(database: str) -> None:
    async with bench_on(database) as bench:
        workflow_id = await bench.start(parent, "a")
        await bench.suspended(workflow_id)
        await bench.suspended(f"{workflow_id}/1")
        await bench.abandon()
    async with bench_on(database) as bench:
        await tell(bench, f"{workflow_id}/1")
        assert await bench.result(workflow_id) == "a ok"


# --- cancelling --------------------------------------------------------------------------------------------


async def test_a_cancel_passes_down_to_what_runs_here(database: str) -> None:
    begun, unwound = asyncio.Event(), asyncio.Event()

    @step
    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            unwound.set()

    @workflow
    async def child() -> None:
        await forever()

    @workflow
    async def top() -> None:
        await (await start(child)).result()

    async with engine_on(database, top, child, moment_s=30.0) as bench:
        workflow_id = await bench.start(top)
        await begun.wait()
        assert await bench.engine.cancel(workflow_id)
        await unwound.wait()
        assert (await bench.row(f"{workflow_id}/1"))["error"]["code"] == "workflow_cancelled"


async def test_a_cancel_passes_down_a_line_that_sleeps_but_for_what_is_detached(database: str) -> None:
    @workflow
    async def top() -> None:
        await start(told, "free", detached=True)
        await start(queued, "q", detached=True)
        await start(grandparent, "a")
        await start(queued, "q")
        await sleep(3600)

    async with engine_on(database, *FLOWS, top, moment_s=0.05) as bench:
        workflow_id = await bench.start(top)
        await bench.suspended(workflow_id)
        await bench.suspended(f"{workflow_id}/3/1/1")
        assert await bench.engine.cancel(workflow_id)
        for each in ("", "/3", "/3/1", "/3/1/1", "/4"):
            assert (await bench.row(workflow_id + each))["status"] == "CANCELLED"
        for each in ("/1", "/2"):
            assert (await bench.row(workflow_id + each))["status"] == "PENDING"


@pytest.mark.parametrize("threaded", [False, True])
async def test_a_workflow_cancels_another_once_and_it_is_recorded(database: str, threaded: bool) -> None:
    @workflow
    async def cancels() -> str:
        handle = await start(parent, "a")
        await handle.cancel()
        await handle.cancel()
        try:
            return await handle.result()
        except WorkflowCancelled:
            return handle.workflow_id

    @workflow
    def def_cancels() -> str:
        handle = start(parent, "a")
        handle.cancel()
        try:
            return handle.result()
        except WorkflowCancelled:
            return handle.workflow_id

    flow = def_cancels if threaded else cancels
    async with engine_on(database, *FLOWS, flow) as bench:
        workflow_id = await bench.start(flow)
        child_id = await bench.result(workflow_id)
        assert (await bench.row(child_id))["status"] == "CANCELLED"
        assert "cancel" in [each["kind"] for each in await bench.steps(workflow_id)]


async def test_a_step_waits_for_the_first_and_cancels(database: str) -> None:
    @step
    async def race() -> str:
        handles = [await start(told, "a"), await start(told, "b")]
        await send(handles[1], "ok", topic="b")
        first = await wait_any(handles)
        await handles[0].cancel()
        return f"{await first.result()}, not {handles[0].workflow_id}"

    @step
    def def_race() -> str:
        handles = [start(told, "a"), start(told, "b")]
        _ = send(handles[1], "ok", topic="b")
        first = wait_any(handles)
        handles[0].cancel()
        return f"{first.result()}, not {handles[0].workflow_id}"

    @workflow
    async def racing() -> list[str]:
        return [await race(), await def_race.aio()]

    async with engine_on(database, *FLOWS, racing, moment_s=0.05) as bench:
        workflow_id = await bench.start(racing)
        for each in await bench.result(workflow_id):
            ended, _, cancelled = each.partition(", not ")
            assert ended == "b ok"
            assert (await bench.row(cancelled))["status"] == "CANCELLED"


async def test_a_wait_for_none_and_for_one_that_is_not_there(database: str) -> None:
    @workflow
    async def wrong() -> list[str]:
        told_of = []
        for handles in ([], [WorkflowHandle[Any]("nobody")]):
            try:
                await wait_any(handles)
            except (UsageError, WorkflowNotFound) as error:
                told_of.append(type(error).__name__)
        return told_of

    async with engine_on(database, wrong) as bench:
        assert await bench.run(wrong) == ["UsageError", "WorkflowNotFound"]
