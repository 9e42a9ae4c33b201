"""The one table of operations: how each is begun, and what its record gives the body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from outlast.core import kinds
from outlast.core.records import StepRecord
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations import (
    awaiting,
    failures,
    leaving,
    plain,
    publishing,
    receiving,
    sending,
    sleeping,
    starting,
    steps,
    transactions,
)


class _Way(NamedTuple):
    begin: Callable[[Execution, PendingCall], None]
    value: Callable[[PendingCall, StepRecord], Any]


_WAYS = {
    kinds.STEP: _Way(steps.begin, steps.value),
    kinds.TRANSACTION: _Way(transactions.begin, transactions.value),
    kinds.SLEEP: _Way(sleeping.begin, sleeping.value),
    kinds.TIMER: _Way(sleeping.begin, sleeping.value),
    kinds.RECEIVE: _Way(receiving.begin, receiving.value),
    kinds.PUBLISH: _Way(publishing.begin, publishing.value),
    kinds.SEND: _Way(sending.begin, plain.value),
    kinds.START: _Way(starting.begin, plain.value),
    kinds.RESULT: _Way(awaiting.begin, plain.value),
}


class Table:
    """`Operations` of executions."""

    def begin(self, execution: Execution, call: PendingCall) -> None:
        """See Operations."""
        _WAYS[call.operation.kind].begin(execution, call)

    def value(self, call: PendingCall, record: StepRecord) -> Any:
        """See Operations."""
        return _WAYS[call.operation.kind].value(call, record)

    def failure(self, execution: Execution, call: PendingCall, record: StepRecord) -> Exception:
        """See Operations."""
        return failures.failure(execution, call, record)

    def leave(self, execution: Execution) -> None:
        """See Operations."""
        leaving.leave(execution)
