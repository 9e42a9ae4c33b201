"""Publishing events: a record like a step's, without anything to run before it."""

from __future__ import annotations

import asyncio

from outlast.core.clock import monotonic
from outlast.core.codec import Codec
from outlast.core.events import event_record_name
from outlast.core.failures import CANCELLED
from outlast.core.paths import Branch
from outlast.core.records import ClaimedWorkflow, StepRecord
from outlast.engine.execution import Services
from outlast.engine.receiving import Receiver
from outlast.sdk.definitions import WorkflowDefinition

AHEAD_CHARS_MAX = 1_000_000
"""So much may a body publish before it waits until that is durable."""

EVENT_CHARS = 10_000
"""What each event counts for beside its value."""

_PLAIN = Codec(of="the event's value")


class Publisher(Receiver):
    """An execution that can publish events."""

    def __init__(
        self, claimed: ClaimedWorkflow, definition: WorkflowDefinition, services: Services, stretch: int
    ) -> None:
        super().__init__(claimed, definition, services, stretch)
        self._ahead = 0

    async def call_publish(self, branch: Branch, event: str, body: str) -> None:
        """See Runner. Nobody sees it before it is durable, so it needn't wait for what came before."""
        name = event_record_name(event)
        step_id, record = await self._next(branch, name)
        if record is not None and record.error == CANCELLED:
            await self._replayed(record, _PLAIN, self.definition.fn)
        if record is not None:
            await self._take_turn(record.completion_order or 0)
            return
        began = monotonic()
        self.at_work += 1
        try:
            try:
                await self._may_publish(len(body))
            except asyncio.CancelledError:
                if self.stopped is None:
                    # With an attempt: what was given up is no event.
                    await self._give_up(StepRecord(step_id, name, began=began))
                raise
            order = self._history.next_order()
            self._write(StepRecord(step_id, name, body, None, 0, order, began, monotonic()))
            await self._take_turn(order)
        finally:
            self.at_work -= 1

    async def _may_publish(self, chars: int) -> None:
        """A body that publishes much waits for the journal now and then; in a shutdown it ends."""
        self._ahead += EVENT_CHARS + chars
        # guard: events-without-end
        if self._ahead >= AHEAD_CHARS_MAX:
            self._ahead = 0
            await self._may_begin()
        elif self._draining:
            await self._hand_over()
