"""What has ended is freed at once: in a cycle of references large values would live until a collection."""

from __future__ import annotations

import asyncio
import gc
import heapq
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from outlast import (
    callback,
    context,
    emit,
    map_,
    publish,
    receive,
    saga,
    sleep,
    start,
    start_all,
    step,
    transaction,
    wait_any,
    workflow,
)
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.sdk.workflows import Workflow
from tests.engine.harness import WAIT_S, Bench, engine_on

pytestmark = pytest.mark.postgres

ROUNDS = 8
FAR_S = 0.15
"""For so long a workflow leaves the memory here."""


@step
async def awaited(text: str) -> str:
    emit(len(text))
    return text


@step
def threaded(text: str) -> str:
    emit(len(text))
    return text


@step(max_attempts=2, backoff=0.001)
async def tried_again(text: str) -> str:
    if context().attempt == 1:
        raise OSError("not yet")
    return text


@transaction
async def in_database(tx: Any, text: str) -> str:
    return text


@workflow
async def leaf(text: str) -> str:
    return await awaited(text)


async def of_steps(text: str) -> str:
    return await awaited(text) + await threaded.aio(text) + await tried_again(text)


async def of_transactions(text: str) -> str:
    return await in_database(text)


async def of_branches(text: str) -> int:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(awaited(text)) for _ in range(3)]
    found = await asyncio.gather(*(awaited(text) for _ in range(3)))
    return len(tasks) + len(found)


async def of_timeouts(text: str) -> str:
    try:
        async with asyncio.timeout(0.01):
            await receive("never")
    except TimeoutError:
        await sleep(0.01)
    return text


async def of_children(text: str) -> str:
    child = await start(leaf, text)
    return await child.result()


async def of_events(text: str) -> None:
    await publish("told", text)


async def of_reading(text: str) -> list[str]:
    child = await start(leaf, text)
    return [value async for value in child.events("told", of=str)]


async def of_failures(text: str) -> None:
    try:
        await awaited(text)
        raise LookupError(text)
    except LookupError:
        await awaited(text)


async def of_many(text: str) -> int:
    result = await map_(leaf, [text, text])
    handles = await start_all(leaf, [text])
    return len("".join(result)) + len(await handles[0].result())


async def of_sagas(text: str) -> None:
    try:
        async with saga() as s:
            await asyncio.gather(
                s.do(awaited, text, undo=lambda _: tried_again(text)),
                s.do(threaded, text, undo=lambda _: threaded.aio(text)),
                awaited(text),
            )
            raise LookupError(text)
    except LookupError:
        pass


async def of_callbacks(text: str) -> str:
    return str(await callback("topic")) + text


@step
async def refused(text: str) -> str:
    raise LookupError(text)


@step
def refused_in_thread(text: str) -> str:
    raise LookupError(text)


@step(max_attempts=2, backoff=FAR_S)
async def late(text: str) -> str:
    if context().attempt == 1:
        raise OSError(text)
    return text


@step
async def endless(text: str) -> str:
    await asyncio.sleep(60)
    return text


@step
async def knows_its_task(text: str) -> str:
    """As asyncio.wait does on Python 3.14: its frame, which its end refers to, refers to its task."""
    task = asyncio.current_task()
    await asyncio.sleep(60)
    return f"{text} {task}"


@workflow
async def late_leaf(text: str) -> str:
    await sleep(FAR_S)
    return text


async def of_long_sleeps(text: str) -> str:
    found = await awaited(text)
    await sleep(FAR_S)
    return found


def of_long_sleeps_in_a_thread(text: str) -> str:
    found = threaded(text)
    _ = sleep(FAR_S)
    return found


async def of_sleepers(text: str) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(of_long_sleeps(text))


async def of_waits_for_messages(text: str) -> str:
    with suppress(TimeoutError):
        await receive("never", timeout=FAR_S)
    return text


async def of_waits_for_children(text: str) -> str:
    one = await start(late_leaf, text)
    other = await start(late_leaf, text)
    first = await wait_any([one, other])
    return str(await first.result()) + await one.result() + await other.result()


async def of_waits_for_maps(text: str) -> int:
    return len(await map_(late_leaf, [text, text]))


