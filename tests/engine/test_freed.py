"""What has ended is freed at once: in a cycle of references large values would live until a collection."""

from __future__ import annotations

import asyncio
import gc
import heapq
from collections.abc import Callable, Iterator
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
    workflow,
)
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.sdk.workflows import Workflow
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

ROUNDS = 8


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


BODIES: list[Callable[..., Any]] = [
    of_steps, of_transactions, of_branches, of_timeouts, of_children, of_many, of_events, of_failures,
    of_sagas, of_callbacks, of_reading,
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
    await bench.run(body, "x" * 1000)
    await bench.until(lambda: bench.engine.running == 0)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
@pytest.mark.usefixtures("without_collector")
async def test_nothing_is_left_for_the_collector(database: str, body: Callable[..., Any]) -> None:
    it = workflow(body)
    async with engine_on(database, it, leaf) as bench:
        await run(bench, it)
        before = held()
        for _ in range(ROUNDS):
            await run(bench, it)
        assert held() - before < ROUNDS
