"""Sleeps of a workflow, and timers that its body sets through asyncio."""

from __future__ import annotations

from pydantic_core import from_json, to_json

from outlast.core.clock import monotonic
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.sdk.operations import Sleep, Timer

LOOK_S = 30.0
"""A long wait checks the time at this interval: the process may have been frozen."""


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    call.began = monotonic()
    execution.waiting.add(call, _wake_s(execution, call))
    _wait(execution, call)


def _wake_s(execution: Execution, call: PendingCall) -> float:
    operation = call.operation
    # guard: sleep-starts-anew
    if call.record is not None:
        return float(from_json(call.record.output or "0"))
    if isinstance(operation, Timer):
        return operation.when_s
    assert isinstance(operation, Sleep)
    if operation.duration_s is None:
        return operation.until_s or 0.0
    return execution.services.clock.now_s() + operation.duration_s


def _wait(execution: Execution, call: PendingCall) -> None:
    assert call.wake_s is not None
    left_s = call.wake_s - execution.services.clock.now_s()
    if left_s > 0:
        call.timer = execution.host.call_later(min(left_s, LOOK_S), _wait, execution, call)
    else:
        execution.recording.complete(call, to_json(call.wake_s).decode(), at_s=call.wake_s)
        execution.advance()
