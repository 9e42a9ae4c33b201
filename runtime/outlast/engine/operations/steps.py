"""Steps: run at least once until their outcome is recorded, never again after."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from outlast.core.records import StepRecord
from outlast.engine.calls import PendingCall
from outlast.engine.execution import Execution
from outlast.engine.operations.attempts import Failure, Success, Tried, attempt_all, in_thread
from outlast.engine.operations.performing import TooLate, before_next, in_time, may_begin_again, perform
from outlast.sdk.operations import Step


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    perform(execution, call, _attempts)


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    assert isinstance(call.operation, Step)
    return call.operation.definition.codec.decode(record.output)


def _attempts(execution: Execution, call: PendingCall) -> Awaitable[Success | Failure]:
    operation = call.operation
    assert isinstance(operation, Step)
    step, args, kwargs = operation.definition, operation.args, operation.kwargs

    def run() -> Awaitable[Any]:
        if step.is_async:
            return step.fn(*args, **kwargs)  # type: ignore[no-any-return]
        return _in_thread(execution, call, operation)

    return attempt_all(
        run,
        step.retry,
        step.timeout_s,
        step.codec,
        before_next(execution, call),
        call.context,
        Tried(call.step_id, f"step {step.name!r}", execution.services.clock.now_s),
    )


async def _in_thread(execution: Execution, call: PendingCall, operation: Step) -> Any:
    fn = in_time(execution, operation.definition.fn)
    while True:
        try:
            return await in_thread(execution.services.step_threads, fn, *operation.args, **operation.kwargs)
        except TooLate:
            await may_begin_again(execution, call)
