"""The calls of a body that have no answer yet, and their results."""

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
    """Where the body waits for the result of a call."""

    def set_result(self, value: Any, /) -> None:
        """The call returned `value`."""

    def set_exception(self, error: BaseException, /) -> None:
        """The call failed."""

    def give_up(self) -> None:
        """The body gave the call up, and this is now certain."""


class Success(NamedTuple):
    """A result as JSON text and as the value that the workflow sees."""

    text: str
    value: Any
    record: StepRecord | None = None
    """The record of the result, if it is committed already."""


class Failure(NamedTuple):
    """The error of the last attempt."""

    error: Exception


class PendingCall:
    """The state of one call. Only the host's loop uses it.

    Attributes that most calls never change are class attributes, to save memory: every step makes a call.
    """

    task: asyncio.Task[Any] | None = None
    """The task that works on it."""
    timer: asyncio.TimerHandle | None = None
    running = False
    """Whether its function has begun."""
    began: float | None = None
    ended: float | None = None
    """A reading of `monotonic`, like `began` and `retry_at`."""
    attempt = 1
    retry_at: float | None = None
    awaited = 0
    """How many other workflows it waits for now: those that had not ended when it looked."""
    wake_s: float | None = None
    """For a wait: when it ends, in Unix seconds."""
    timed = False
    """Whether its wait is recorded when the workflow leaves the memory."""
    saved = False
    """Whether its wait is recorded."""
    limit: str | None = None
    """The limit under which it has a place, or asks for one, until its result is recorded."""
    ask_again: Callable[[], None] | None = None
    """For a call that waits for a place under a limit: ask for the place now."""
    waits: tuple[Wait, ...] = ()
    """What it waits for in other workflows."""
    places: tuple[int, ...] = ()
    """For a transaction: all places that its record may have, as an earlier COMMIT may have been done."""
    settled = False
    """Whether its result is known and on its way to the body."""
    asked = False
    """Whether the body gave it up, and waits to learn whether that came in time."""

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
        """The context of the task that called. A step runs in it."""
        self.record = record
        """The record of the call, if there is one."""
        self.handed = handed
        """The write of the last completion that the body had received before this call."""
        self.called_after = called_after
        """The place of that completion. 0 before the first one; None if the body didn't make the call."""
        if record is not None:
            self.saved = True

    def end(self) -> asyncio.Task[Any] | None:
        """Stop working on it. Returns the task that must still end, if there is one."""
        if self.timer is not None:
            self.timer.cancel()
        if self.task is None or self.task.done():
            return None
        self.task.cancel()
        return self.task


class PendingCalls(dict[str, PendingCall]):
    """The pending calls of one body, by step id."""

    @property
    def _at_work(self) -> list[PendingCall]:
        return [call for call in self.values() if call.operation.kind not in kinds.WAITS]

    @property
    def only_wait(self) -> bool:
        """Whether all calls wait for other workflows. Then their memory isn't freed before those run."""
        at_work = self._at_work
        return bool(at_work) and all(call.awaited for call in at_work)

    @property
    def pause(self) -> bool:
        """Whether no step is at work: each waits for other workflows or for its next attempt."""
        at_work = self._at_work
        return bool(at_work) and all(call.awaited or call.retry_at is not None for call in at_work)

    @contextmanager
    def awaiting(self, step_id: str) -> Iterator[None]:
        """Within this block the step waits for another workflow's end."""
        call = self.get(step_id)
        if call is None:  # the step is over: a task that it left behind waits
            yield
            return
        call.awaited += 1
        try:
            yield
        finally:
            call.awaited -= 1
