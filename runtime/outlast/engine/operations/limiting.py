"""Places under named limits: a step takes one before it begins."""

from __future__ import annotations

from collections.abc import Callable

from outlast.core.ports import Unreachable
from outlast.core.records import LimitUse
from outlast.core.stops import Stopped
from outlast.engine.execution.calls import NO_CONTEXT, PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.operations.attempts import held_up, may_begin
from outlast.sdk.queues import Limit

AGAIN_S = 0.05
"""The delay before it asks again after the database did not answer."""

FAILED_S = 5.0
"""The delay before it asks again after the database refused."""


class Place:
    """The wait of one call for a place under a named limit. A workflow with a long one leaves the memory."""

    def __init__(
        self, execution: Execution, call: PendingCall, limit: Limit, begin: Callable[[], None]
    ) -> None:
        """`begin` is called once the call has its place."""
        self._execution = execution
        self._call = call
        self._limit = limit
        self._begin = begin
        call.limit = limit.name

    def ask(self) -> None:
        """Ask for a place as soon as the step could begin."""
        self._execution.recording.when_durable(self._call, self._start)

    def _start(self) -> None:
        call = self._call
        if call.timer is not None:
            call.timer.cancel()
        call.ask_again = None
        call.task = self._execution.host.create_task(self._ask(), context=NO_CONTEXT.copy())

    async def _ask(self) -> None:
        execution, call = self._execution, self._call
        try:
            if held_up(execution):
                await may_begin(execution)
            use = LimitUse(self._limit.name, execution.workflow_id, execution.epoch, call.step_id)
            wait_s = await execution.services.queues.take_limit(use, self._limit.options)
        except Stopped as reason:
            execution.stop(reason)
            return
        except Unreachable:
            wait_s = AGAIN_S
        # guard: limits-asked-once
        except Exception as error:  # noqa: BLE001 - an error of this limit only; nobody else asks again
            execution.services.limits.failed(self._limit.name, error)
            wait_s = FAILED_S
        else:
            execution.services.limits.answered(self._limit.name)
        call.task = None
        if wait_s is None:
            execution.waiting.drop(call)
            call.wake_s = None
            self._begin()
            return
        self._wait(wait_s)

    def _wait(self, wait_s: float) -> None:
        """Ask again after `wait_s`, or earlier if a place becomes free."""
        execution, call = self._execution, self._call
        execution.waiting.add(call, execution.services.clock.now_s() + wait_s)
        call.timer = execution.host.call_later(wait_s, self._start, context=NO_CONTEXT)
        call.ask_again = self._start
        execution.schedule()
