"""Random programs on the loop of a body, without an engine: what it is handed it does the same with again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import copy_context
from typing import Any, NamedTuple

import anyio
import pytest

from outlast.core.errors import UsageError
from outlast.engine.bodies.loop import BodyFuture, BodyLoop, BodyTask, BodyTimer, number_gathered_futures
from outlast.engine.bodies.patches import number_scopes
from tests.quiet import quietly

PROGRAMS = 50
CHUNKS = 4
RUNS = 2
"""Of the loop until it is not waited for: anyio cancels again and again what waits in a `finally`."""


@pytest.fixture(autouse=True, scope="module")
def numbered() -> None:
    number_gathered_futures()
    number_scopes()


class Completion(NamedTuple):
    """What a driver hands over."""

    step_id: str
    value: int
    at_s: float


class Driver:
    """Stands for an execution; see `BodyHost`."""

    def __init__(self) -> None:
        self.loop = BodyLoop(self)  # type: ignore[abstract]
        self.calls: dict[str, BodyFuture] = {}
        self.timers: dict[str, BodyTimer] = {}
        self.given_up: list[str] = []
        self.errors: list[Any] = []
        self.task: BodyTask | None = None
        self.now_s = 0.0

    def call(self) -> asyncio.Future[int]:
        """The body calls."""
        future = BodyFuture(loop=self.loop)
        self.calls[self.loop.branch.next_id()] = future
        return future

    def begin(self, body: Any) -> None:
        self.task = self.loop.begin(body, copy_context())
        self._run()

    def wanted(self) -> list[str]:
        """What it waits for; and what it gave up is found by the way."""
        for step_id in [each for each, future in self.calls.items() if future.done()]:
            if self.calls.pop(step_id).cancelled():
                self.given_up.append(step_id)
        return [*self.calls, *self.timers]

    def deliver(self, completion: Completion) -> None:
        self.now_s = completion.at_s
        if (timer := self.timers.pop(completion.step_id, None)) is not None:
            self.loop.strike(timer)
        elif (future := self.calls.get(completion.step_id)) is not None and not future.done():
            future.set_result(completion.value)
        self._run()

    def _run(self) -> None:
        for _ in range(RUNS):
            if self.loop.run(lambda: False):
                break

    def set_timer(self, timer: BodyTimer, step_id: str) -> None:
        self.timers[step_id] = timer

    def drop_timer(self, timer: BodyTimer) -> None:
        for step_id in [each for each, other in self.timers.items() if other is timer]:
            del self.timers[step_id]

    def intruded(self, error: UsageError) -> None: ...

    def refused(self, error: UsageError) -> None:
        raise error

    def report(self, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), asyncio.CancelledError):  # of a gather that was given up
            self.errors.append(context)


class Program:
    """One of a seed. `seen` is all that it could decide by."""

    def __init__(self, seed: int, call: Callable[[], Awaitable[int]]) -> None:
        self.seen: list[Any] = []
        self._seed = seed
        self._call = call

    async def run(self, seed: int | None = None, depth: int = 0) -> int:
        """A block of statements, with blocks in them."""
        chance = random.Random(self._seed if seed is None else seed)
        for _ in range(chance.randint(1, 3)):
            if depth > 2 or chance.random() < 0.3:
                self.seen.append(await self._call())
                continue
            blocks = [self.run(chance.getrandbits(30), depth + 1) for _ in range(3)]
            await chance.choice(KINDS)(self, blocks, chance.choice([0.2, 1.0, 3.0]))
        return self._seed if seed is None else seed % 97

    async def one(self, block: Awaitable[int]) -> None:
        self.seen.append(await block)

    async def timeouts(self, blocks: list[Any], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait_for(blocks[0], seconds / 2)
                for each in blocks[1:]:
                    await self.one(each)
            self.seen.append("in time")
        except TimeoutError:
            self.seen.append("late")

    async def waits(self, blocks: list[Any], seconds: float) -> None:
        ways: list[Any] = [asyncio.ensure_future, asyncio.gather, asyncio.shield]
        some = {way(block): n for n, (way, block) in enumerate(zip(ways, blocks, strict=True))}
        done, pending = await asyncio.wait(some, timeout=seconds)
        self.seen.append([[some[each] for each in some_of] for some_of in (done, pending)])
        for each in pending:
            each.cancel()

    async def races(self, blocks: list[Any], seconds: float) -> None:
        left: Any = {asyncio.gather(each, self._call()) for each in blocks}
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            self.seen += [each.result() for each in done]

    async def completes(self, blocks: list[Any], seconds: float) -> None:
        for each in asyncio.as_completed([asyncio.ensure_future(each) for each in blocks]):
            await self.one(each)

    async def groups(self, blocks: list[Any], seconds: float) -> None:
        lock, queue = asyncio.Lock(), asyncio.Queue[int](1)

        async def hold(block: Any) -> None:
            async with lock:
                await queue.put(await block)

        async with asyncio.TaskGroup() as group:
            for each in blocks:
                group.create_task(hold(each))
            for _ in blocks:
                await self.one(queue.get())

    async def cancels(self, blocks: list[Any], seconds: float) -> None:
        task = asyncio.ensure_future(asyncio.gather(*blocks, return_exceptions=True))
        await self.one(self._call())
        task.cancel()
        await asyncio.wait([task])
        self.seen.append(task.cancelled())

    async def scopes(self, blocks: list[Any], seconds: float) -> None:
        with anyio.move_on_after(seconds) as scope:
            async with anyio.create_task_group() as group:
                for each in blocks:
                    group.start_soon(self.marked, each)
        self.seen.append(scope.cancelled_caught)

    async def marked(self, block: Any) -> None:
        try:
            await self.one(block)
        except asyncio.CancelledError:
            self.seen.append("cancelled")
            raise

    async def streams(self, blocks: list[Any], seconds: float) -> None:
        send, take = anyio.create_memory_object_stream[int]()

        async def produce() -> None:
            async with send:
                for each in blocks:
                    await send.send(await each)

        async with anyio.create_task_group() as group, take:
            group.start_soon(produce)
            async for each in take:
                self.seen.append(each)

    async def generates(self, blocks: list[Any], seconds: float) -> None:
        async def each_of() -> AsyncIterator[int]:
            try:
                for each in blocks:
                    yield await each
            finally:
                self.seen.append(["closed", await self._call()])

        async for each in each_of():
            self.seen.append(each)
            if each % 2:
                break


KINDS: list[Callable[[Program, list[Any], float], Awaitable[None]]] = [
    Program.timeouts,
    Program.waits,
    Program.races,
    Program.completes,
    Program.groups,
    Program.cancels,
    Program.scopes,
    Program.streams,
    Program.generates,
]


def live(
    seed: int, history: list[Completion], chance: random.Random, most: float = float("inf")
) -> tuple[list[Completion], Program, Driver]:
    """Replay `history`, then go on with whatever may complete next, until there are `most` completions."""
    driver = Driver()
    program = Program(seed, driver.call)
    driver.begin(program.run())
    history = list(history)
    for each in history:
        driver.deliver(each)
    while driver.task is not None and not driver.task.done() and len(history) < most:
        wanted = driver.wanted()
        assert wanted, "nothing will ever wake it"
        # What was given up may be recorded for all that: nobody takes it.
        late = driver.given_up if chance.random() < 0.1 else []
        step_id = chance.choice([*wanted, *late])
        timer = driver.timers.get(step_id)
        now_s = max(driver.now_s + chance.random(), timer.when() if timer is not None else 0.0)
        history.append(Completion(step_id, chance.getrandbits(16), now_s))
        driver.deliver(history[-1])
    return history, program, driver


@pytest.mark.parametrize("first", range(0, PROGRAMS * CHUNKS, PROGRAMS))
def test_a_program_does_the_same_with_what_it_is_handed(first: int) -> None:
    def checked() -> None:
        for seed in range(first, first + PROGRAMS):
            check(seed)

    quietly(checked)  # what is left of programs that crashed is thrown away


def check(seed: int) -> None:
    """Run a program, and run it again from all that it was handed, and from some of it."""
    history, whole, driver = live(seed, [], random.Random(seed))
    assert driver.task is not None
    driver.task.result()
    assert driver.errors == []
    again, replayed, _ = live(seed, history, random.Random(0))
    assert (again, replayed.seen) == (history, whole.seen), f"program {seed}"
    # A crash somewhere: what is known then decides the same, and the same calls wait.
    some = random.Random(seed).randint(0, len(history))
    part, before, crashed = live(seed, [], random.Random(seed), some)
    _, after, recovered = live(seed, part, random.Random(0), some)
    assert after.seen == before.seen, f"program {seed} after {some}"
    assert recovered.wanted() == crashed.wanted(), f"program {seed} after {some}"
    # And it may go on otherwise than it did.
    other, elsewhere, _ = live(seed, part, random.Random(seed + 1))
    assert elsewhere.seen[: len(before.seen)] == before.seen
    assert other[:some] == part
