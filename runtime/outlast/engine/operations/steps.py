"""Steps: run at least once until their outcome is recorded, and never again after that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from outlast.core.events import Emission
from outlast.core.records import StepRecord
from outlast.engine.concurrency import in_thread
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import Attempts, TooLate, in_time, may_begin_again
from outlast.engine.operations.limiting import Place
from outlast.sdk.emitting import enter_emitter
from outlast.sdk.operations import Args, Kwargs, Step


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    assert isinstance(call.operation, Step)
    step = call.operation.definition
    attempts = Attempts(execution, call, _run, step.retry, step.timeout_s, "step")
    if step.limit is None:
        attempts.begin()
    else:
        Place(execution, call, step.limit, attempts.begin).ask()


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    assert isinstance(call.operation, Step)
    return call.operation.definition.codec.decode(record.output)


async def _run(execution: Execution, call: PendingCall) -> Success:
    assert isinstance(call.operation, Step)
    step, args, kwargs = call.operation.definition, call.operation.args, call.operation.kwargs
    emitter = Emitter(execution, call)
    enter_emitter(emitter)
    try:
        if step.is_async:
            result = await step.fn(*args, **kwargs)
        else:
            result = await _in_thread(execution, call, step.fn, args, kwargs)
    finally:
        emitter.end()
    return Success(*step.codec.through(result))


async def _in_thread(
    execution: Execution, call: PendingCall, fn: Callable[..., Any], args: Args, kwargs: Kwargs
) -> Any:
    over: Future[None] = Future()
    begun = _mark_errors(over, in_time(execution, fn))
    while True:
        try:
            return await in_thread(execution.services.step_threads, begun, *args, **kwargs)
        except TooLate:
            await may_begin_again(execution, call)
        except asyncio.CancelledError:
            # guard: undone-beside-its-thread
            if over.running():
                execution.left_running.add(over)
                over.add_done_callback(execution.left_running.discard)
            raise


def _mark_errors(over: Future[None], fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, which shows in `over` whether it runs: a thread can't be ended from outside."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if not over.running():
            over.set_running_or_notify_cancel()
        try:
            result = fn(*args, **kwargs)
        except TooLate:
            raise  # nothing was begun
        except BaseException:
            over.set_result(None)
            raise
        over.set_result(None)
        return result

    return run


class Emitter:
    """Sends the values that a step emits. The step's threads may call it too."""

    __slots__ = ("_attempt", "_emissions", "_number", "_of")

    def __init__(self, execution: Execution, call: PendingCall) -> None:
        self._emissions = execution.services.emissions
        self._of: tuple[Execution, PendingCall] | None = execution, call
        """None after the attempt: otherwise call, context and emitter would form a cycle."""
        self._attempt = call.attempt
        self._number = 0

    def __call__(self, value: str) -> None:
        """Send JSON text to the listeners. After the end of the attempt nothing is sent."""
        with self._emissions.lock:
            # guard: emits-after-its-end
            if self._of is None:
                return
            execution, call = self._of
            self._number += 1
            listeners = self._emissions.of(execution.workflow_id)
            if listeners is None:
                return
            emission = Emission(
                call.step_id,
                call.operation.name,
                execution.epoch,
                self._attempt,
                self._number,
                value,
                execution.recording.completions.last,
            )
            for each in listeners:
                each.put(emission)

    def end(self) -> None:
        """End the attempt's emissions."""
        with self._emissions.lock:
            self._of = None
