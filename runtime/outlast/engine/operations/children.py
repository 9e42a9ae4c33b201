"""What a workflow does with others: it starts them, waits for their ends, and sends them messages."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

from outlast.core.codec import Codec
from outlast.core.errors import DatabaseUnavailable, Overloaded, ShuttingDown
from outlast.core.names import message_key_of
from outlast.core.records import StepRecord
from outlast.core.retry import RetryPolicy
from outlast.core.stops import HandedOver
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.execution.services import Child
from outlast.engine.operations.attempts import Attempts
from outlast.sdk.operations import Result, Send, Start

START_RETRY_MIN_S = 0.05
START_RETRY_MAX_S = 2.0

_PLAIN = Codec(of="the result")
_UNTIL_THE_HOST_CAN = RetryPolicy(
    max_attempts=sys.maxsize, backoff_s=0.2, backoff_max_s=2.0, retry_on=(DatabaseUnavailable, Overloaded)
)
"""For awaiting children and for messages: that the host can't now is never recorded as their failure."""


def begin_start(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _start, RetryPolicy()).begin()


def begin_result(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _result, _UNTIL_THE_HOST_CAN).begin()


def begin_send(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _send, _UNTIL_THE_HOST_CAN).begin()


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    return _PLAIN.decode(record.output)


async def _start(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Start)
    child = Child(
        workflow_id=f"{execution.workflow_id}/{call.step_id}",
        parent=execution.workflow_id,
        key=operation.key,
        ends_by_s=None if operation.detached else execution.deadline_s,
    )
    start, wait_s = execution.services.start_child, START_RETRY_MIN_S
    while True:
        try:
            child_id = await start(child, operation.workflow, operation.args, operation.kwargs)
            return Success(*_PLAIN.through(child_id))
        # guard: full-host-is-the-childs-error
        except (Overloaded, DatabaseUnavailable):
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
            wait_s = min(START_RETRY_MAX_S, wait_s * 2)
        except ShuttingDown as error:
            raise HandedOver("the instance shuts down") from error


async def _result(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Result)
    with execution.awaiting(call.step_id):
        return Success(*_PLAIN.through(await execution.services.result_of(operation.workflow_id)))


async def _send(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Send)
    key = operation.key or message_key_of(execution.workflow_id, call.step_id)
    message_id = await execution.services.send(operation.workflow_id, operation.body, operation.topic, key)
    return Success(*_PLAIN.through(message_id))
