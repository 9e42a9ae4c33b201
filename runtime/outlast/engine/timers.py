"""Timers that a body sets through asyncio: recorded when they strike, and struck again at the same place.

`asyncio.timeout`, `wait`, `wait_for`, `as_completed` and `sleep` all ask the loop to call something at some
time. What of a body was over by then decides how it goes on, so a timer takes its turn among the results.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core.clock import monotonic
from outlast.core.paths import Branch
from outlast.core.records import ClaimedWorkflow, StepRecord
from outlast.engine.execution import Execution, Services
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.running import enter_line, leave_line

_NAME = "timer"


class BodyTimer(asyncio.TimerHandle):
    """What the body gets to hold: it can cancel it, until it strikes."""

    __slots__ = ("_set", "began", "pending", "recorded", "step_id", "wake_s")

    def __init__(
        self,
        step_id: str,
        when: float,
        call: tuple[Callable[..., object], tuple[Any, ...]],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
        pending: dict[str, BodyTimer],
    ) -> None:
        super().__init__(when, *call, loop, context)
        self.step_id = step_id
        self.began = monotonic()
        self.wake_s = 0.0
        """Unix seconds."""
        self.recorded = False
        """Whether its wake time is, of a suspension."""
        self.pending = pending
        self._set: asyncio.TimerHandle | None = None
        pending[step_id] = self

    def set(self, handle: asyncio.TimerHandle) -> None:
        """`handle` is the loop's own."""
        self._set = handle

    def cancel(self) -> None:
        """See asyncio.Handle."""
        self.pending.pop(self.step_id, None)
        if self._set is not None:
            self._set.cancel()
        asyncio.Handle.cancel(self)

    def strike(self) -> None:
        """Call what is to be called, unless it was cancelled."""
        if self.pending.pop(self.step_id, None) is not None:
            self._run()


class Timed(Execution):
    """An execution whose body can set timers."""

    def __init__(
        self, claimed: ClaimedWorkflow, definition: WorkflowDefinition, services: Services, stretch: int
    ) -> None:
        super().__init__(claimed, definition, services, stretch)
        self.timers: dict[str, BodyTimer] = {}
        """Those that have neither struck nor been cancelled."""
        self._ever_timed = False

    def call_at(
        self,
        branch: Branch,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> asyncio.TimerHandle:
        """See TimedBody."""
        if self.stopped is not None:
            return self._plain(when, callback, args, context)
        self._ever_timed = True
        step_id = branch.next_timer_id()
        record = self._history.meet(step_id, _NAME)
        timer = BodyTimer(step_id, when, (callback, args), self._loop, context, self.timers)
        if record is not None and record.completion_order is not None:
            self._strike_at(timer, record.completion_order)
            return timer
        left_s = when - self._loop.time()
        timer.wake_s = self._services.clock.now_s() + left_s
        if record is not None:
            timer.recorded = True
            timer.wake_s = from_json(record.output or "0")
            when = self._loop.time() + timer.wake_s - self._services.clock.now_s()
        timer.set(self._plain(when, self._due, (timer,), contextvars.Context()))
        return timer

    def _plain(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> asyncio.TimerHandle:
        context = context or contextvars.copy_context()
        outside = enter_line(None)
        try:
            return self._loop.call_at(when, callback, *args, context=context)
        finally:
            leave_line(outside)

    def _due(self, timer: BodyTimer) -> None:
        if self.stopped is not None:
            return
        if self._history.next_release() is not None:
            self._spawn(self._strike_late(timer))
        else:
            self._strike_next(timer)

    async def _strike_late(self, timer: BodyTimer) -> None:
        """Strike after all that is recorded: when that came, the timer had not struck.

        But if the next of it is a call that was given up, the timer is what it was given up for: so it is in
        what was recorded before timers were.
        """
        all_replayed = await self._turns.replayed()
        if self.stopped is not None or timer.cancelled():
            return
        if all_replayed:
            self._strike_next(timer)
        else:
            self._turns.activity += 1
            timer.strike()

    def _strike_next(self, timer: BodyTimer) -> None:
        order = self._history.next_order()
        # guard: timer-unrecorded
        self._write(self._record(timer, order))
        self._strike_at(timer, order)

    def _strike_at(self, timer: BodyTimer, order: int) -> None:
        self._turns.reserve(order)  # from now on, not from when the task runs
        self._spawn(self._strike(timer, order))

    async def _strike(self, timer: BodyTimer, order: int) -> None:
        await self._turns.take_at_rest(order)
        self._turns.activity += 1
        if self.stopped is None:
            timer.strike()

    def _record(self, timer: BodyTimer, order: int | None) -> StepRecord:
        wake_s = to_json(timer.wake_s).decode()
        return StepRecord(timer.step_id, _NAME, wake_s, None, 1, order, timer.began, monotonic())

    def _unsaved_timers(self) -> list[StepRecord]:
        """For a suspension: when those that are set are to strike."""
        return [self._record(timer, None) for timer in self.timers.values() if not timer.recorded]

    def _spawn(self, striking: Coroutine[Any, Any, None]) -> None:
        # Not in the body's context: a task made there would be a branch of it.
        task = self._loop.create_task(striking, context=contextvars.Context())
        self._calls.add(task)
        self.at_work += 1
        task.add_done_callback(self._struck)

    def _struck(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self.at_work -= 1
