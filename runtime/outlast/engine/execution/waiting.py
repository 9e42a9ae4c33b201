"""What one body waits for that holds nothing: sleeps, timers, messages, ends of others. Then it may leave."""

from __future__ import annotations

from heapq import heappop, heappush

from outlast.core import kinds
from outlast.engine.execution.calls import PendingCall


class Waiting:
    """The calls that wait, and when the first of them is over."""

    def __init__(self) -> None:
        self.calls: dict[str, PendingCall] = {}
        """By step id."""
        self._wakes: list[tuple[float, str]] = []
        """A heap of when they are over. What no longer holds stays in it until it comes first."""
        self._fresh: dict[str, PendingCall] = {}
        """Those of them that came since the last look."""
        self.others: dict[str, PendingCall] = {}
        """Those of them that wait for messages, and for other workflows."""

    def add(self, call: PendingCall, wake_s: float) -> None:
        """This call waits until then (Unix seconds)."""
        call.wake_s = wake_s
        self.calls[call.step_id] = call
        if call.waits or call.operation.kind == kinds.RECEIVE:
            self.others[call.step_id] = call
        heappush(self._wakes, (wake_s, call.step_id))
        self._fresh[call.step_id] = call

    def drop(self, call: PendingCall) -> None:
        """It waits no more, if it did."""
        for each in (self.calls, self.others, self._fresh):
            each.pop(call.step_id, None)

    def forget(self) -> None:
        """Refer to none of them: they refer back."""
        for each in (self.calls, self.others, self._fresh):
            each.clear()

    def nearest_s(self) -> float:
        """When the first one is over. There must be one."""
        while not self._stands(*self._wakes[0]):
            heappop(self._wakes)
        return self._wakes[0][0]

    def _stands(self, wake_s: float, step_id: str) -> bool:
        """Whether that call still waits, and until then: what asks for a place again has another time."""
        call = self.calls.get(step_id)
        return call is not None and call.wake_s == wake_s

    def take_fresh(self) -> list[PendingCall]:
        """Those that still wait of what came since the last look."""
        fresh, self._fresh = self._fresh, {}
        return list(fresh.values())

    def receives(self) -> list[PendingCall]:
        """Those that wait for messages."""
        return [call for call in self.others.values() if call.operation.kind == kinds.RECEIVE]
