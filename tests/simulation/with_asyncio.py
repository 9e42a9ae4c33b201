"""What asyncio offers over the branches of a program: each function runs all of them, or some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from tests.simulation.steps import noted
from tests.simulation.traces import Life

Branches = list[Coroutine[Any, Any, str]]
"""Each gives its label."""

Together = Callable[[Life, str, Branches, float], Awaitable[None]]
"""Is given the program's life, its own label, the branches and a number: seconds mostly."""

DEPTHS = {0.001: 5, 0.02: 8, 0.4: 20}


def as_each(branches: Branches) -> list[asyncio.Future[Any]]:
    """The branches as a task, a gathered future, a shield, and so on."""
    ways: list[Callable[[Any], Any]] = [asyncio.ensure_future, asyncio.gather, asyncio.shield]
    return [ways[number % len(ways)](each) for number, each in enumerate(branches)]


def came_to(over: asyncio.Future[Any]) -> Any:
    """Its result. A gathered future that was cancelled says that it failed."""
    try:
        return over.result()
    except asyncio.CancelledError:
        return "cancelled"


async def in_a_row(branches: Branches) -> None:
    """One after another."""
    for each in branches:
        await each


async def gather(life: Life, label: str, branches: Branches, number: float) -> None:
    await asyncio.gather(*branches)


async def gather_errors(life: Life, label: str, branches: Branches, number: float) -> None:
    first = asyncio.ensure_future(branches[0])
    asyncio.get_running_loop().call_later(number, first.cancel)
    got = await asyncio.gather(first, *branches[1:], return_exceptions=True)
    life.decide(
        f"{label} gathered {[each if isinstance(each, str) else type(each).__name__ for each in got]}"
    )


async def shielded(life: Life, label: str, branches: Branches, number: float) -> None:
    await asyncio.gather(*(asyncio.shield(each) for each in branches))


async def group(life: Life, label: str, branches: Branches, number: float) -> None:
    async with asyncio.TaskGroup() as tasks:
        for each in branches:
            tasks.create_task(each)


async def completed(life: Life, label: str, branches: Branches, number: float) -> None:
    for each in asyncio.as_completed(branches):
        life.decide(f"{label} next {await each}")


async def completed_of_set(life: Life, label: str, branches: Branches, number: float) -> None:
    try:
        for each in asyncio.as_completed({asyncio.create_task(each) for each in branches}, timeout=number):
            life.decide(f"{label} next {await each}")
    except TimeoutError:
        life.decide(f"{label} not all")


async def by_then(life: Life, label: str, branches: Branches, number: float) -> None:
    tasks = [asyncio.create_task(each) for each in branches]
    done, pending = await asyncio.wait(tasks, timeout=number)
    life.decide(f"{label} by then {[task.result() for task in done]}")
    for task in pending:
        life.decide(f"{label} after that {await task}")


async def first(life: Life, label: str, branches: Branches, number: float) -> None:
    tasks = [asyncio.create_task(each) for each in branches]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    life.decide(f"{label} first {[task.result() for task in done]}")
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)


async def all_of(life: Life, label: str, branches: Branches, number: float) -> None:
    done, _ = await asyncio.wait([asyncio.create_task(each) for each in branches])
    for index, task in enumerate(done):
        await noted(life, f"{label}.{index} of {task.result()}")


async def wait_gathers(life: Life, label: str, branches: Branches, number: float) -> None:
    groups = {
        asyncio.gather(each, noted(life, f"{label}.g{place}")): place for place, each in enumerate(branches)
    }
    done, _ = await asyncio.wait(groups)
    for each in done:
        life.decide(f"{label} group {groups[each]} got {each.result()}")
        await noted(life, f"{label}.after{groups[each]}")


async def wait_shields(life: Life, label: str, branches: Branches, number: float) -> None:
    done, pending = await asyncio.wait(
        [asyncio.shield(asyncio.ensure_future(each)) for each in branches], timeout=number
    )
    for each in [*done, *pending]:
        await noted(life, f"{label}.after of {await each}")


async def wait_each(life: Life, label: str, branches: Branches, number: float) -> None:
    left: set[Any] = {*as_each(branches)}
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            life.decide(f"{label} next {each.result()}")


async def race_each(life: Life, label: str, branches: Branches, number: float) -> None:
    done, pending = await asyncio.wait(as_each(branches), return_when=asyncio.FIRST_COMPLETED)
    life.decide(f"{label} first {[each.result() for each in done]}")
    for each in pending:
        each.cancel()
    if pending:
        over, _ = await asyncio.wait(pending, return_when=asyncio.ALL_COMPLETED)
        life.decide(f"{label} others {[came_to(each) for each in over]}")


async def in_a_set(life: Life, label: str, branches: Branches, number: float) -> None:
    for place, each in enumerate({*as_each(branches)}):
        life.decide(f"{label} {place} of the set is {await each}")


