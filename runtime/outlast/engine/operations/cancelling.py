"""Cancelling another workflow: a step that may be done twice."""

from __future__ import annotations

from outlast.core.names import actor_of
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Cancel


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _cancel, UNTIL_THE_HOST_CAN).begin()


async def _cancel(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Cancel)
    await execution.services.host.cancel(
        operation.workflow_id, actor_of(execution.workflow_id), operation.mode, operation.why
    )
    return Success(*PLAIN.through(None))
