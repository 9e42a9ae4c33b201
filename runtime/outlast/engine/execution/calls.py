"""The calls that a body made and has no answer to yet, and what they come to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, NamedTuple, Protocol

from outlast.core import kinds
from outlast.core.records import StepRecord, Wait
from outlast.sdk.operations import Operation

NO_CONTEXT = Context()


class Answer(Protocol):
    """Where the body waits for what a call comes to."""

    def set_result(self, value: Any, /) -> None:
        """It came to `value`."""

    def set_exception(self, error: BaseException, /) -> None:
        """It failed."""

    def give_up(self) -> None:
        """The body gave it up, and that is certain now."""


class Success(NamedTuple):
    """A result as JSON text and as what the workflow sees of it."""

    text: str
    value: Any
    record: StepRecord | None = None
    """Where that stands already."""


class Failure(NamedTuple):
    """The error of the last attempt."""

    error: Exception


class PendingCall:
    """What is known of it. All of it belongs to the host's loop.

    What most calls never change stands here once, not in each: every step makes one.
    """

    task: asyncio.Task[Any] | None = None
    """What works on it."""
    timer: asyncio.TimerHandle | None = None
    running = False
    """Whether its function has been begun."""
    began: float | None = None
    ended: float | None = None
    """A `monotonic` reading, as `retry_at`."""
    attempt = 1
    retry_at: float | None = None
    awaited = 0
    """Other workflows' ends that it waits for now: they had not ended when it looked."""
    wake_s: float | None = None
    """Of a wait: until when, in Unix seconds."""
    timed = False
    """Whether it is recorded when the workflow leaves the memory."""
    saved = False
    """Whether that is recorded."""
    limit: str | None = None
    """The limit under which it has a place, or asks for one, until it is recorded."""
    ask_again: Callable[[], None] | None = None
    """Of one that waits for such a place: ask for it now."""
    waits: tuple[Wait, ...] = ()
    """What of other workflows it waits for."""
    places: tuple[int, ...] = ()
    """Of a transaction: each that its record may have got, as its commit may have been done."""
    settled = False
    """Whether it is known what it came to: that is on its way to the body."""
    asked = False
    """Whether the body gave it up, and it is to be learned whether that came in time."""

    def __init__(
        self,
        step_id: str,
        operation: Operation,
        answer: Answer,
        context: Context,
        record: StepRecord | None,
        handed: asyncio.Future[bool] | None,
        called_after: int | None = None,
    ) -> None:
        self.step_id = step_id
        self.operation = operation
        self.answer = answer
        self.context = context
        """Of the task that called: a step runs in it."""
        self.record = record
        """What is recorded of it."""
        self.handed = handed
        """The write of the last completion that its body had been handed by then."""
        self.called_after = called_after
        """The place of that completion; 0 before the first one, None for what the body didn't call."""
        if record is not None:
            self.saved = True

    def end(self) -> asyncio.Task[Any] | None:
        """Work on it no more; the task that has to end for that."""
        if self.timer is not None:
            self.timer.cancel()
        if self.task is None or self.task.done():
            return None
        self.task.cancel()
        return self.task


class PendingCalls(dict[str, PendingCall]):
    """Those of one body, by step id."""

    @property
    def _at_work(self) -> list[PendingCall]:
        return [call for call in self.values() if call.operation.kind not in kinds.WAITS]

    @property
    def only_wait(self) -> bool:
        """Whether all wait for other workflows: what they hold is not freed before those run."""
        at_work = self._at_work
        return bool(at_work) and all(call.awaited for call in at_work)

    @property
    def pause(self) -> bool:
        """Whether no step is at work: each waits for other workflows, or for its next attempt."""
        at_work = self._at_work
        return bool(at_work) and all(call.awaited or call.retry_at is not None for call in at_work)

    @contextmanager
    def awaiting(self, step_id: str) -> Iterator[None]:
        """That step waits for another workflow's end in here."""
        call = self.get(step_id)
        if call is None:  # it is over: a task that it left behind waits
            yield
            return
        call.awaited += 1
        try:
            yield
        finally:
            call.awaited -= 1
