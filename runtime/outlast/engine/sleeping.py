"""Sleeps of a workflow, and how it leaves the memory when waiting is all that is left."""

from __future__ import annotations

import asyncio

from pydantic_core import from_json, to_json

from outlast.core.clock import monotonic
from outlast.core.codec import Codec
from outlast.core.failures import CANCELLED
from outlast.core.paths import Branch
from outlast.core.records import ClaimedWorkflow, StepRecord
from outlast.core.stops import Suspended
from outlast.engine.execution import Services
from outlast.engine.timers import Timed
from outlast.sdk.definitions import WorkflowDefinition

_PLAIN = Codec(of="the result")


class Sleeper(Timed):
    """An execution that can wait for long."""

    def __init__(
        self, claimed: ClaimedWorkflow, definition: WorkflowDefinition, services: Services, stretch: int
    ) -> None:
        super().__init__(claimed, definition, services, stretch)
        self.wake_at_s: float | None = None
        self.unsaved_sleeps: list[StepRecord] = []
        """Waits, of sleeps, receives and at a suspension timers, that are recorded nowhere yet."""
        self._deadline_s = claimed.deadline_s
        self._sleeps: dict[str, float] = {}
        """All that is waited for now, by step: until when."""

    async def call_sleep(self, branch: Branch, duration_s: float | None, until_s: float | None) -> None:
        """See Runner."""
        step_id, record = await self._next(branch, "sleep")
        if record is not None and record.error == CANCELLED:
            await self._replayed(record, _PLAIN, self.definition.fn)
        if record is not None and record.completion_order is not None:
            await self._turns.take(record.completion_order)
            return
        now_s = self._services.clock.now_s()
        wake_s = now_s + duration_s if duration_s is not None else (until_s or 0.0)
        if record is not None:
            # guard: sleep-starts-anew
            wake_s = from_json(record.output or "0")
        short = record is None and wake_s - now_s <= self._services.moment_s
        sleep = StepRecord(step_id, "sleep", to_json(wake_s).decode(), None, 1, None, monotonic())
        try:
            if not short:
                await self._sleep_long(sleep, wake_s, recorded=record is not None)
            else:
                await self._sleep_short(wake_s)
        except asyncio.CancelledError:
            if self.stopped is None:
                await self._give_up(sleep)
            raise
        if self.stopped is not None:
            raise self.stopped
        order = self._history.next_order()
        if short or self._ever_branched or self._ever_timed or not self._history.replaying:
            # Which of several branches and timers came first must be durable before it shows. A sleep in an
            # old history that has no place, though later calls have one, gets none: it would come after.
            self._write(sleep._replace(completion_order=order, ended=monotonic()))
        self.at_work += 1
        try:
            await self._take_turn(order)
        finally:
            self.at_work -= 1

    async def _sleep_short(self, wake_s: float) -> None:
        if self._draining:
            await self._hand_over()
        await self._unseen(asyncio.sleep(max(0.0, wake_s - self._services.clock.now_s())))
        self._turns.activity += 1

    async def _sleep_long(self, sleep: StepRecord, wake_s: float, *, recorded: bool) -> None:
        """Sleep past the moment: the wake time is recorded; a workflow that only sleeps leaves the memory."""
        self._sleeps[sleep.step_id] = wake_s
        if not recorded:
            self.unsaved_sleeps.append(sleep)
        try:
            if not self._tasks and self._is_far():
                self._suspend()
                assert self.stopped is not None
                raise self.stopped
            self._save_sleeps()
            while (left_s := wake_s - self._services.clock.now_s()) > 0:
                seen = self._turns.activity
                await self._unseen(asyncio.sleep(min(left_s, self._services.moment_s)))
                self._suspend_if_idle(seen)
                if self.stopped is not None:
                    raise self.stopped
        finally:
            self._sleeps.pop(sleep.step_id, None)

    def _suspend_if_idle(self, seen: int) -> None:
        """Suspend if all that this workflow still does is to wait: nothing moved for a moment.

        `seen`: its activity a moment ago.
        """
        idle = seen == self._turns.activity and not self.at_work
        if idle and self._is_far() and self._may_leave():
            self._suspend()

    def _is_far(self) -> bool:
        """Whether more than a moment passes before anything that is waited for here."""
        nearest_s = min(self._waits_until_s())
        return nearest_s - self._services.clock.now_s() > self._services.moment_s

    def _waits_until_s(self) -> list[float]:
        return [*self._sleeps.values(), *(timer.wake_s for timer in self.timers.values())]

    def _may_leave(self) -> bool:
        """Whether nothing that is waited for is there already."""
        return True

    def _suspend(self) -> None:
        self.wake_at_s = min(
            [*self._waits_until_s(), *([] if self._deadline_s is None else [self._deadline_s])]
        )
        self.unsaved_sleeps += self._unsaved_timers()
        self.stop(Suspended("the workflow sleeps"))

    def _save_sleeps(self) -> None:
        """Record waits that don't suspend now: others go on, and a crash must not start them anew."""
        # guard: sleep-unsaved
        for sleep in self.unsaved_sleeps:
            self._write(sleep)
        self.unsaved_sleeps.clear()
