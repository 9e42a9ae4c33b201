"""An asyncio event loop without a machine: its time is given, and somebody else runs its cycles."""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable
from typing import Any

RESOLUTION_S = 1e-7
"""What lies closer together happens in one cycle: more than sums of floats lose."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Has timers and ready callbacks, and no sockets, signals or threads.

    `clock` gives its time in seconds. A function for a thread is called on the loop, after `thread_s()`.
    """

    _clock_resolution: float
    _ready: deque[asyncio.Handle]
    _scheduled: list[Any]
    _timer_cancelled_count: int
    _run_once: Callable[[], None]

    def __init__(self, clock: Callable[[], float], thread_s: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._clock_resolution = RESOLUTION_S
        self._thread_s = thread_s
        self._selector = _NothingToSelect()

    def time(self) -> float:
        """See AbstractEventLoop."""
        return self._clock()

    def due_in_s(self) -> float | None:
        """In how many seconds it has something to do; None if never."""
        if self._ready:
            return 0.0
        while self._scheduled and self._scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False
        return max(0.0, self._scheduled[0]._when - self.time()) if self._scheduled else None

    def timers(self) -> list[float]:
        """When its timers strike, in its own time."""
        return [timer._when for timer in self._scheduled if not timer._cancelled]

    def run_cycle(self) -> None:
        """Run what is ready and due, once."""
        events._set_running_loop(self)
        try:
            self._run_once()
        finally:
            events._set_running_loop(None)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """See AbstractEventLoop. No thread: a blocking function takes its time, then runs here at once."""
        result = self.create_future()

        def run() -> None:
            if result.done():
                return
            try:
                result.set_result(func(*args))
            except Exception as error:
                result.set_exception(error)

        self.call_later(self._thread_s(), run)
        return result

    def _process_events(self, event_list: Any) -> None:
        """No events: there are no sockets."""

    def _write_to_self(self) -> None:
        """There is no other thread to be woken from."""


class _NothingToSelect:
    def select(self, timeout: float | None) -> list[Any]:
        return []
