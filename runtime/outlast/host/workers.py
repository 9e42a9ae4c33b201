"""Several instances behind one port: worker processes that share a socket, started anew when one dies."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from outlast.core.clock import monotonic

QUICK_DEATH_S = 5.0
RESTART_MAX_S = 10.0
_logger = logging.getLogger("outlast")


class Workers:
    """Keeps `count` processes running `target(*args, listener)` until it is told to stop."""

    def __init__(
        self, count: int, target: Callable[..., None], args: tuple[object, ...], listener: socket.socket
    ) -> None:
        self._count = count
        self._target = target
        self._args = args
        self._listener = listener
        self._context = multiprocessing.get_context("spawn")
        self._stopping = threading.Event()
        self._processes: dict[int, BaseProcess] = {}
        self._began: dict[int, float] = {}
        self._quick_deaths = 0
        # Signals only set a flag; this pair wakes the wait below.
        self._woken, self._waker = socket.socketpair()

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, then until all workers have ended; the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for _ in range(self._count):
            self._start()
        while self._processes:
            if self._woken in wait([*self._processes, self._woken], timeout=1.0):
                self._woken.recv(64)
            self._tend()
        return 0

    def _start(self) -> None:
        process = self._context.Process(target=self._target, args=(*self._args, self._listener))
        process.start()
        self._processes[process.sentinel] = process
        self._began[process.sentinel] = monotonic()
        if self._stopping.is_set():  # told while it was being made
            process.terminate()

    def _tend(self) -> None:
        """Take note of workers that ended; unless stopping, start others in their place."""
        for sentinel, process in list(self._processes.items()):
            if process.is_alive():
                continue
            del self._processes[sentinel]
            lived_s = monotonic() - self._began.pop(sentinel)
            code = process.exitcode
            process.join()
            if self._stopping.is_set():
                continue
            self._quick_deaths = self._quick_deaths + 1 if lived_s < QUICK_DEATH_S else 0
            wait_s = min(RESTART_MAX_S, 0.1 * 2**self._quick_deaths) if self._quick_deaths > 1 else 0.0
            _logger.warning("worker %s ended with %s; starting another in %.1f s", process.pid, code, wait_s)
            if not self._stopping.wait(wait_s):
                self._start()

    def _stop(self, _number: int, _frame: object) -> None:
        """Tell the workers, in the one way that they listen to: a terminal's SIGINT reaches them too."""
        self._stopping.set()
        for process in self._processes.values():
            if process.is_alive():
                process.terminate()
        self._waker.send(b"x")
