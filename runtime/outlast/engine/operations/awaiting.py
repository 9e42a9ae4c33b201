"""Waiting for what another workflow returns."""

from __future__ import annotations

from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Result


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _result, UNTIL_THE_HOST_CAN).begin()


async def _result(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Result)
    with execution.calls.awaiting(call.step_id):
        return Success(*PLAIN.through(await execution.services.host.result(operation.workflow_id)))
