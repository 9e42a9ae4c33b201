"""Receiving messages: that a message was received says the record of the receive, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter

from pydantic_core import from_json, to_json

from outlast.core.clock import monotonic
from outlast.core.codec import Codec
from outlast.core.failures import CANCELLED
from outlast.core.messages import TIMED_OUT, envelope_of, last_received, message_in, receive_name
from outlast.core.paths import Branch
from outlast.core.records import ClaimedWorkflow, Message, StepRecord
from outlast.engine.execution import Services
from outlast.engine.mail import Box
from outlast.engine.sleeping import Sleeper
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.durations import DURATION_MAX_S

_PLAIN = Codec(of="the message")


class Receiver(Sleeper):
    """An execution that can wait for messages."""

    def __init__(
        self, claimed: ClaimedWorkflow, definition: WorkflowDefinition, services: Services, stretch: int
    ) -> None:
        super().__init__(claimed, definition, services, stretch)
        self.awaits: str | None = None
        """For its suspension: which messages wake it."""
        self._received = last_received(claimed.history)
        self._boxes: dict[str, Box] = {}
        self._receives: Counter[str] = Counter()
        """How many receives wait for each topic."""

    async def call_receive(self, branch: Branch, topic: str, timeout_s: float | None) -> str | None:
        """See Runner."""
        name = receive_name(topic)
        step_id, record = await self._next(branch, name)
        if record is not None and record.error == CANCELLED:
            await self._replayed(record, _PLAIN, self.definition.fn)
        if record is not None and record.completion_order is not None:
            await self._take_turn(record.completion_order)
            return _body(message_in(record.output))
        now_s = self._services.clock.now_s()
        wake_s = now_s + (DURATION_MAX_S if timeout_s is None else timeout_s)
        if record is not None:
            wake_s = from_json(record.output or "0")
        wait = StepRecord(step_id, name, to_json(wake_s).decode(), None, 0, None, monotonic())
        try:
            message = await self._await_message(wait, topic, wake_s, recorded=record is not None)
        except asyncio.CancelledError:
            if self.stopped is None:
                await self._give_up(wait)
            raise
        # Since it was taken nothing was waited for: a message that isn't recorded now is received by nobody.
        if self.stopped is not None:
            raise self.stopped
        order = self._history.next_order()
        output = TIMED_OUT if message is None else envelope_of(message)
        # guard: receive-not-recorded
        self._write(wait._replace(output=output, completion_order=order, ended=monotonic()))
        self.at_work += 1
        try:
            await self._take_turn(order)
        finally:
            self.at_work -= 1
        return _body(message)

    async def _await_message(
        self, wait: StepRecord, topic: str, wake_s: float, *, recorded: bool
    ) -> Message | None:
        """The next message of `topic`; None if a look that began at `wake_s` or later found none."""
        if self._draining:
            await self._hand_over()
        box = self._box(topic)
        if (message := box.take()) is not None:
            return message
        clock, mail, moment_s = self._services.clock, self._services.mail, self._services.moment_s
        self._sleeps[wait.step_id] = wake_s
        self._receives[topic] += 1
        if not recorded:
            self.unsaved_sleeps.append(wait)
        try:
            with mail.watching(box):
                late = clock.now_s() >= wake_s
                await self._unseen(mail.look())
                while (message := box.take()) is None and not late:
                    seen, left_s = self._turns.activity, wake_s - clock.now_s()
                    if left_s <= 0:
                        late = True
                        await self._unseen(mail.look())
                    elif not await self._unseen(box.arrival(min(left_s, moment_s))):
                        self._suspend_if_idle(seen)
                        if self.stopped is not None:
                            raise self.stopped
                        self._save_sleeps()
                return message
        finally:
            del self._sleeps[wait.step_id]
            self._receives[topic] -= 1
            if self.stopped is None and wait in self.unsaved_sleeps:
                self.unsaved_sleeps.remove(wait)

    def _box(self, topic: str) -> Box:
        if topic not in self._boxes:
            # guard: received-again = Box(self.workflow_id, topic, 0)
            self._boxes[topic] = Box(self.workflow_id, topic, self._received.get(topic, 0))
        return self._boxes[topic]

    def _may_leave(self) -> bool:
        """Not with a message that a receive is about to take, nor before each of them has looked."""
        # guard: leaves-with-a-message = True
        return all(self._boxes[topic].empty for topic in +self._receives)

    def _suspend(self) -> None:
        topics = sorted(+self._receives)
        if topics:
            # Every message of these topics up to that number was received. What is beyond it wakes.
            known = min(self._boxes[topic].seen for topic in topics)
            self.awaits = to_json({"mail": known, "topics": topics}).decode()
        super()._suspend()


def _body(message: Message | None) -> str | None:
    return None if message is None else message.body
