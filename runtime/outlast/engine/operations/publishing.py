"""Published events, attributes and the notes of sagas: they are recorded like steps, with nothing to run."""

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
"""How much a body may publish before it waits until that is durable."""

EVENT_CHARS = 10_000
"""The size that each event counts for in addition to its value."""


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table. It needn't wait for earlier writes: nobody sees it before it is durable."""
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
    """See operations.table. Whether a saga must undo again what it could not undo; otherwise false."""
    return record.name == Undo.STANDING and from_json(record.output or "{}").get("again", False)


def _publish(execution: Execution, call: PendingCall) -> None:
    assert isinstance(call.operation, Publish | SetAttributes | Undo)
    if isinstance(call.operation, Undo) and call.operation.name == Undo.FAILED:
        note = from_json(call.operation.body)
        # A step may have the name `failed`: its undo is noted under the same name, without an error.
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
