"""Taking events of other workflows: which one was taken says the record, so each replay goes on after it."""

from __future__ import annotations

from outlast.core.clock import monotonic
from outlast.core.events import Taken, taken_in, taken_record
from outlast.core.records import StepRecord, Wait
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.awaiting import awaiting, wait_for
from outlast.engine.waits.events import Cursor
from outlast.sdk.operations import TakeEvent


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table. An event wakes it, and the end, after which there is none."""
    operation = call.operation
    assert isinstance(operation, TakeEvent)
    target = operation.workflow_id
    waits = (Wait(target), Wait(target, operation.event, operation.after))
    wait_for(execution, call, waits, _take, operation.timeout_s)


def value(call: PendingCall, record: StepRecord) -> Taken:
    """See operations.table."""
    return taken_in(record.output)


async def _take(execution: Execution, call: PendingCall) -> Success:
    operation, services = call.operation, execution.services
    assert isinstance(operation, TakeEvent)
    assert call.wake_s is not None
    cursor = _cursor(execution, operation)
    ends_at = monotonic() + call.wake_s - services.clock.now_s() if call.timed else None
    taken = await services.events.next(cursor, ends_at, awaiting(execution, call))
    if not operation.newest:
        execution.cursors[operation.workflow_id, operation.event, cursor.after] = cursor
    return Success(taken_record(taken), taken)


def _cursor(execution: Execution, operation: TakeEvent) -> Cursor:
    """The one that has read ahead of this place, if there is one."""
    given = operation.workflow_id, operation.event, operation.after
    return execution.cursors.pop(given, None) or Cursor(*given, newest=operation.newest)
