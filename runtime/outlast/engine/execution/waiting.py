"""The waits of one body that hold no resources: sleeps, timers, messages, ends of other workflows."""

from __future__ import annotations

from heapq import heappop, heappush

from outlast.core import kinds
from outlast.engine.execution.calls import PendingCall


class Waiting:
    """The waiting calls, and when the first of them ends."""

    def __init__(self) -> None:
        self.calls: dict[str, PendingCall] = {}
        """All waiting calls, by step id."""
        self._wakes: list[tuple[float, str]] = []
        """A heap of the times when they end. An outdated entry stays in it until it comes first."""
        self._fresh: dict[str, PendingCall] = {}
        """The calls that were added since the last look."""
        self.others: dict[str, PendingCall] = {}
        """The calls that wait for messages and for other workflows."""

    def add(self, call: PendingCall, wake_s: float) -> None:
        """Add a call that waits until `wake_s` (Unix seconds)."""
        call.wake_s = wake_s
        self.calls[call.step_id] = call
        if call.waits or call.operation.kind == kinds.RECEIVE:
            self.others[call.step_id] = call
        heappush(self._wakes, (wake_s, call.step_id))
        self._fresh[call.step_id] = call

    def drop(self, call: PendingCall) -> None:
        """Remove a call, if it is there."""
        for each in (self.calls, self.others, self._fresh):
            each.pop(call.step_id, None)

    def forget(self) -> None:
        """Drop all calls: they refer back to the execution."""
        for each in (self.calls, self.others, self._fresh):
            each.clear()

    def nearest_s(self) -> float:
        """When the first wait ends. There must be one."""
        while not self._stands(*self._wakes[0]):
            heappop(self._wakes)
        return self._wakes[0][0]

    def _stands(self, wake_s: float, step_id: str) -> bool:
        """Whether the call still waits for this time: one that asks for its place again has a new time."""
        call = self.calls.get(step_id)
        return call is not None and call.wake_s == wake_s

    def take_fresh(self) -> list[PendingCall]:
        """Take the calls that were added since the last look and still wait."""
        fresh, self._fresh = self._fresh, {}
        return list(fresh.values())

    def receives(self) -> list[PendingCall]:
        """The calls that wait for messages."""
        return [call for call in self.others.values() if call.operation.kind == kinds.RECEIVE]
