"""Starting a workflow: its id, or its key, makes it started once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from outlast.core.errors import DatabaseUnavailable, KeyReused, Overloaded, QueueFull, ShuttingDown
from outlast.core.maps import BLOCK
from outlast.core.names import child_id_of
from outlast.core.ports import Unreachable
from outlast.core.retry import RetryPolicy
from outlast.core.stops import HandedOver
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.execution.services import Child, Children
from outlast.engine.operations.attempts import Attempts
from outlast.engine.operations.beginning import may_begin_again
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Start, StartAll

T = TypeVar("T")

AGAIN = "again-"
"""Behind a child's id, before the generation: of one that is another than was started there before."""

START_RETRY_MIN_S = 0.05
START_RETRY_MAX_S = 2.0


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _start, RetryPolicy()).begin()


def begin_all(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _start_all, RetryPolicy()).begin()


async def _start(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Start)
    child = Child(
        workflow_id=child_id_of(execution.workflow_id, call.step_id),
        parent=execution.workflow_id,
        key=operation.key,
        ends_by_s=None if operation.detached else execution.deadline_s,
        detached=operation.detached,
        placement=operation.placement,
    )
    host = execution.services.host

    async def started(child: Child) -> str:
        return await until_it_can(
            lambda: host.start_child(child, operation.workflow, operation.args, operation.kwargs)
        )

    try:
        child_id = await started(child)
    except KeyReused:
        # What it did before it was retried has started something else at this place, which stays as it is.
        # guard: other-child-of-before = True
        if execution.generation == 1 or operation.key is not None:
            raise
        again = f"{child.workflow_id}/{AGAIN}{execution.generation}"
        child_id = await started(child._replace(workflow_id=again))
    return Success(*PLAIN.through(child_id))


async def _start_all(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, StartAll)
    host, prefix = execution.services.host, child_id_of(execution.workflow_id, call.step_id)
    children = Children(
        prefix,
        execution.workflow_id,
        None if operation.detached else execution.deadline_s,
        operation.detached,
        operation.placement,
    )
    inputs = await host.inputs_of(operation.workflow, operation.items)
    others: dict[str, str] = {}
    for first in range(0, len(inputs), BLOCK):
        await may_begin_again(execution, call)
        block = inputs[first : first + BLOCK]
        ids = await until_it_can(partial(host.start_block, children, operation.workflow, first, block))
        others |= {str(n): each for n, each in enumerate(ids, first) if each != f"{prefix}/{n}"}
    return Success(*PLAIN.through({"of": prefix, "count": len(inputs), "others": others}))


async def until_it_can(start: Callable[[], Awaitable[T]]) -> T:
    """What `start` comes to, however long the host or the database can't. Raises HandedOver."""
    wait_s = START_RETRY_MIN_S
    while True:
        try:
            return await start()
        # The host could: who starts would keep its own place for as long, and nobody would know why.
        # guard: full-queues-hold-their-parents
        except QueueFull:
            raise
        # guard: full-host-is-the-childs-error
        except (Overloaded, DatabaseUnavailable, Unreachable):
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(START_RETRY_MAX_S, wait_s * 2)
        except ShuttingDown as error:
            raise HandedOver("the instance shuts down") from error
