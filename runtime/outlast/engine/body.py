"""The body of an execution: its task, the tasks it made, and how all of them come to their end."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Coroutine
from concurrent.futures import CancelledError as CallCancelled
from typing import Any, TypeVar

from outlast.core.paths import Branch
from outlast.core.replay import History
from outlast.core.stops import HandedOver, Stopped
from outlast.engine.branches import Driven
from outlast.engine.turns import Turns
from outlast.sdk.running import current_line, enter_line, leave_line

T = TypeVar("T")

STOP_GRACE_S = 5.0
"""So long may a body that was stopped run its `finally` blocks. Then it is abandoned where it stands."""


class RunningBody:
    """All of it runs on the host's event loop but `block`."""

    def __init__(self, history: History) -> None:
        self.root = Branch()
        self.stopped: Stopped | None = None
        self.task: asyncio.Task[None] | None = None
        """Its life; kept here, since the loop itself keeps tasks weakly."""
        self._loop = asyncio.get_running_loop()
        self._history = history
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turns = Turns(history, self._tasks)
        self._body: asyncio.Task[Any] | None = None
        self._ever_branched = False
        self._calls: set[asyncio.Task[Any]] = set()
        """What is done for the body beside it: what its thread waits for, timers that are about to strike."""
        self._abandoned = False
        self._abandoning: asyncio.TimerHandle | None = None

    @property
    def replaying(self) -> bool:
        """Whether the body still does what it did before."""
        return self._history.replaying

    def begin(self) -> None:
        """Its task runs the body from now on."""
        self._body = self.task

    async def run(self, body: Coroutine[Any, Any, Any]) -> Any:
        """Await the coroutine of an `async def` body."""
        return await Driven(body, self)

    def going_on(self) -> None:
        """See Body. What goes on within a step is none of the body's activity."""
        if current_line() is not None:
            self._turns.activity += 1
        if self._abandoned and asyncio.current_task() is self._body:
            raise self.stopped or Stopped()

    def end(self) -> None:
        """The body returned or raised. Its tasks that still run are over; a step nobody waited for is too."""
        self._body = None
        if self._abandoning is not None:
            self._abandoning.cancel()
        for task in [*self._tasks, *self._calls]:
            task.cancel()
        self._turns.close()
        if self.stopped is None:
            self.stopped = Stopped("the workflow has ended")
            # guard: unreached-steps-ignored
            self._history.check_all_reached(self.root.count)

    def reason(self) -> Stopped | None:
        """Why the execution ended before its body did; None if it didn't."""
        return None if type(self.stopped) is Stopped else self.stopped

    def stop(self, reason: Stopped) -> None:
        """End this execution: what waits is cancelled, later calls are refused. The first reason counts."""
        if self.stopped is not None:
            return
        self.stopped = reason
        for task in [*self._tasks, *self._calls]:
            task.cancel()
        if self._body is not None:
            self._abandoning = self._loop.call_later(STOP_GRACE_S, self._abandon)
            if self._body is not asyncio.current_task():
                self._body.cancel()
        self._turns.close()

    def _abandon(self) -> None:
        """Resume a body no more that caught its end and goes on, or waits for ever."""
        if self._body is not None:
            self._abandoned = True
            self._body.cancel()

    async def _unseen(self, waiting: Awaitable[T]) -> T:
        """Wait for what the engine does, which is no activity of the body, nor are its timers the body's.

        In a step, steps are plain calls and tasks are no branches.
        """
        # guard: steps-within-steps = enter_line(current_line())
        outside = enter_line(None)
        try:
            return await waiting
        finally:
            leave_line(outside)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Know a task that the body made."""
        self._ever_branched = True
        self._turns.activity += 1
        self._tasks.add(task)
        task.add_done_callback(self._disowned)
        if self.stopped is not None:
            task.cancel()

    def _disowned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._turns.activity += 1

    def block(self, call: Coroutine[Any, Any, Any]) -> Any:
        """See Runner."""
        own = contextvars.copy_context()
        own.run(enter_line, None)
        future = own.run(asyncio.run_coroutine_threadsafe, self._called(call), self._loop)
        try:
            return future.result()
        except CallCancelled:
            raise self.stopped or HandedOver("the instance shuts down") from None

    async def _called(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Await what the thread of a `def` body blocks on: it ends when the execution is stopped."""
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            return await call
        finally:
            self._calls.discard(task)
