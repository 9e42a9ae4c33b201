"""Starting a workflow: its id, or its key, makes it started once."""

from __future__ import annotations

import asyncio
import random

from outlast.core.errors import DatabaseUnavailable, Overloaded, ShuttingDown
from outlast.core.retry import RetryPolicy
from outlast.core.stops import HandedOver
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.execution.services import Child
from outlast.engine.operations.attempts import Attempts
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Start

START_RETRY_MIN_S = 0.05
START_RETRY_MAX_S = 2.0


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _start, RetryPolicy()).begin()


async def _start(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Start)
    child = Child(
        workflow_id=f"{execution.workflow_id}/{call.step_id}",
        parent=execution.workflow_id,
        key=operation.key,
        ends_by_s=None if operation.detached else execution.deadline_s,
        detached=operation.detached,
        placement=operation.placement,
    )
    start, wait_s = execution.services.host.start_child, START_RETRY_MIN_S
    while True:
        try:
            child_id = await start(child, operation.workflow, operation.args, operation.kwargs)
            return Success(*PLAIN.through(child_id))
        # guard: full-host-is-the-childs-error
        except (Overloaded, DatabaseUnavailable):
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(START_RETRY_MAX_S, wait_s * 2)
        except ShuttingDown as error:
            raise HandedOver("the instance shuts down") from error
