"""When work outside of a body may begin: under the lease, and not while the instance shuts down."""

from __future__ import annotations

import asyncio

from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution


def held_up(execution: Execution) -> bool:
    """Whether `may_begin` is to be awaited."""
    covered = execution.services.lease.covers(execution.term)
    return execution.draining or bool(execution.unwinding) or execution.stopped is not None or not covered


async def may_begin(execution: Execution) -> None:
    """A step begins under the lease, and after the end of what its body gave up: as if it waited."""
    # guard: begins-beside-what-was-given-up
    if execution.unwinding:
        await asyncio.wait(set(execution.unwinding))
    await _may_go_on(execution)
    # guard: steps-begin-while-leaving
    if execution.draining:
        await never(execution)


async def may_begin_again(execution: Execution, call: PendingCall) -> None:
    """A later attempt begins only under the lease, and not in a shutdown."""
    if execution.draining:
        call.running = False
        await never(execution)
    # guard: attempts-without-lease
    await _may_go_on(execution)


async def never(execution: Execution) -> None:
    """Begin nothing while the instance shuts down: its last running step ends the execution."""
    execution.schedule()
    await execution.host.create_future()


async def _may_go_on(execution: Execution) -> None:
    """Wait for the lease. Raises Stopped."""
    lease = execution.services.lease
    # guard: steps-without-lease
    while execution.stopped is None and not lease.covers(execution.term):
        await lease.renewal()
    if execution.stopped is not None:
        raise execution.stopped
