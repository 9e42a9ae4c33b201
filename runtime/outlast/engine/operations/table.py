"""The one table of operations: how each kind begins, and what its record gives the body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from outlast.core import kinds
from outlast.core.records import StepRecord
from outlast.core.retry import RetryPolicy
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution, Operations
from outlast.engine.operations import (
    asking,
    awaiting,
    mapping,
    plain,
    publishing,
    receiving,
    sleeping,
    starting,
    steps,
    transactions,
)
from outlast.engine.operations.asking import attempted
from outlast.engine.operations.leaving import leave


class _Way(NamedTuple):
    begin: Callable[[Execution, PendingCall], None]
    value: Callable[[PendingCall, StepRecord], Any]


def _never(execution: Execution, call: PendingCall) -> None:
    raise AssertionError("nobody calls a stop")


_WAYS = {
    kinds.STEP: _Way(steps.begin, steps.value),
    kinds.TRANSACTION: _Way(transactions.begin, transactions.value),
    kinds.SLEEP: _Way(sleeping.begin, plain.nothing),
    kinds.TIMER: _Way(sleeping.begin, plain.nothing),
    kinds.RECEIVE: _Way(receiving.begin, receiving.value),
    kinds.PUBLISH: _Way(publishing.begin, plain.nothing),
    kinds.CALLBACK: _Way(attempted(asking.link, RetryPolicy()), asking.url_of_link),
    kinds.UNDO: _Way(publishing.begin, publishing.is_again),
    kinds.ATTRIBUTES: _Way(publishing.begin, plain.nothing),
    kinds.READ_ATTRIBUTES: _Way(attempted(asking.read_attributes), plain.value),
    kinds.SEND: _Way(attempted(asking.send), plain.value),
    kinds.START: _Way(starting.begin, plain.value),
    kinds.EVENT: _Way(awaiting.begin_event, awaiting.event_of_record),
    kinds.START_ALL: _Way(starting.begin_all, plain.value),
    kinds.MAP: _Way(mapping.begin, plain.value),
    kinds.RESULT: _Way(awaiting.begin, plain.value),
    kinds.WAIT_ANY: _Way(awaiting.begin_any, plain.value),
    kinds.CANCEL: _Way(attempted(asking.cancel), plain.nothing),
    kinds.ACT: _Way(attempted(asking.act), plain.value),
    kinds.STOP: _Way(_never, plain.value),
}


def _begin(execution: Execution, call: PendingCall) -> None:
    _WAYS[call.operation.kind].begin(execution, call)


def _value(call: PendingCall, record: StepRecord) -> Any:
    return _WAYS[call.operation.kind].value(call, record)


OPERATIONS = Operations(_begin, _value, plain.failure, leave)
