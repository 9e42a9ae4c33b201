"""Workflows without a fault, of every form: `crash_everywhere` must find nothing in them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from outlast import (
    HTTPException,
    WorkflowCancelled,
    WorkflowTimeout,
    context,
    map_,
    now,
    publish,
    random,
    receive,
    saga,
    send,
    sleep,
    start,
    start_all,
    start_once,
    step,
    transaction,
    uuid4,
    workflow,
)


class Down(Exception):
    pass


@step
async def work(value: Any) -> Any:
    await asyncio.sleep(0.01)
    return value


@step
def blocking(value: Any) -> Any:
    return value


@step
async def draw() -> str:
    return str(uuid.uuid4())


@step
async def failing() -> None:
    raise Down("down")


@step
async def down() -> None:
    await asyncio.sleep(0.01)
    raise Down("down")


@step(max_attempts=3, retry_on=Down)
async def fickle() -> int:
    if context().attempt < 3:
        raise Down("down")
    return context().attempt


@transaction
async def pay(tx: Any, cents: int) -> int:
    raise AssertionError("stubbed")


@workflow
async def in_a_row() -> Any:
    return [await work(1), await blocking.aio(2), await pay(3), await fickle()]


@workflow
async def gathered() -> Any:
    return await asyncio.gather(*(work(each) for each in range(4)), pay(5), blocking.aio(6))


@workflow
async def grouped() -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(each)) for each in range(3)]
    return [each.result() for each in tasks]


@workflow
async def raced() -> Any:
    tasks = [asyncio.ensure_future(work(1)), asyncio.ensure_future(sleep(3600))]
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for each in left:
        each.cancel()
    return len(done), await work(2)


@workflow
async def raced_by_a_failure() -> str:
    """Which of them comes first is another one after a crash; the other is given up then."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(down())
            group.create_task(work(1))
    except ExceptionGroup:
        return "failed"
    return "ok"


@workflow
async def raced_steps() -> str:
    tasks = [asyncio.ensure_future(work(each)) for each in range(2)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for each in tasks:
        each.cancel()
    return "one of them"


@workflow
async def timed() -> Any:
    try:
        async with asyncio.timeout(60):
            await sleep(3600)
    except TimeoutError:
        return await work("late")


@workflow
async def draws() -> Any:
    return [await work(now().isoformat()), await work(str(uuid4())), await work(random()), await draw()]


@workflow
async def sleeps() -> Any:
    for each in range(3):
        await sleep(timedelta(days=each + 1))
        await work(each)
    await publish("progress", {"done": True})


@workflow
async def child(value: int) -> int:
    await sleep(60)
    return int(await work(value))


@workflow
async def family() -> Any:
    one, two = await start(child, 1), await start_once("two", child, 2)
    return [await one.result(), await two.result()]


@workflow
async def counts(to: int) -> None:
    for number in range(to):
        await publish("n", await work(number))
        await sleep(5)


@workflow
async def reads() -> Any:
    counting = await start(counts, 3)
    read = [value async for value in counting.events("n")]
    return read, await counting.event("n"), await counting.event("none", default=None)


@workflow
def reads_blocking() -> Any:
    counting = start(counts, 2)
    return list(counting.events("n"))


@workflow
async def maps() -> Any:
    result = await map_(child, [1, 2, 3], concurrency=2)
    handles = await start_all(plain_child, [4, 5])
    return [list(result), [await each.result() for each in handles]]


@step
async def numbers() -> AsyncIterator[int]:
    for each in range(3):
        yield each


@workflow
async def maps_by_key() -> Any:
    result = await map_(child, numbers(), key=lambda number: f"k{9 - number}")
    return list(result)


@workflow
async def plain_child(value: int) -> int:
    return value


@workflow
async def waits() -> Any:
    return [await receive("a"), await receive("b", timeout=60, default=None)]


@workflow
async def tells() -> Any:
    handle = await start(waits)
    await send(handle.workflow_id, 1, "a")
    await send(handle.workflow_id, 2, "b")
    return await handle.result()


@workflow
async def fails() -> Any:
    try:
        await failing()
    except Down:
        await work("put back")
        raise HTTPException(402, "declined") from None


@workflow
async def raises() -> Any:
    await work(1)
    await failing()


@workflow
def plain() -> Any:
    _ = sleep(3600)
    found = [blocking(each) for each in range(3)]
    return found, now().isoformat()


@workflow
async def returns_at_once() -> Any:
    return 1


@workflow(timeout=timedelta(hours=1))
async def in_time() -> int:
    first: int = await work(1)
    await sleep(timedelta(minutes=50))
    second: int = await work(first)
    return second


@workflow(timeout=timedelta(hours=1))
async def too_late() -> None:
    async with saga() as undone:
        await undone.do(work, 1, undo=work)
        await sleep(timedelta(days=1))


@workflow(timeout=timedelta(hours=1))
async def slept_over() -> None:
    await work(1)
    await sleep(timedelta(days=1))


@workflow
async def waits_too_long() -> Any:
    for each in (too_late, slept_over):
        try:
            await (await start(each)).result()
        except WorkflowTimeout:
            await work("too late")


@workflow
async def asleep() -> None:
    async with saga() as undone:
        await undone.do(work, 1, undo=work)
        await sleep(timedelta(days=1))


@workflow
async def dozing() -> None:
    await work(1)
    await sleep(timedelta(days=1))


@workflow
async def cancels() -> Any:
    for each in (asleep, dozing):
        child = await start(each)
        await work(1)
        await child.cancel()
        try:
            await child.result()
        except WorkflowCancelled:
            await work("cancelled")


RAISED: dict[str, type[Exception]] = {
    "fails": HTTPException,
    "raises": Down,
    "too_late": WorkflowTimeout,
    "slept_over": WorkflowTimeout,
}
"""What those raise that don't succeed."""

ALL = {
    each.definition.name: each
    for each in (
        in_a_row, gathered, grouped, raced, raced_by_a_failure, raced_steps, timed, draws, sleeps,
        family, maps, maps_by_key, tells, fails, raises, plain, returns_at_once, reads, reads_blocking,
        in_time, too_late, slept_over, waits_too_long, cancels,
    )
}  # fmt: skip
