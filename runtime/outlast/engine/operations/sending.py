"""Sending a message to a workflow: a step whose key makes it sent once, however often it is begun."""

from __future__ import annotations

from outlast.core.names import message_key_of
from outlast.core.ports import Fence
from outlast.core.stops import LeaseLost
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Send


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _send, UNTIL_THE_HOST_CAN).begin()


async def _send(execution: Execution, call: PendingCall) -> Success:
    operation, host = call.operation, execution.services.host
    assert isinstance(operation, Send)
    to, body, topic = operation.workflow_id, operation.body, operation.topic
    key = operation.key or message_key_of(execution.workflow_id, call.step_id)
    # A key that the body gives stands for one message in all generations.
    # guard: messages-of-before-hinder = True
    if execution.generation == 1 or operation.key is not None:
        return Success(*PLAIN.through(await host.send(to, body, topic, key)))
    fence = Fence(execution.workflow_id, execution.epoch, call.step_id, 0)
    message_id = await host.send_again(fence, to, body, topic, key, execution.generation)
    if message_id is None:
        raise LeaseLost("a message was refused: its workflow was cancelled or runs elsewhere")
    return Success(*PLAIN.through(message_id))
