"""Several instances behind one port: worker processes that share a socket, started anew when one dies."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from outlast.core.clock import monotonic
from outlast.host.exits import exit_in_words

QUICK_DEATH_S = 5.0
RESTART_MAX_S = 10.0
LOOK_S = 1.0
_logger = logging.getLogger("outlast")


@dataclass(slots=True)
class _Signs:
    """A worker's signs of life: it counts them, in memory that its parent sees."""

    count: Any

    def __call__(self) -> None:
        self.count.value += 1


@dataclass(slots=True)
class _Worker:
    """A worker process, and for how long it has given no sign of life."""

    process: BaseProcess
    signs: _Signs
    began: float
    seen: int = 0
    silent_s: float = 0.0

    def look(self, elapsed_s: float) -> float:
        """How long it has been silent. One that has never spoken is still starting."""
        count = self.signs.count.value
        # If this process was frozen, so were the workers: of a long while only a moment counts.
        self.silent_s = self.silent_s + min(elapsed_s, 2 * LOOK_S) if count == self.seen else 0.0
        self.seen = count
        return self.silent_s if count else 0.0


class Workers:
    """Keeps `count` processes running `target(*args, listener, alive)` until it is told to stop.

    Each calls `alive` a few times a second. One that stays silent for `silent_max_s` seconds is killed: its
    event loop is blocked, its lease has run out, and its connections wait for nothing. 0: never.
    """

    def __init__(
        self,
        count: int,
        target: Callable[..., None],
        args: tuple[object, ...],
        listener: socket.socket,
        silent_max_s: float,
    ) -> None:
        self._count = count
        self._target = target
        self._args = args
        self._listener = listener
        self._silent_max_s = silent_max_s
        self._context = multiprocessing.get_context("spawn")
        self._stopping = threading.Event()
        self._workers: dict[int, _Worker] = {}
        self._quick_deaths = 0
        self._signals: list[int] = []
        self._ending = False
        # Signals only set a flag; this pair wakes the wait below.
        self._woken, self._waker = socket.socketpair()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, then until all workers have ended; the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for _ in range(self._count):
            self._start()
        looked = monotonic()
        while self._workers:
            if self._woken in wait([*self._workers, self._woken], timeout=LOOK_S):
                self._woken.recv(64)
                self._pass_on()
            self._tend()
            now = monotonic()
            self._end_silent(now - looked)
            looked = now
        return 128 + self._signals[-1] if len(self._signals) > 1 else 0

    def _start(self) -> None:
        signs = _Signs(self._context.RawValue("Q", 0))
        process = self._context.Process(target=self._target, args=(*self._args, self._listener, signs))
        process.start()
        self._workers[process.sentinel] = _Worker(process, signs, monotonic())

    def _tend(self) -> None:
        """Take note of workers that ended; unless stopping, start others in their place."""
        for sentinel, worker in list(self._workers.items()):
            process = worker.process
            if process.is_alive():
                continue
            del self._workers[sentinel]
            lived_s = monotonic() - worker.began
            code = process.exitcode
            process.join()
            if self._stopping.is_set():
                continue
            self._quick_deaths = self._quick_deaths + 1 if lived_s < QUICK_DEATH_S else 0
            wait_s = min(RESTART_MAX_S, 0.1 * 2**self._quick_deaths) if self._quick_deaths > 1 else 0.0
            told = f"{code} ({exit_in_words(code)})"
            _logger.warning("worker %s ended with %s; starting another in %.1f s", process.pid, told, wait_s)
            if not self._stopping.wait(wait_s):
                self._start()

    def _end_silent(self, elapsed_s: float) -> None:
        """Kill workers that have given no sign of life for too long; `_tend` replaces them."""
        for worker in self._workers.values():
            silent_s = worker.look(elapsed_s)
            if self._silent_max_s and silent_s >= self._silent_max_s and worker.process.is_alive():
                pid = worker.process.pid
                _logger.error("worker %s has been blocked for %.0f s and is killed", pid, silent_s)
                worker.process.kill()

    def _stop(self, number: int, _frame: object) -> None:
        self._signals.append(number)
        self._stopping.set()
        self._waker.send(b"x")

    def _pass_on(self) -> None:
        """Tell the workers by SIGTERM, the one signal that they heed: a terminal's SIGINT reaches them too.

        The second time they are ended: one whose loop is blocked, by C code perhaps, can't be told.
        """
        again = len(self._signals) > 1
        if again and not self._ending:
            self._ending = True
            name = signal.Signals(self._signals[-1]).name
            _logger.warning(
                "%s for the second time: the workers are killed; what they ran is recovered", name
            )
        for worker in self._workers.values():
            if worker.process.is_alive():
                worker.process.kill() if again else worker.process.terminate()
