"""Steps: run at least once until their outcome is recorded, never again after."""

from __future__ import annotations

from typing import Any

from outlast.core.records import StepRecord
from outlast.engine.concurrency import in_thread
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import Attempts, TooLate, in_time, may_begin_again
from outlast.sdk.operations import Step


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    step = _of(call).definition
    Attempts(execution, call, _run, step.retry, step.timeout_s, "step").begin()


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    return _of(call).definition.codec.decode(record.output)


def _of(call: PendingCall) -> Step:
    assert isinstance(call.operation, Step)
    return call.operation


async def _run(execution: Execution, call: PendingCall) -> Success:
    step, args, kwargs = _of(call)
    if step.is_async:
        result = await step.fn(*args, **kwargs)
    else:
        result = await _in_thread(execution, call)
    return Success(*step.codec.through(result))


async def _in_thread(execution: Execution, call: PendingCall) -> Any:
    step, args, kwargs = _of(call)
    fn = in_time(execution, step.fn)
    while True:
        try:
            return await in_thread(execution.services.step_threads, fn, *args, **kwargs)
        except TooLate:
            await may_begin_again(execution, call)
