"""What anyio offers over the branches of a program, as `with_asyncio` does for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import anyio

from tests.simulation.steps import noted
from tests.simulation.traces import Life
from tests.simulation.with_asyncio import Branches, Together, in_a_row


@contextmanager
def within(block: AbstractContextManager[anyio.CancelScope]) -> Iterator[anyio.CancelScope]:
    """The block of a scope, which knows its own cancellation by a message.

    `asyncio.gather` forgets it if the branch that ends last has a result, as a transaction that is committed.
    """
    task = asyncio.current_task()
    assert task is not None
    requests, scope = task.cancelling(), None
    try:
        with block as scope:
            yield scope
    except asyncio.CancelledError:
        if scope is None or not scope.cancel_called or task.cancelling() > requests:
            raise


async def move_on(life: Life, label: str, branches: Branches, number: float) -> None:
    with within(anyio.move_on_after(number)) as scope:
        await in_a_row(branches)
    life.decide(f"{label} moved on {scope.cancelled_caught}")


async def fail_after(life: Life, label: str, branches: Branches, number: float) -> None:
    try:
        with within(anyio.fail_after(number)):
            await in_a_row(branches)
            life.decide(f"{label} in time")
    except TimeoutError:
        await noted(life, f"{label}.too late")


async def scopes(life: Life, label: str, branches: Branches, number: float) -> None:
    """What an inner scope shields is not cancelled by an outer one."""
    with within(anyio.move_on_after(number)) as outer:
        with anyio.CancelScope(shield=True):
            life.decide(f"{label} shielded {await branches[0]}")
        with within(anyio.move_on_after(number / 2)) as inner:
            await branches[1]
        life.decide(f"{label} inner {inner.cancelled_caught}")
        await in_a_row(branches[2:])
    life.decide(f"{label} outer {outer.cancelled_caught}")


async def any_group(life: Life, label: str, branches: Branches, number: float) -> None:
    async def one(branch: Any) -> None:
        life.decide(f"{label} over {await branch}")

    async with anyio.create_task_group() as tasks:
        for each in branches:
            tasks.start_soon(one, each)
    await noted(life, f"{label}.all")


async def any_first(life: Life, label: str, branches: Branches, number: float) -> None:
    async with anyio.create_task_group() as tasks:

        async def one(branch: Any) -> None:
            life.decide(f"{label} first {await branch}")
            tasks.cancel_scope.cancel()

        for each in branches:
            tasks.start_soon(one, each)
    await noted(life, f"{label}.one")


async def any_event(life: Life, label: str, branches: Branches, number: float) -> None:
    ready = anyio.Event()

    async def waits(branch: Any) -> None:
        await ready.wait()
        life.decide(f"{label} then {await branch}")

    async with anyio.create_task_group() as tasks:
        for each in branches[1:]:
            tasks.start_soon(waits, each)
        await branches[0]
        ready.set()


async def any_semaphore(life: Life, label: str, branches: Branches, number: float) -> None:
    limit = anyio.Semaphore(2) if number < 0.1 else anyio.CapacityLimiter(1)

    async def one(branch: Any) -> None:
        async with limit:
            life.decide(f"{label} held for {await branch}")

    async with anyio.create_task_group() as tasks:
        for each in branches:
            tasks.start_soon(one, each)


async def any_condition(life: Life, label: str, branches: Branches, number: float) -> None:
    changed = anyio.Condition()
    over: list[str] = []

    async def one(branch: Any) -> None:
        value = await branch
        async with changed:
            over.append(value)
            changed.notify_all()

    async with anyio.create_task_group() as tasks:
        for each in branches:
            tasks.start_soon(one, each)
        async with changed:
            while len(over) < 2:
                await changed.wait()
            life.decide(f"{label} two: {over}")


async def stream(life: Life, label: str, branches: Branches, number: float) -> None:
    send, take = anyio.create_memory_object_stream[str](1 if number < 0.1 else 0)

    async def produces(branch: Any, end: Any) -> None:
        async with end:
            await end.send(await branch)

    async def consumes(name: str, end: Any) -> None:
        async with end:
            async for item in end:
                life.decide(f"{label} {name} got {item}")
                await noted(life, f"{label}.handled {item}")

    async with anyio.create_task_group() as tasks, send, take:
        for each in branches:
            tasks.start_soon(produces, each, send.clone())
        for name in "ab":
            tasks.start_soon(consumes, name, take.clone())


WITH_ANYIO: dict[str, Together] = {
    each.__name__: each
    for each in (
        move_on,
        fail_after,
        scopes,
        any_group,
        any_first,
        any_event,
        any_semaphore,
        any_condition,
        stream,
    )
}
