"""Doing a verb to another workflow: a step that may be run twice, and is done once."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from outlast.core.errors import KeyReused
from outlast.core.names import actor_of, again_of, message_key_of
from outlast.core.verbs import KEY
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Act


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    Attempts(execution, call, _act, UNTIL_THE_HOST_CAN).begin()


async def _act(execution: Execution, call: PendingCall) -> Success:
    operation = call.operation
    assert isinstance(operation, Act)
    act = partial(execution.services.host.act, operation.verb, operation.workflow_id)
    by = actor_of(execution.workflow_id)
    # guard: forked-again-after-a-crash = True
    if all(each.name != KEY for each in operation.verb.arguments):
        return Success(*PLAIN.through(dict(await act(operation.arguments, by))))
    first = message_key_of(execution.workflow_id, call.step_id)
    # Under a key of before something else may have been made at this place, which stays.
    # guard: forks-of-before-hinder = ()
    later = (again_of(first, each) for each in range(2, execution.generation + 1))
    for key in (first, *later):
        with suppress(KeyReused):
            return Success(*PLAIN.through(dict(await act({**operation.arguments, KEY: key}, by))))
    raise KeyReused(f"{operation.name}: in this generation it was done with other arguments at this place")
