"""What steps, transactions and calls of other workflows share: attempts in a task of the host's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from outlast.core import faults, kinds
from outlast.core.clock import monotonic
from outlast.core.errors import ShuttingDown
from outlast.core.failures import encode_failure
from outlast.core.observations import StepRetried
from outlast.core.records import StepRecord
from outlast.core.stops import Broken, LeaseLost, Stopped
from outlast.engine.calls import PendingCall
from outlast.engine.execution import NO_CONTEXT, Execution
from outlast.engine.operations.attempts import Failure, Success

Attempts = Callable[[Execution, PendingCall], Awaitable[Success | Failure]]


def perform(execution: Execution, call: PendingCall, attempts: Attempts) -> None:
    """Begin it. Its attempts are made in the context of its caller."""
    task = execution.host.create_task(_perform(execution, call, attempts), context=NO_CONTEXT)
    task.add_done_callback(partial(_performed, execution, call), context=NO_CONTEXT)
    call.task = task


async def _perform(execution: Execution, call: PendingCall, attempts: Attempts) -> Success | Failure:
    await execution.may_begin(call)
    call.began, call.running = monotonic(), True
    faults.reach("step.before_run")
    outcome = await attempts(execution, call)
    faults.reach("step.after_run")
    call.ended, call.retry_at = monotonic(), None
    return outcome


def _performed(execution: Execution, call: PendingCall, task: asyncio.Task[Success | Failure]) -> None:
    """What it came to goes to journal and body in one go: so what the body does next joins the commit."""
    if task.cancelled():
        return
    if (error := task.exception()) is not None:
        # The engine's own fault, too, must not leave the workflow hanging.
        broken = Broken(f"{call.operation.name!r} can't be done: {error!r}")
        execution.stop(error if isinstance(error, Stopped) else broken)
        return
    outcome = task.result()
    if execution.stopped is not None:
        return
    # guard: shutdown-is-the-childs-error
    if isinstance(outcome, Failure) and isinstance(outcome.error, ShuttingDown):
        call.running = False  # this instance ends: that is nobody's result
        execution.drain()
        return
    _complete(execution, call, outcome)
    execution.advance()


def _complete(execution: Execution, call: PendingCall, outcome: Success | Failure) -> None:
    name, ended = call.operation.name, call.ended
    if isinstance(outcome, Failure):
        error = encode_failure(outcome.error)
        record = StepRecord(call.step_id, name, None, error, outcome.attempts, began=call.began, ended=ended)
        execution.complete(call, record, certain=call.operation.kind == kinds.TRANSACTION)
    elif outcome.record is None:
        text = outcome.text
        record = StepRecord(call.step_id, name, text, None, outcome.attempts, began=call.began, ended=ended)
        execution.complete(call, record, outcome.value)
    elif outcome.record.completion_order in call.places:
        execution.fill(call, outcome.record, outcome.value, None)
    else:
        execution.stop(LeaseLost(f"{name!r} was recorded by another execution"))


def before_next(
    execution: Execution, call: PendingCall
) -> Callable[[int, float, Exception], Coroutine[Any, Any, None]]:
    """For attempts: wait until the next one may begin."""

    async def wait(attempt: int, wait_s: float, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        execution.services.observe(
            StepRetried(execution.workflow_id, call.step_id, call.operation.name, attempt, wait_s, text)
        )
        call.retry_at = monotonic() + wait_s
        await asyncio.sleep(wait_s)
        await may_begin_again(execution, call)
        call.attempt, call.retry_at = attempt + 1, None

    return wait


async def may_begin_again(execution: Execution, call: PendingCall) -> None:
    """A later attempt begins only under the lease, and not in a shutdown."""
    if execution.draining:
        call.running = False
        await execution.never()
    # guard: attempts-without-lease
    await execution.may_go_on()


def in_time(execution: Execution, fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, begun only under the lease: until there is a thread or a connection, it may have run out."""

    def begin(*args: Any, **kwargs: Any) -> Any:
        if execution.stopped is not None or not execution.services.lease.covers(execution.stretch):
            raise TooLate
        return fn(*args, **kwargs)

    return begin


class TooLate(Exception):
    """Nothing was begun: the lease had run out by then."""
