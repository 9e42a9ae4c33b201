"""Links for people: a callback is recorded once, and a replay gives the same."""

from __future__ import annotations

from typing import Any

from outlast.core.callbacks import Link, mark_of
from outlast.core.errors import UsageError
from outlast.core.failures import globals_of
from outlast.core.named_types import name_of_type
from outlast.core.records import StepRecord
from outlast.core.retry import RetryPolicy
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import Attempts
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Callback


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _link, RetryPolicy()).begin()


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    return PLAIN.decode(record.output)["url"]


async def _link(execution: Execution, call: PendingCall) -> Success:
    operation, seals = call.operation, execution.services.seals
    assert isinstance(operation, Callback)
    if seals.lacks is not None:
        raise UsageError(f"callback: set {seals.lacks}")
    expires_s = execution.services.clock.now_s() + operation.expires_s
    of = _name_of(execution, operation)
    mark = mark_of(execution.created_s, operation.topic, operation.uses, of)
    url = seals.url(Link(execution.workflow_id, call.step_id, expires_s, mark))
    # What it says of itself, the host that is asked reads from the record.
    document = {"url": url, "topic": operation.topic, "uses": operation.uses, "of": of, "mark": mark}
    text, _ = PLAIN.through(document)
    return Success(text, url)


def _name_of(execution: Execution, operation: Callback) -> str | None:
    if operation.of is Any:
        return None
    name = name_of_type(operation.of, globals_of(execution.definition.fn))
    if name is None:
        raise UsageError(
            f"callback(of): {operation.of!r:.100} must have a name in the workflow's file, so that any "
            "process finds it: write `Answer = …` at the top of the file, and `of=Answer`"
        )
    return name
