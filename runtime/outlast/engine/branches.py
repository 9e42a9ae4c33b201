"""A workflow's tasks and timers: each gets its place the moment it is made, and its execution knows of it.

`asyncio.wait` and `as_completed` put tasks in sets, whose order follows their hashes. A branch's task is
hashed by its number in its parent's branch, so that loops over such sets go in the same order on replay.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Protocol

from outlast.core.paths import Branch
from outlast.core.stops import Stopped
from outlast.engine import threads
from outlast.sdk.running import Line, current_line, enter_line


class Body(Protocol):
    """The execution whose body makes tasks."""

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Know a task of the body."""
        ...

    def going_on(self) -> None:
        """The body, or a task of it, runs on now. Raises Stopped where it may not."""
        ...


class TimedBody(Body, Protocol):
    """The execution whose body sets timers."""

    def call_at(
        self,
        branch: Branch,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> asyncio.TimerHandle:
        """A timer of the body, as `loop.call_at` sets them."""
        ...


class BranchTask(asyncio.Task[Any]):
    """A task of a workflow's body."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], **options: Any) -> None:
        self._number = number  # before asyncio puts the task into a set of its own
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class Driven(Coroutine[Any, Any, Any]):
    """A coroutine of a workflow's body; its execution is told each time it goes on."""

    __slots__ = ("_body", "_coro")

    def __init__(self, coro: Any, body: Body) -> None:
        self._coro = coro
        self._body = body

    def send(self, value: Any) -> Any:
        """See Coroutine."""
        return self._go_on(self._coro.send, value)

    def throw(self, *error: Any) -> Any:
        """See Coroutine."""
        return self._go_on(self._coro.throw, *error)

    def _go_on(self, resume: Callable[..., Any], *values: Any) -> Any:
        self._body.going_on()
        try:
            return resume(*values)
        # guard: sys-exit-ends-the-host
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            # `sys.exit` in one workflow must not end the host of all.
            raise RuntimeError(f"the workflow raised {type(error).__name__}") from error

    def close(self) -> None:
        """See Coroutine."""
        self._coro.close()

    def __await__(self) -> Any:
        return self  # it has all that `await` asks of a generator

    def __iter__(self) -> Driven:
        return self

    def __next__(self) -> Any:
        return self.send(None)


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop` give a workflow's tasks their branches, and its timers to their execution."""
    threads.install()
    if loop.get_task_factory() is not task_factory:
        loop.set_task_factory(task_factory)
        _give_away_timers(loop)
    if not hasattr(asyncio.as_completed, "__wrapped__"):
        asyncio.as_completed = _in_order(asyncio.as_completed)


def task_factory(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    *,
    context: contextvars.Context | None = None,
    **options: Any,
) -> asyncio.Task[Any]:
    """`loop.set_task_factory` takes it. Outside workflows it makes plain tasks."""
    line = current_line() if context is None else context.run(current_line)
    if line is None:
        return asyncio.Task(coro, loop=loop, context=context, **options)
    body: Body = line.runner  # type: ignore[assignment]
    own = contextvars.copy_context() if context is None else context.copy()
    own.run(enter_line, Line(line.runner, line.branch.fork(), threaded=False))
    task = BranchTask(line.branch.count, Driven(_contained(coro), body), loop=loop, context=own, **options)
    # A task that is cancelled before it ran leaves its coroutine unawaited.
    task.add_done_callback(lambda _: coro.close())
    body.adopt(task)
    return task


def _give_away_timers(loop: Any) -> None:
    """All of asyncio's timers are set by these two: those of `timeout`, `wait`, `wait_for` and `sleep`."""
    call_at, call_later = loop.call_at, loop.call_later

    def at(
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        line = current_line()
        if line is None or line.threaded:
            return call_at(when, callback, *args, context=context)  # type: ignore[no-any-return]
        body: TimedBody = line.runner  # type: ignore[assignment]
        return body.call_at(line.branch, when, callback, args, context)

    def later(
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        if current_line() is None:
            return call_later(delay, callback, *args, context=context)  # type: ignore[no-any-return]
        return at(loop.time() + delay, callback, *args, context=context)

    loop.call_at, loop.call_later = at, later


async def _contained(coro: Any) -> Any:
    """Run the coroutine of a task: to be stopped is no error of it."""
    try:
        return await coro
    except Stopped as reason:
        raise asyncio.CancelledError(str(reason)) from None


def _in_order(original: Callable[..., Any]) -> Callable[..., Any]:
    """`as_completed` makes tasks in the order of a set of coroutines: in workflows in the order given."""

    @functools.wraps(original)
    def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
        if current_line() is not None and not asyncio.isfuture(fs) and not asyncio.iscoroutine(fs):
            fs = [asyncio.ensure_future(each) for each in dict.fromkeys(fs)]
        return original(fs, timeout=timeout)

    return as_completed
