"""Operations that are one request to the host: sends, cancels, verbs, reads of attributes, callback links."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from pydantic_core import from_json

from outlast.core.callbacks import Link, mark_of
from outlast.core.errors import KeyReused, UsageError
from outlast.core.failures import globals_of
from outlast.core.named_types import name_of_type
from outlast.core.names import actor_of, again_of, message_key_of
from outlast.core.ports import Fence
from outlast.core.records import StepRecord
from outlast.core.retry import RetryPolicy
from outlast.core.stops import LeaseLost
from outlast.core.verbs import KEY
from outlast.engine.execution.calls import PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import UNTIL_THE_HOST_CAN, Attempts, Run
from outlast.engine.operations.plain import PLAIN
from outlast.sdk.operations import Act, Callback, Cancel, Send


def attempted(run: Run, retry: RetryPolicy = UNTIL_THE_HOST_CAN) -> Callable[[Execution, PendingCall], None]:
    """The `begin` of an operation that `run` does. `run` may happen twice. See operations.table."""
    return lambda execution, call: Attempts(execution, call, run, retry).begin()


async def send(execution: Execution, call: PendingCall) -> Success:
    """Send a message to a workflow. Its key makes sure that it is sent only once."""
    operation, host = call.operation, execution.services.host
    assert isinstance(operation, Send)
    to, body, topic = operation.workflow_id, operation.body, operation.topic
    key = operation.key or message_key_of(execution.workflow_id, call.step_id)
    # A key given by the body means the same message in all generations.
    # guard: messages-of-before-hinder = True
    if execution.generation == 1 or operation.key is not None:
        return Success(*PLAIN.through(await host.send(to, body, topic, key)))
    fence = Fence(execution.workflow_id, execution.epoch, call.step_id, 0)
    message_id = await host.send_again(fence, to, body, topic, key, execution.generation)
    if message_id is None:
        raise LeaseLost("a message was refused: its workflow was cancelled or runs elsewhere")
    return Success(*PLAIN.through(message_id))


async def cancel(execution: Execution, call: PendingCall) -> Success:
    """Cancel another workflow."""
    operation = call.operation
    assert isinstance(operation, Cancel)
    await execution.services.host.cancel(
        operation.workflow_id, actor_of(execution.workflow_id), operation.mode, operation.why
    )
    return Success(*PLAIN.through(None))


async def act(execution: Execution, call: PendingCall) -> Success:
    """Do a verb to another workflow, only once even if this is run again."""
    operation = call.operation
    assert isinstance(operation, Act)
    do = partial(execution.services.host.act, operation.verb, operation.workflow_id)
    by = actor_of(execution.workflow_id)
    # guard: forked-again-after-a-crash = True
    if all(each.name != KEY for each in operation.verb.arguments):
        return Success(*PLAIN.through(dict(await do(operation.arguments, by))))
    first = message_key_of(execution.workflow_id, call.step_id)
    # With an earlier generation's key, something else may have been made here. That stays as it is.
    # guard: forks-of-before-hinder = ()
    later = (again_of(first, each) for each in range(2, execution.generation + 1))
    for key in (first, *later):
        with suppress(KeyReused):
            return Success(*PLAIN.through(dict(await do({**operation.arguments, KEY: key}, by))))
    raise KeyReused(f"{operation.name}: in this generation it was done with other arguments at this place")


async def read_attributes(execution: Execution, call: PendingCall) -> Success:
    """Read the workflow's own attributes. Those that the body set before this call are durable by now."""
    found = await execution.services.host.attributes(execution.workflow_id)
    return Success(*PLAIN.through({} if found is None else from_json(found)))


async def link(execution: Execution, call: PendingCall) -> Success:
    """Make a callback link. It is recorded once, so a replay gives the same link."""
    operation, seals = call.operation, execution.services.seals
    assert isinstance(operation, Callback)
    if seals.lacks is not None:
        raise UsageError(f"callback: set {seals.lacks}")
    expires_s = execution.services.clock.now_s() + operation.expires_s
    of = _name_of(execution, operation)
    mark = mark_of(execution.created_s, operation.topic, operation.uses, of)
    url = seals.url(Link(execution.workflow_id, call.step_id, expires_s, mark))
    # The host that receives a callback reads these details from the record.
    document = {"url": url, "topic": operation.topic, "uses": operation.uses, "of": of, "mark": mark}
    text, _ = PLAIN.through(document)
    return Success(text, url)


def _name_of(execution: Execution, operation: Callback) -> str | None:
    if operation.of is Any:
        return None
    name = name_of_type(operation.of, globals_of(execution.definition.fn))
    if name is None:
        raise UsageError(
            f"callback(of): {operation.of!r:.100} must have a name in the workflow's file, so that any "
            "process finds it: write `Answer = …` at the top of the file, and `of=Answer`"
        )
    return name


def url_of_link(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    return PLAIN.decode(record.output)["url"]
