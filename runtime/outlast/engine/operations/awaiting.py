"""Waiting for other workflows: for a result, for the first of several to end, and for published events.

A workflow that only waits for these leaves the memory after a moment. When one of the other workflows ends,
the same commit wakes it. Then it looks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic_core import from_json

from outlast.core.clock import monotonic
from outlast.core.events import Taken, taken_in, taken_record
from outlast.core.ports import Fence
from outlast.core.records import StepRecord, Wait
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts, Run
from outlast.engine.operations.plain import PLAIN
from outlast.engine.operations.starting import until_it_can
from outlast.engine.waits.events import Cursor
from outlast.sdk.durations import DURATION_MAX_S
from outlast.sdk.operations import Result, TakeEvent, WaitAny


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    operation = call.operation
    assert isinstance(operation, Result)
    wait_for(execution, call, (Wait(operation.workflow_id),), _result)


def begin_any(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    operation = call.operation
    assert isinstance(operation, WaitAny)
    waits = tuple(map(Wait, operation.workflow_ids))
    wait_for(execution, call, waits, _first_ended, operation.timeout_s)


def wait_for(
    execution: Execution,
    call: PendingCall,
    waits: tuple[Wait, ...],
    run: Run,
    timeout_s: float | None = None,
) -> None:
    """Let `run` wait. The workflow may leave the memory meanwhile: one of `waits` wakes it.

    With a timeout, the end of the wait is in `call.wake_s`, and is recorded when the workflow leaves.
    """
    now_s = execution.services.clock.now_s()
    call.waits, call.timed = waits, timeout_s is not None
    if call.timed and call.record is not None:
        wake_s = from_json(call.record.output or "0")
    else:
        wake_s = now_s + (DURATION_MAX_S if timeout_s is None else timeout_s)
    execution.waiting.add(call, wake_s)
    Attempts(execution, call, run, UNTIL_THE_HOST_CAN).begin_now()


@contextmanager
def awaiting(execution: Execution, call: PendingCall) -> Iterator[None]:
    """The call waits within this block: it has looked, and did not find what it waits for."""
    with execution.calls.awaiting(call.step_id):
        execution.schedule()  # the workflow may leave the memory now
        yield


async def _result(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Result)
    await _retry_child(execution, call, operation.workflow_id)
    result = await execution.services.host.result(operation.workflow_id, awaiting(execution, call))
    return Success(*PLAIN.through(result))


async def _retry_child(execution: Execution, call: PendingCall, child: str) -> None:
    """If this workflow was retried, also retry a child that failed before."""
    # guard: children-fail-for-ever
    if execution.generation > 1:
        maps, fence = execution.services.maps, Fence(execution.workflow_id, execution.epoch, call.step_id, 0)
        if await until_it_can(lambda: maps.retry_child(fence, child)):
            execution.services.left_queue()
            execution.services.suspended(execution.services.clock.now_s())


async def _first_ended(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, WaitAny)
    assert call.wake_s is not None
    left_s = max(0.0, call.wake_s - execution.services.clock.now_s()) if call.timed else None
    waiting = awaiting(execution, call)
    first = await execution.services.host.first_ended(operation.workflow_ids, left_s, waiting)
    return Success(*PLAIN.through(first))


def begin_event(execution: Execution, call: PendingCall) -> None:
    """See operations.table. An event wakes the workflow. So does the target's end: no events come after it.

    The record says which event was taken, so a replay continues after it.
    """
    operation = call.operation
    assert isinstance(operation, TakeEvent)
    target = operation.workflow_id
    waits = (Wait(target), Wait(target, operation.event, operation.after))
    wait_for(execution, call, waits, _take, operation.timeout_s)


def event_of_record(call: PendingCall, record: StepRecord) -> Taken:
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
    """A cursor that has already read past this place, if there is one; otherwise a new one."""
    given = operation.workflow_id, operation.event, operation.after
    return execution.cursors.pop(given, None) or Cursor(*given, newest=operation.newest)
