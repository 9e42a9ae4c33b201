"""Reading the workflow's own attributes: a step, so that a replay gives what was found then."""

from __future__ import annotations

from pydantic_core import from_json

from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts
from outlast.engine.operations.plain import PLAIN


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table. What the body itself has set before is durable when it begins, and is read."""
    Attempts(execution, call, _read, UNTIL_THE_HOST_CAN).begin()


async def _read(execution: Execution, call: PendingCall) -> Success:
    found = await execution.services.host.attributes(execution.workflow_id)
    return Success(*PLAIN.through({} if found is None else from_json(found)))
