"""Processes, a network and time, all of one seed: the same seed gives the same run, cycle by cycle."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
import zlib
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from typing import Any

from outlast.testing.clock import given_time
from tests.simulation.loop import SimulatedLoop

NEVER = float("inf")
CYCLE_S = 20e-6
"""So long a cycle of an event loop takes, on average."""


class Stuck(Exception):
    """The world did not come to its end within its bound of cycles, or nothing was left to happen."""


class Process:
    """An operating system's process with one event loop: it can be killed, and stopped for a while."""

    def __init__(self, world: World, name: str, rate: float) -> None:
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self._world = world
        self._booted = world.now
        self._rate = rate
        self.loop = SimulatedLoop(self.monotonic, lambda: world.chance.expovariate(1 / 0.002))
        self.loop.set_exception_handler(self._complain)

    def monotonic(self) -> float:
        """Its clock, which goes a little faster or slower than others do."""
        return 1000.0 + (self._world.now - self._booted) * self._rate

    def spawn(self, coro: Coroutine[Any, Any, None], among: set[asyncio.Task[None]] | None = None) -> None:
        """Run `coro` here; its task is in `among` while it runs."""
        asyncio.events._set_running_loop(self.loop)
        try:
            task = self.loop.create_task(coro)
        finally:
            asyncio.events._set_running_loop(None)
        if among is not None:
            among.add(task)
            task.add_done_callback(among.discard)

    def due_at(self) -> float | None:
        """When it goes on; None if nothing is left to do."""
        due_in_s = self.loop.due_in_s() if self.alive else None
        if due_in_s is None:
            return None
        return max(self.frozen_until, self._world.now + due_in_s / self._rate)

    def timers_in_s(self) -> list[float]:
        """In how many seconds of the world its timers strike."""
        now = self.loop.time()
        return [max(0.0, at - now) / self._rate for at in self.loop.timers()]

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more."""
        self.alive = False

    def freeze(self, duration_s: float) -> None:
        """SIGSTOP, and SIGCONT after `duration_s`."""
        self.frozen_until = max(self.frozen_until, self._world.now + duration_s)

    def _complain(self, _: Any, details: dict[str, Any]) -> None:
        if self.alive:
            error = details.get("exception")
            self._world.violation(f"{self.name}: {details.get('message')}: {error!r}")


class World:
    """Runs what is due next, processes and events alike. `chance` decides whatever isn't decided."""

    def __init__(self, seed: int, *, trace: Callable[[str], None] | None = None) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self.processes: list[Process] = []
        self.violations: list[str] = []
        self.running: Process | None = None
        self.cycles = 0
        self.digest = 0
        self.at_cycle: tuple[int, Callable[[Process], None]] | None = None
        """What happens instead of the cycle of that number, to the process whose turn it was."""
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._trace = trace

    def process(self, name: str, rate: float = 1.0) -> Process:
        """Start a process."""
        process = Process(self, name, rate)
        self.processes.append(process)
        return process

    def at(self, after_s: float, event: Callable[[], None]) -> None:
        """Let `event` happen in `after_s`."""
        heapq.heappush(self._events, (self.now + after_s, next(self._numbers), event))

    def note(self, what: str) -> None:
        """Say what happens: it is part of what must be the same each time."""
        self.digest = zlib.crc32(f"{self.cycles} {what}".encode(), self.digest)
        if self._trace is not None:
            self._trace(f"{self.now * 1000:10.3f} ms  {self.running.name if self.running else '-':4}  {what}")

    def violation(self, what: str) -> None:
        """Something happened that must never happen."""
        self.note(f"VIOLATION {what}")
        self.violations.append(what)

    def run(self, until: Callable[[], bool], cycles_max: int) -> None:
        """Let time pass until `until` holds. Raises Stuck."""
        while not until():
            if self.cycles >= cycles_max:
                raise Stuck(f"not over after {cycles_max} cycles, {self.now:.1f} s")
            self._step()

    def _step(self) -> None:
        due, first_at = [], NEVER
        for process in self.processes:
            if (at := process.due_at()) is not None:
                due.append((at, process))
                first_at = min(first_at, at)
        event_at = self._events[0][0] if self._events else NEVER
        if event_at == first_at == NEVER:
            raise Stuck("nothing is left to happen")
        if event_at <= max(first_at, self.now):
            self.now = max(self.now, event_at)
            heapq.heappop(self._events)[2]()
            return
        self.now = max(self.now, first_at)
        ready = [process for at, process in due if at <= self.now]
        process = ready[0] if len(ready) == 1 else self.chance.choice(ready)
        self.cycles += 1
        if self.at_cycle is not None and self.at_cycle[0] == self.cycles:
            self.at_cycle[1](process)
            return
        self.running = process
        try:
            process.loop.run_cycle()
        finally:
            self.running = None
        # Nothing happens at the same moment for ever.
        self.now += self.chance.random() * 2 * CYCLE_S


@contextlib.contextmanager
def simulated_time(world: World) -> Iterator[None]:
    """Let the engine's modules, which read one clock, read that of the process that runs."""

    def monotonic() -> float:
        assert world.running is not None, "who asks for the time outside of a process?"
        return world.running.monotonic()

    with given_time(monotonic, world.chance.random()):
        yield
