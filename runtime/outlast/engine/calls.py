"""A call that a body made and has no answer to yet."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any, Protocol

from outlast.core.records import StepRecord
from outlast.sdk.operations import Operation


class Answer(Protocol):
    """Where the body waits for what a call comes to."""

    def set_result(self, value: Any, /) -> None:
        """It came to `value`."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """It failed."""
        ...

    def give_up(self) -> None:
        """The body gave it up, and that is certain now."""
        ...


class PendingCall:
    """What is known of it. All of it belongs to the host's loop."""

    __slots__ = (
        "answer",
        "asked",
        "attempt",
        "awaited",
        "began",
        "context",
        "ended",
        "handed",
        "operation",
        "places",
        "record",
        "retry_at",
        "running",
        "saved",
        "settled",
        "step_id",
        "task",
        "timer",
        "wake_s",
    )

    def __init__(
        self,
        step_id: str,
        operation: Operation,
        answer: Answer,
        context: Context,
        record: StepRecord | None,
        handed: asyncio.Future[bool] | None,
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
        self.task: asyncio.Task[Any] | None = None
        """What works on it."""
        self.timer: asyncio.TimerHandle | None = None
        self.running = False
        """Whether its function has been begun."""
        self.began: float | None = None
        self.ended: float | None = None
        """A `monotonic` reading, as `retry_at`."""
        self.attempt = 1
        self.retry_at: float | None = None
        self.awaited = 0
        """Other workflows' ends that it waits for now."""
        self.wake_s: float | None = None
        """Of a wait: until when, in Unix seconds."""
        self.saved = record is not None
        """Whether that is recorded."""
        self.places: list[int] = []
        """Of a transaction: each that its record may have got, as its commit may have been done."""
        self.settled = False
        """Whether it is known what it came to: that is on its way to the body."""
        self.asked = False
        """Whether the body gave it up, and it is to be learned whether that came in time."""

    def end(self) -> asyncio.Task[Any] | None:
        """Work on it no more; the task that has to end for that."""
        if self.timer is not None:
            self.timer.cancel()
        if self.task is None or self.task.done():
            return None
        self.task.cancel()
        return self.task
