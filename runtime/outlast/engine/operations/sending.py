"""Sending a message to a workflow: a step whose key makes it sent once, however often it is begun."""

from __future__ import annotations

from outlast.core.names import message_key_of
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Send


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _send, UNTIL_THE_HOST_CAN).begin()


async def _send(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Send)
    key = operation.key or message_key_of(execution.workflow_id, call.step_id)
    message_id = await execution.services.host.send(
        operation.workflow_id, operation.body, operation.topic, key
    )
    return Success(*PLAIN.through(message_id))
