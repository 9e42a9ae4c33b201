"""Doing a verb to another workflow: a step that may be run twice, and is done once."""

from __future__ import annotations

from outlast.core.names import actor_of, message_key_of
from outlast.core.verbs import KEY
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Act


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _act, UNTIL_THE_HOST_CAN).begin()


async def _act(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Act)
    arguments = dict(operation.arguments)
    # guard: forked-again-after-a-crash
    if any(each.name == KEY for each in operation.verb.arguments):
        arguments.setdefault(KEY, message_key_of(execution.workflow_id, call.step_id))
    row = await execution.services.host.act(
        operation.verb, operation.workflow_id, arguments, actor_of(execution.workflow_id)
    )
    return Success(*PLAIN.through(dict(row)))
