"""Named limits of steps: before a step begins it takes a place. A long wait for one leaves the memory."""

from __future__ import annotations

import random
from collections.abc import Callable

from outlast.core.ports import Unreachable
from outlast.core.stops import Stopped
from outlast.engine.execution.calls import NO_CONTEXT, PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.beginning import held_up, may_begin
from outlast.sdk.limits import Limit

AGAIN_MIN_S, AGAIN_MAX_S = 0.05, 5.0
GROWTH = 1.5


class Place:
    """The wait of one call for its place under a limit."""

    def __init__(
        self, execution: Execution, call: PendingCall, limit: Limit, begin: Callable[[], None]
    ) -> None:
        """`begin` is called when it may begin."""
        self._execution = execution
        self._call = call
        self._limit = limit
        self._begin = begin
        self._waits_s = AGAIN_MIN_S

    def ask(self) -> None:
        """Ask for it, as soon as the step could begin."""
        self._execution.recording.when_durable(self._call, self._start)

    def _start(self) -> None:
        self._call.task = self._execution.host.create_task(self._ask(), context=NO_CONTEXT.copy())

    async def _ask(self) -> None:
        execution, call = self._execution, self._call
        try:
            if held_up(execution):
                await may_begin(execution)
            wait_s = await execution.services.queues.take_limit(
                self._limit.name, self._limit.options, execution.workflow_id, execution.epoch, call.step_id
            )
        except Stopped as reason:
            execution.stop(reason)
            return
        except Unreachable:
            wait_s = AGAIN_MIN_S
        call.task = None
        if wait_s is None:
            execution.waiting.drop(call)
            call.wake_s = None
            self._begin()
            return
        self._wait(wait_s)

    def _wait(self, wait_s: float) -> None:
        """Ask again later, ever more seldom: a wait of unknown length is taken for a long one then."""
        execution, call = self._execution, self._call
        self._waits_s = min(AGAIN_MAX_S, self._waits_s * GROWTH)
        wait_s = max(wait_s, self._waits_s) * random.uniform(1.0, 1.1)
        execution.waiting.add(call, execution.services.clock.now_s() + wait_s)
        call.timer = execution.host.call_later(wait_s, self._start, context=NO_CONTEXT)
        execution.schedule()
