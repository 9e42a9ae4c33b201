"""Receiving messages. Only the record of the receive says that a message was received."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from outlast.core.clock import monotonic
from outlast.core.messages import TIMED_OUT, envelope_of, message_in
from outlast.core.records import StepRecord
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import never
from outlast.engine.waits.messages import Inbox
from outlast.sdk.durations import DURATION_MAX_S
from outlast.sdk.operations import Receive


def begin(execution: Execution, call: PendingCall) -> None:
    """See operations.table."""
    operation = call.operation
    assert isinstance(operation, Receive)
    call.began = monotonic()
    if call.record is not None:
        execution.waiting.add(call, from_json(call.record.output or "0"))
    else:
        timeout_s = DURATION_MAX_S if operation.timeout_s is None else operation.timeout_s
        execution.waiting.add(call, execution.services.clock.now_s() + timeout_s)
    call.task = execution.host.create_task(_receive(execution, call, _inbox(execution, operation.topic)))


def value(call: PendingCall, record: StepRecord) -> Any:
    """See operations.table."""
    message = message_in(record.output)
    return None if message is None else message.body


async def _receive(execution: Execution, call: PendingCall, inbox: Inbox) -> None:
    if execution.draining:
        await never(execution)
    assert call.wake_s is not None
    clock, delivery = execution.services.clock, execution.services.delivery
    message = inbox.take()
    if message is None:
        with delivery.watching(inbox):
            late = clock.now_s() >= call.wake_s
            await delivery.look()
            execution.schedule()  # the workflow may leave the memory now
            # It is None if a look that began after the timeout found no message.
            while (message := inbox.take()) is None and not late:
                left_s = call.wake_s - clock.now_s()
                if left_s <= 0:
                    late = True
                    await delivery.look()
                else:
                    await inbox.arrival.wait(min(left_s, execution.services.moment_s))
    # No await since it was taken: a message that isn't recorded here counts as not received.
    if execution.stopped is None:
        output = TIMED_OUT if message is None else envelope_of(message)
        body = None if message is None else message.body
        # guard: receive-not-recorded
        execution.recording.complete(call, output, value=body, attempts=0)
        execution.schedule()


def _inbox(execution: Execution, topic: str) -> Inbox:
    if topic not in execution.inboxes:
        # guard: received-again = Inbox(execution.workflow_id, topic, 0)
        execution.inboxes[topic] = Inbox(execution.workflow_id, topic, execution.received.get(topic, 0))
    return execution.inboxes[topic]