async def in_a_dict(life: Life, label: str, branches: Branches, number: float) -> None:
    places = {each: place for place, each in enumerate(as_each(branches))}
    done, _ = await asyncio.wait(places, timeout=number)
    for each in places.keys() - done:
        life.decide(f"{label} late {places[each]} {await each}")
    for each in done & places.keys():
        await noted(life, f"{label}.in time {places[each]} of {each.result()}")


async def deep(life: Life, label: str, branches: Branches, number: float) -> None:
    """The first lies under as many gathers as the number stands for."""
    under: Any = asyncio.ensure_future(branches[0])
    for _ in range(DEPTHS[number]):
        under = asyncio.gather(under)
    others = [asyncio.ensure_future(each) for each in branches[1:]]
    done, pending = await asyncio.wait([under, *others], return_when=asyncio.FIRST_COMPLETED)
    await noted(life, f"{label}.first {under in done} {len(done)}")
    await asyncio.gather(*pending)


async def nested(life: Life, label: str, branches: Branches, number: float) -> None:
    try:
        async with asyncio.timeout(number) as outer:
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + number / 2):
                    await branches[0]
                life.decide(f"{label} inner in time")
            except TimeoutError:
                life.decide(f"{label} inner too late")
                outer.reschedule(asyncio.get_running_loop().time() + number)
            await asyncio.wait_for(branches[1], number)
            life.decide(f"{label} awaited")
            await in_a_row(branches[2:])
            life.decide(f"{label} outer in time")
    except TimeoutError:
        await noted(life, f"{label}.too late")


async def cancels(life: Life, label: str, branches: Branches, number: float) -> None:
    task = asyncio.create_task(branches[0])
    await in_a_row(branches[1:])
    task.cancel()
    await asyncio.wait([task])
    life.decide(f"{label} cancelled {came_to(task)}")


async def lock(life: Life, label: str, branches: Branches, number: float) -> None:
    only = asyncio.Lock()

    async def held(branch: Any) -> None:
        async with only:
            life.decide(f"{label} held for {await branch}")

    await asyncio.gather(*(held(each) for each in branches))


async def semaphore(life: Life, label: str, branches: Branches, number: float) -> None:
    two = asyncio.BoundedSemaphore(2)

    async def held(branch: Any) -> None:
        async with two:
            life.decide(f"{label} held for {await branch}")

    async with asyncio.TaskGroup() as tasks:
        for each in branches:
            tasks.create_task(held(each))


async def condition(life: Life, label: str, branches: Branches, number: float) -> None:
    changed = asyncio.Condition()
    over: list[str] = []

    async def runs(branch: Any) -> None:
        value = await branch
        async with changed:
            over.append(value)
            changed.notify_all()

    async def waits(count: int) -> None:
        async with changed:
            await changed.wait_for(lambda: len(over) >= count)
            life.decide(f"{label} at {count}: {over}")
            await noted(life, f"{label}.with {count}")

    await asyncio.gather(*map(runs, branches), *map(waits, range(1, len(branches) + 1)))


async def event(life: Life, label: str, branches: Branches, number: float) -> None:
    ready = asyncio.Event()

    async def waits(branch: Any) -> None:
        await ready.wait()
        life.decide(f"{label} then {await branch}")

    others = asyncio.gather(*map(waits, branches[1:]))
    await branches[0]
    ready.set()
    await others


async def barrier(life: Life, label: str, branches: Branches, number: float) -> None:
    all_there = asyncio.Barrier(len(branches))

    async def comes(branch: Any) -> None:
        value = await branch
        async with all_there as place:
            life.decide(f"{label} {value} came as {place}")

    await asyncio.gather(*map(comes, branches))


async def queue(life: Life, label: str, branches: Branches, number: float) -> None:
    items: asyncio.Queue[str | None] = asyncio.Queue(1)

    async def produces(branch: Any) -> None:
        await items.put(await branch)

    async def consumes(name: str) -> None:
        while (item := await items.get()) is not None:
            life.decide(f"{label} {name} got {item}")
            await noted(life, f"{label}.handled {item}")

    async with asyncio.TaskGroup() as tasks:
        for name in "ab":
            tasks.create_task(consumes(name))
        await asyncio.gather(*map(produces, branches))
        await items.put(None)
        await items.put(None)


async def generator(life: Life, label: str, branches: Branches, number: float) -> None:
    """It is left by break after the first branch, or the second."""

    async def results() -> AsyncIterator[str]:
        try:
            for each in branches:
                yield await each
        finally:
            life.decide(f"{label} closes")
            await noted(life, f"{label}.closed")

    async for each in results():
        life.decide(f"{label} got {each}")
        if number < 0.1 or each.endswith("1"):
            break
    await noted(life, f"{label}.left")


WITH_ASYNCIO: dict[str, Together] = {
    each.__name__: each
    for each in (
        gather,
        gather_errors,
        shielded,
        group,
        completed,
        completed_of_set,
        by_then,
        first,
        all_of,
        wait_gathers,
        wait_shields,
        wait_each,
        race_each,
        in_a_set,
        in_a_dict,
        deep,
        nested,
        cancels,
        lock,
        semaphore,
        condition,
        event,
        barrier,
        queue,
        generator,
    )
}
