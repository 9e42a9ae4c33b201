"""How a workflow that only waits leaves the memory, and what wakes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from outlast.core import kinds
from outlast.core.clock import monotonic
from outlast.core.records import StepRecord, Suspension, Wait
from outlast.core.stops import Suspended
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.sdk.operations import Receive, Step

_NO_MESSAGE = 2**62
"""Larger than the number of any message."""

TICK_S = 0.001
"""The loop's times are compared with this tolerance."""

SHOWN_MAX = 3
"""So many of the workflows that it waits for are named in its row."""


def leave(execution: Execution) -> None:
    """The body is at rest: suspend the workflow if all its waits are long. Otherwise record the long waits.

    A recorded wait survives a crash: it ends at the same time, and others see that it waits.
    """
    waiting = execution.waiting
    if not waiting.calls or execution.recording.completions.places:
        return
    if _only_waits(execution):
        if not waiting.others:
            _suspend(execution)
            return
        # A message or an end may be on its way: suspend only if nothing happens for a moment.
        execution.at_rest_since = execution.host.time()
        if execution.leave_timer is None:
            _look_in(execution, execution.services.moment_s)
    for call in waiting.take_fresh():
        long = (call.wake_s or 0.0) > _soon_s(execution)
        # guard: sleep-unsaved
        if long and not call.saved and call.operation.kind in (kinds.SLEEP, kinds.RECEIVE):
            call.saved = True
            _ = execution.recording.write(_record(call))


def _only_waits(execution: Execution) -> bool:
    waiting = execution.waiting
    return len(waiting.calls) == len(execution.calls) and waiting.nearest_s() > _soon_s(execution)


def _soon_s(execution: Execution) -> float:
    """For a wait that ends before this time the workflow doesn't leave the memory."""
    return execution.services.clock.now_s() + execution.services.moment_s


def _look_in(execution: Execution, wait_s: float) -> None:
    execution.leave_timer = execution.host.call_later(wait_s, _look, execution)


def _look(execution: Execution) -> None:
    execution.leave_timer = None
    waiting = execution.waiting
    if execution.stopped is not None or execution.draining or not waiting.calls:
        return
    # A receive that just took a message waits no more: after leaving now, nothing would wake the workflow.
    # guard: leaves-with-a-completion
    if execution.recording.completions.places:
        return
    if not _only_waits(execution):
        return
    left_s = execution.at_rest_since + execution.services.moment_s - execution.host.time()
    if left_s > TICK_S:
        _look_in(execution, left_s)
    elif all(has_looked(execution, call) for call in waiting.others.values()):
        _suspend(execution)


def has_looked(execution: Execution, call: PendingCall) -> bool:
    """Whether the call has looked for what it waits for, and did not find it.

    A look may take longer than a moment. A workflow that left before would be woken at once if it is there,
    only to leave again.
    """
    if call.operation.kind == kinds.RECEIVE:
        # guard: leaves-with-a-message = True
        return execution.inboxes[_topic(call)].empty
    # guard: leaves-before-it-has-looked = True
    return bool(call.awaited)


def _topic(call: PendingCall) -> str:
    assert isinstance(call.operation, Receive)
    return call.operation.topic


def _suspend(execution: Execution) -> None:
    # While it undoes, the workflow has no deadline.
    waiting, deadline_s = execution.waiting, None if execution.undoing else execution.deadline_s
    wake_s = waiting.nearest_s() if deadline_s is None else min(waiting.nearest_s(), deadline_s)
    waits = tuple(dict.fromkeys(each for call in waiting.others.values() for each in call.waits))
    execution.suspension = Suspension(wake_s, _awaits(execution, waits), waits)
    # A step that waits for a limit has not begun: it asks again. So does a wait for other workflows.
    calls = (call for call in waiting.calls.values() if call.operation.kind in kinds.WAITS or call.timed)
    execution.unsaved = [_record(call) for call in calls if not call.saved]
    execution.stop(Suspended("the workflow sleeps"))


def _awaits(execution: Execution, waits: Sequence[Wait]) -> str | None:
    """What wakes the workflow: new messages of its topics, ends of other workflows, limits."""
    topics = sorted({_topic(call) for call in execution.waiting.receives()})
    limits = sorted(set(filter(None, map(_limit, execution.waiting.calls.values()))))
    if not topics and not limits and not waits:
        return None
    # The messages of these topics up to this number were received. One with a higher number wakes it.
    known = min((execution.inboxes[topic].seen for topic in topics), default=_NO_MESSAGE)
    awaits: dict[str, Any] = {"mail": known, "topics": topics}
    if limits:
        awaits["limits"] = limits
    if waits:
        targets = list(dict.fromkeys(each.target for each in waits))
        awaits |= {"ends": targets[:SHOWN_MAX], "of": len(targets)}
    return to_json(awaits).decode()


def _limit(call: PendingCall) -> str | None:
    """The name of the limit that a step waits for."""
    step = call.operation.definition if isinstance(call.operation, Step) else None
    return None if step is None or step.limit is None else step.limit.name


def _record(call: PendingCall) -> StepRecord:
    """The record of a wait that isn't over."""
    attempts = 0 if call.operation.kind == kinds.RECEIVE else 1
    output = to_json(call.wake_s).decode()
    return StepRecord(
        call.step_id,
        call.operation.name,
        output,
        None,
        attempts,
        kind=call.operation.kind,
        began=call.began if call.began is not None else monotonic(),
        called_after=call.called_after,
    )
