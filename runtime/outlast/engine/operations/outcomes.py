"""What the attempts of a call came to becomes its record."""

from __future__ import annotations

from outlast.core import kinds
from outlast.core.errors import ShuttingDown
from outlast.core.failures import encode_failure
from outlast.core.stops import LeaseLost
from outlast.engine.execution.calls import Failure, PendingCall, Success
from outlast.engine.execution.execution import Execution


def end(execution: Execution, call: PendingCall, outcome: Success | Failure) -> None:
    """See Operations."""
    if execution.stopped is not None:
        return
    if isinstance(outcome, Success):
        if outcome.record is None:
            execution.complete(call, outcome.text, value=outcome.value, attempts=call.attempt)
        elif outcome.record.completion_order in call.places:
            call.record = outcome.record
            execution.fill(call, outcome.record, None, None)
        else:
            execution.stop(LeaseLost(f"{call.operation.name!r} was recorded by another execution"))
    # guard: shutdown-is-the-childs-error
    elif isinstance(outcome.error, ShuttingDown):
        call.running = False  # this instance ends: that is nobody's result
        execution.drain()
    else:
        in_doubt = call.operation.kind == kinds.TRANSACTION
        error = encode_failure(outcome.error)
        execution.complete(call, error=error, attempts=call.attempt, certain=in_doubt)
