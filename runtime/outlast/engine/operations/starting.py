"""Starting workflows. The id or the key makes sure that each is started only once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from outlast.core.errors import DatabaseUnavailable, KeyReused, Overloaded, QueueFull, ShuttingDown
from outlast.core.maps import BLOCK
from outlast.core.names import again_of, child_id_of
from outlast.core.ports import Unreachable
from outlast.core.retry import RetryPolicy
from outlast.core.stops import HandedOver
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.execution.services import Child, Children
from outlast.engine.operations.attempts import Attempts, may_begin_again
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Start, StartAll

T = TypeVar("T")

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
    # A child with a key is shared: it must not end with the first workflow that starts it.
    # guard: shared-end-with-their-first-starter = operation.detached
    detached = operation.detached or operation.key is not None
    child = Child(
        workflow_id=child_id_of(execution.workflow_id, call.step_id),
        parent=execution.workflow_id,
        key=operation.key,
        ends_by_s=None if detached else execution.deadline_s,
        detached=detached,
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
        # guard: other-child-of-before = True
        if execution.generation == 1 or operation.key is not None:
            raise
        child_id = await _start_again(execution, child, started)
    return Success(*PLAIN.through(child_id))


async def _start_again(execution: Execution, child: Child, start: Callable[[Child], Awaitable[str]]) -> str:
    """Start the child under a new id beside those of earlier generations, unless one of these is the same."""
    host = execution.services.host
    of_before = [again_of(child.workflow_id, each) for each in range(2, execution.generation)]
    # guard: started-in-each-generation
    for each in await until_it_can(lambda: host.those_of(of_before)):
        with suppress(KeyReused):
            return await start(child._replace(workflow_id=each))
    return await start(child._replace(workflow_id=again_of(child.workflow_id, execution.generation)))


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
        found = await until_it_can(partial(host.start_block, children, operation.workflow, first, block))
        ids = dict(enumerate(found, first))
        if differ := [place for place, each in ids.items() if each is None]:
            ids |= await _start_others(execution, operation, children, differ)
        others |= {str(place): each for place, each in ids.items() if each and each != f"{prefix}/{place}"}
    return Success(*PLAIN.through({"of": prefix, "count": len(inputs), "others": others}))


async def _start_others(
    execution: Execution, operation: StartAll, children: Children, places: Sequence[int]
) -> dict[int, str]:
    """Start the children at these places, whose ids are taken by others. Raises KeyReused."""
    host = execution.services.host
    # guard: other-children-of-before = True
    if execution.generation == 1:
        raise KeyReused(
            f"start_all: item {places[0]}, counted from 0, is not what {children.prefix}/{places[0]} was "
            "started with before its instance was lost: the code has changed. A retry starts another one"
        )

    async def start(place: int) -> str:
        async def started(child: Child) -> str:
            return await until_it_can(
                lambda: host.start_child(child, operation.workflow, (operation.items[place],), {})
            )

        child = Child(
            f"{children.prefix}/{place}",
            children.parent,
            None,
            children.ends_by_s,
            children.detached,
            children.placement,
        )
        return await _start_again(execution, child, started)

    # Wait for all of them, so that none is still being started when one has failed.
    ids = await asyncio.gather(*map(start, places), return_exceptions=True)
    for each in ids:
        if isinstance(each, BaseException):
            raise each
    return {place: str(each) for place, each in zip(places, ids, strict=True)}


async def until_it_can(start: Callable[[], Awaitable[T]]) -> T:
    """The result of `start`, retried while host or database are unavailable. Raises HandedOver."""
    wait_s = START_RETRY_MIN_S
    while True:
        try:
            return await start()
        # The host is available. Waiting would keep the caller's own place in a queue, for no visible reason.
        # guard: full-queues-hold-their-parents
        except QueueFull:
            raise
        # guard: full-host-is-the-childs-error
        except (Overloaded, DatabaseUnavailable, Unreachable):
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(START_RETRY_MAX_S, wait_s * 2)
        except ShuttingDown as error:
            raise HandedOver("the instance shuts down") from error
