"""Transactions: the record is the last statement of the user's transaction, so both commit or neither."""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import Any

from outlast.core.ports import Conflicted, Fence, TransactionWork, Unreachable
from outlast.core.records import StepRecord
from outlast.core.stops import LeaseLost
from outlast.engine.concurrency import in_thread
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import Attempts, TooLate, in_time, may_begin_again
from outlast.sdk.context import context
from outlast.sdk.operations import Transaction

CONFLICTS_MAX = 50
"""Reruns of one transaction after serialization failures and deadlocks, before they count as its error."""


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    definition = _transaction_of(call).definition
    Attempts(execution, call, _run, definition.retry, definition.timeout_s, "transaction").begin()


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    return _transaction_of(call).definition.codec.decode(record.output)


def _transaction_of(call: PendingCall) -> Transaction:
    assert isinstance(call.operation, Transaction)
    return call.operation


async def _run(execution: Execution, call: PendingCall) -> Success:
    return Success("", None, await _transact(execution, call))


async def _transact(execution: Execution, call: PendingCall) -> StepRecord:
    """Run the body and insert its record, until Postgres gives a clear answer."""
    operation, services = _transaction_of(call), execution.services
    definition = operation.definition
    nonce = secrets.randbits(63)
    fn = in_time(execution, definition.fn)

    async def run(connection: Any) -> StepRecord:
        if definition.is_async:
            result = await fn(connection, *operation.args, **operation.kwargs)
        else:
            result = await in_thread(
                services.step_threads, fn, connection, *operation.args, **operation.kwargs
            )
        text, _ = definition.codec.through(result)
        recording = execution.recording
        return recording.record_of(call, recording.take_place(call), text, attempts=call.attempt)

    caller = context().caller if definition.role == "caller" else None
    work = TransactionWork(
        run, threaded=not definition.is_async, isolation=definition.isolation, caller=caller
    )
    fence = Fence(execution.workflow_id, execution.epoch, call.step_id, nonce)
    conflicts = 0
    standing: StepRecord | None = None
    while True:
        try:
            standing = await services.transactions.transact(work, fence)
        # guard: conflicts-fail
        except Conflicted as error:
            conflicts += 1
            await conflict_pause(conflicts, error)
        except TooLate:
            pass
        # guard: lost-commit-fails
        except Unreachable:
            # If that was the COMMIT, the record already exists: the next run's insert meets it and is undone.
            await asyncio.sleep(random.uniform(0.05, 0.5))
        else:
            break
        await may_begin_again(execution, call)
    if standing is None:
        raise LeaseLost(f"the record of {definition.name!r} was refused")
    return standing


async def conflict_pause(conflicts: int, error: Conflicted) -> None:
    """Wait before a transaction that conflicted runs again. After CONFLICTS_MAX raise Postgres's error."""
    if conflicts > CONFLICTS_MAX:
        raise (error.__cause__ or error) from None
    await asyncio.sleep(random.uniform(0, min(0.5, 0.005 * 2 ** min(conflicts, 10))))
