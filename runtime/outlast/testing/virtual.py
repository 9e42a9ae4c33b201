"""An event loop whose time jumps when nothing is left to do, but not while real I/O is awaited."""

from __future__ import annotations

import asyncio
import selectors
from asyncio import futures
from collections.abc import Callable
from typing import Any

RESOLUTION_S = 1e-6
"""More than floats lose in a hundred years, so that a timer at its time counts as due."""

GRACE_S = 0.5
"""Real seconds to wait for threads that the loop doesn't know of."""


_SLEPT = futures._set_result_unless_cancelled  # type: ignore[attr-defined]


class Time:
    """Virtual seconds. They pass only when time jumps to the next event."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        """The time that the engine and the loops read."""
        return self.now


class _Selector(selectors.DefaultSelector):
    """The loop asks it for events when nothing is ready; then time may jump."""

    loop: VirtualLoop | None = None

    def select(self, timeout: float | None = None) -> Any:
        """See BaseSelector."""
        loop = self.loop
        if timeout == 0 or loop is None:
            return super().select(0) if loop is None or loop._at_work or loop._reads else []
        return loop.idle(super().select)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A real loop, with sockets and threads.

    `on_idle` is called before time jumps to `at` (None: no timer is set); False stops the loop there.
    `asleep` says whether all running steps wait only for timers. Then open sockets don't hold up time.
    """

    _closed = True
    """Until it is made: there may be no descriptor left for it."""
    _csock: Any = None
    _close_self_pipe: Callable[[], None]
    _ready: Any
    _scheduled: Any
    _clock_resolution: float

    def __init__(
        self, time: Time, on_idle: Callable[[float | None], bool], asleep: Callable[[], bool]
    ) -> None:
        selector = _Selector()
        self._own_files = -1
        self._at_work = 0
        self._virtual = time
        self._on_idle = on_idle
        self._asleep = asleep
        super().__init__(selector)
        self._clock_resolution = RESOLUTION_S
        self._own_files = len(selector.get_map())
        self._polled = selector
        selector.loop = self
        self.dead = False
        self.closing = False
        """Whether only the end of cancelled tasks is awaited."""
        self.resting: Callable[[], int] = lambda: 0
        """How many of the threads at work wait for this loop."""
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_seen = 64

    def time(self) -> float:
        """See AbstractEventLoop."""
        return self._virtual.now

    @property
    def _reads(self) -> bool:
        return len(self._polled.get_map()) > self._own_files

    @property
    def reaches_out(self) -> bool:
        """Whether anything can come from outside: a thread, a socket."""
        return self._at_work > 0 or self._reads

    def idle(self, select: Callable[[float | None], Any]) -> Any:
        """Nothing is ready: wait for real events, otherwise let time jump."""
        if self._at_work > self.resting() or (self._reads and not self._asleep()):
            if not self.closing:
                return select(None)
            if events := select(GRACE_S / 10):
                return events
        if self.reaches_out and (events := select(0)):
            return events
        at = self._next_at()
        if at is None and not self._ready and (events := select(GRACE_S)):
            return events
        if not self._ready:
            if not self._on_idle(at):
                self.stop()
            elif not self._ready and (at := self._next_at()) is not None:
                self._virtual.now = max(self._virtual.now, at)
        return []

    def _next_at(self) -> float | None:
        return next((float(each._when) for each in self._scheduled[:1]), None)

    def sleepers(self) -> set[int]:
        """The futures (by `id`) of `asyncio.sleep`: a task that waits for one only sleeps."""
        return {
            id(timer._args[0])
            for timer in self._scheduled
            if not timer._cancelled and timer._callback is _SLEPT
        }

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """See AbstractEventLoop."""
        task: asyncio.Task[Any] = super().create_task(coro, **options)
        if len(self._tasks) >= self._tasks_seen:
            self._tasks = self.tasks
            self._tasks_seen = max(64, 2 * len(self._tasks))
        self._tasks.append(task)
        return task

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks that are not done."""
        return [each for each in self._tasks if not each.done()]

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """See AbstractEventLoop. While the thread is at work, time stops."""
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        self._at_work += 1
        future.add_done_callback(self._note_return)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """See AbstractEventLoop. While its threads end, time stops, and nothing times out."""
        self._at_work += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._at_work -= 1

    def _note_return(self, _: Any) -> None:
        self._at_work -= 1

    def close_files(self) -> None:
        """Close the descriptors of a killed loop, since many such loops are kept."""
        if self._csock is not None:
            self._close_self_pipe()
            self._polled.close()

    def close(self) -> None:
        """See AbstractEventLoop."""
        if self._csock is None:
            asyncio.BaseEventLoop.close(self)
        else:
            super().close()

    def kill(self) -> None:
        """Let nothing more run here, as if the process had been killed at this moment."""
        self.dead = True
        for handle in self._ready:
            handle.cancel()
        self.stop()
