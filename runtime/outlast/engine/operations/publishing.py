"""Published events, attributes, what sagas note: a record like a step's, with nothing to run before it."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic_core import from_json

from outlast.core.clock import monotonic
from outlast.core.observations import UndoFailed, UndoGivenUp
from outlast.core.records import StepRecord
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import may_begin
from outlast.sdk.operations import Publish, SetAttributes, Undo

AHEAD_CHARS_MAX = 1_000_000
"""So much may a body publish before it waits until that is durable."""

EVENT_CHARS = 10_000
"""What each event counts for beside its value."""


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table. Nobody sees it before it is durable, so it needn't wait for what came before."""
    operation = call.operation
    assert isinstance(operation, Publish | SetAttributes | Undo)
    call.began = monotonic()
    execution.published_ahead += EVENT_CHARS + len(operation.body)
    # guard: events-without-end
    if execution.published_ahead >= AHEAD_CHARS_MAX or execution.draining:
        execution.published_ahead = 0
        execution.recording.when_durable(call, partial(_begin_later, execution, call))
    else:
        _publish(execution, call)


def is_again(call: PendingCall, record: StepRecord) -> object:
    """See operations.table. Whether what stands is to be undone again, as of `Saga`; else false."""
    return record.name == Undo.STANDING and from_json(record.output or "{}").get("again", False)


def _publish(execution: Execution, call: PendingCall) -> None:
    assert isinstance(call.operation, Publish | SetAttributes | Undo)
    if isinstance(call.operation, Undo) and call.operation.name == Undo.FAILED:
        note = from_json(call.operation.body)
        # A step may be called `failed`, too: what undoes that is noted under the same name.
        if "error" in note:
            execution.services.observe(_undo_failed(execution.workflow_id, note))
    execution.recording.complete(call, call.operation.body, attempts=0)
    written = partial(execution.services.events.written, execution.workflow_id)
    execution.recording.when_written(written)


def _undo_failed(workflow_id: str, note: dict[str, Any]) -> UndoFailed | UndoGivenUp:
    told = (workflow_id, note["step"], note["undo"], note["error"])
    return UndoFailed(*told, note["wait_s"]) if "wait_s" in note else UndoGivenUp(*told)


def _begin_later(execution: Execution, call: PendingCall) -> None:
    call.task = execution.host.create_task(_later(execution, call))


async def _later(execution: Execution, call: PendingCall) -> None:
    await may_begin(execution)
    _publish(execution, call)
    execution.schedule()