async def of_late_attempts(text: str) -> str:
    return await late(text)


async def of_steps_given_up(text: str) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await knows_its_task(text)


async def of_failed_steps(text: str) -> str:
    return await refused(text)


def of_failed_steps_in_threads(text: str) -> str:
    return refused_in_thread(text)


async def of_failed_bodies(text: str) -> str:
    found = await awaited(text)
    raise LookupError(found)


async def of_sagas_that_undo(text: str) -> None:
    async with saga() as s:
        await s.do(awaited, text, undo=lambda _: awaited(text))
        await sleep(FAR_S)
        await refused(text)


async def of_sleeps_that_end_early(text: str) -> str:
    found = await awaited(text)
    await sleep(3600)
    return found


async def of_steps_that_end_early(text: str) -> str:
    return await awaited(text) + await endless(text)


def of_sleeps_in_threads_that_end_early(text: str) -> str:
    found = threaded(text)
    _ = sleep(3600)
    return found


async def of_sagas_that_end_early(text: str) -> None:
    async with saga() as s:
        await s.do(awaited, text, undo=lambda _: awaited(text))
        await endless(text)


BODIES: list[Callable[..., Any]] = [
    of_steps, of_transactions, of_branches, of_timeouts, of_children, of_many, of_events, of_failures,
    of_sagas, of_callbacks, of_reading, of_long_sleeps, of_long_sleeps_in_a_thread, of_sleepers,
    of_waits_for_messages, of_waits_for_children, of_waits_for_maps, of_late_attempts, of_steps_given_up,
    of_failed_steps, of_failed_steps_in_threads, of_failed_bodies, of_sagas_that_undo,
]  # fmt: skip

ENDLESS: list[Callable[..., Any]] = [
    of_sleeps_that_end_early, of_steps_that_end_early, of_sleeps_in_threads_that_end_early,
    of_sagas_that_end_early,
]  # fmt: skip


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held() -> int:
    """What is left. Timers that were cancelled keep their context until asyncio sweeps them."""
    loop: Any = asyncio.get_running_loop()
    loop._scheduled[:] = [each for each in loop._scheduled if not each._cancelled]
    heapq.heapify(loop._scheduled)
    loop._timer_cancelled_count = 0
    return sum(isinstance(each, Execution | PendingCall) for each in gc.get_objects())


async def run(bench: Bench, body: Workflow[..., Any]) -> None:
    await bench.engine.wait(await bench.start(body, "x" * 1000), WAIT_S)
    await bench.until(lambda: bench.engine.running == 0)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
@pytest.mark.usefixtures("without_collector")
async def test_nothing_is_left_for_the_collector(database: str, body: Callable[..., Any]) -> None:
    it = workflow(body)
    async with engine_on(database, it, leaf, late_leaf, moment_s=0.02) as bench:
        await run(bench, it)
        before = held()
        for _ in range(ROUNDS):
            await run(bench, it)
        assert held() - before < ROUNDS


async def end_early(bench: Bench, body: Workflow[..., Any], how: str) -> None:
    workflow_id = await bench.start(body, "x" * 1000)
    if how != "timeout":
        await bench.until(lambda: bench.steps(workflow_id))
        await bench.rows(f"select outlast.{how}(%s)", workflow_id)
    if how == "pause_workflow":
        await bench.until(lambda: workflow_id not in bench.live)
        await bench.rows("select outlast.cancel(%s)", workflow_id)
    await bench.engine.wait(workflow_id, WAIT_S)
    await bench.until(lambda: bench.engine.running == 0)


@pytest.mark.parametrize("how", ["timeout", "cancel", "pause_workflow"])
@pytest.mark.parametrize("body", ENDLESS, ids=lambda body: body.__name__)
@pytest.mark.usefixtures("without_collector")
async def test_nothing_is_left_of_what_is_ended(database: str, body: Callable[..., Any], how: str) -> None:
    it = workflow(timeout=0.3 if how == "timeout" else None)(body)
    async with engine_on(database, it, moment_s=3600.0) as bench:
        await end_early(bench, it, how)
        before = held()
        for _ in range(4):
            await end_early(bench, it, how)
        assert held() - before < 4
