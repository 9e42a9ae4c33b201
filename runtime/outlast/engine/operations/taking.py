"""Taking events of other workflows: which one was taken says the record, so each replay goes on after it."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from outlast.core.clock import monotonic
from outlast.core.errors import WorkflowNotFound
from outlast.core.events import Taken, taken_in, taken_record
from outlast.core.records import StepRecord
from outlast.engine.execution.calls import Failure, PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.beginning import never
from outlast.engine.waits.events import Cursor
from outlast.sdk.durations import DURATION_MAX_S
from outlast.sdk.operations import TakeEvent


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    operation = call.operation
    assert isinstance(operation, TakeEvent)
    call.began = monotonic()
    if call.record is not None:
        execution.waiting.add(call, from_json(call.record.output or "0"))
    else:
        timeout_s = DURATION_MAX_S if operation.timeout_s is None else operation.timeout_s
        execution.waiting.add(call, execution.services.clock.now_s() + timeout_s)
    call.task = execution.host.create_task(_take(execution, call, operation))


def value(call: PendingCall, record: StepRecord) -> Taken:
    """See operations.table."""
    return taken_in(record.output)


async def _take(execution: Execution, call: PendingCall, operation: TakeEvent) -> None:
    if execution.draining:
        await never(execution)
    cursor = _cursor(execution, operation)
    execution.cursors[call.step_id] = cursor
    assert call.wake_s is not None
    ends_at = monotonic() + call.wake_s - execution.services.clock.now_s()

    def looked() -> None:
        execution.schedule()  # it may leave the memory now

    try:
        taken = await execution.services.events.next(cursor, ends_at, looked, execution.services.moment_s)
    except WorkflowNotFound as error:
        execution.performed(call, Failure(error))
        return
    # Since it was taken nothing was waited for: an event that isn't recorded now is taken again.
    if execution.stopped is None:
        _keep(execution, cursor)
        # guard: taken-not-recorded
        execution.recording.complete(call, taken_record(taken), value=taken, attempts=0)
        execution.schedule()


def _cursor(execution: Execution, operation: TakeEvent) -> Cursor:
    """The one that has read ahead to this place, if there is one."""
    if not operation.newest:
        place = (operation.workflow_id, operation.event, operation.after)
        if (kept := execution.read_ahead.pop(place, None)) is not None:
            return kept
    return Cursor(operation.workflow_id, operation.event, operation.after, newest=operation.newest)


def _keep(execution: Execution, cursor: Cursor) -> None:
    execution.read_ahead[cursor.workflow_id, cursor.event, cursor.after] = cursor
