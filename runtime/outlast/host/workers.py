"""Instances behind one port: worker processes that share a socket, each replaced when it dies."""

from __future__ import annotations

import gc
import logging
import mmap
import multiprocessing
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext
from multiprocessing.process import BaseProcess

from outlast.core.clock import monotonic
from outlast.core.errors import OutlastError
from outlast.host.exits import exit_in_words, leave
from outlast.store.remedies import refusal

QUICK_DEATH_S = 5.0
RESTART_MAX_S = 10.0
LOOK_S = 1.0
_TOLD = {signal.SIGTERM, signal.SIGINT}
_COUNT = struct.Struct("=Q")
_logger = logging.getLogger("outlast")


class WorkerRefused(OutlastError):
    """A worker could not start, and none ever has. It holds that worker's error text and code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Supervisor:
    """A worker's parent, as the worker sees it. The worker calls it to give and count a sign of life.

    `gone` is readable once the parent has ended. `slot` counts from 0; a replacement gets the slot of the
    worker it replaces.
    """

    def __init__(self, gone: Connection, slot: int) -> None:
        self.gone = gone
        self.slot = slot
        self._memory = mmap.mmap(-1, _COUNT.size)

    def __call__(self) -> None:
        _COUNT.pack_into(self._memory, 0, self.count + 1)

    @property
    def count(self) -> int:
        count: int = _COUNT.unpack_from(self._memory)[0]
        return count


@dataclass(slots=True)
class _Worker:
    """A worker process, and for how long it has given no sign of life."""

    process: BaseProcess
    signs: Supervisor
    began: float
    seen: int = 0
    silent_s: float = 0.0

    def look(self, elapsed_s: float) -> float:
        """How long it has been silent; 0 for a worker that is still starting."""
        count = self.signs.count
        # If this process was frozen, so were the workers. So a long span counts as a moment only.
        self.silent_s = self.silent_s + min(elapsed_s, 2 * LOOK_S) if count == self.seen else 0.0
        self.seen = count
        return self.silent_s if count else 0.0


class Workers:
    """Keeps `count` processes running `work(supervisor)` until it is told to stop.

    They are forks, so the first starts at once, and what was loaded is shared. A worker that ends is
    replaced, with growing pauses if it ended soon. Each worker calls `supervisor` a few times a second. A
    worker that stays silent for `silent_max_s` seconds is killed: its event loop is blocked, its lease has
    expired, and its clients wait in vain. With 0 none is killed.
    """

    def __init__(self, count: int, work: Callable[[Supervisor], None], silent_max_s: float) -> None:
        self._count = count
        self._work = work
        self._silent_max_s = silent_max_s
        self._context: ForkContext = multiprocessing.get_context("fork")
        self._refusals, self._refuse = self._context.Pipe(duplex=False)
        # Only this process holds the other end, so that all workers see at once when this process is gone.
        self._gone, self._here = self._context.Pipe(duplex=False)
        self._lived = False
        self._workers: dict[int, _Worker] = {}
        self._quick_deaths = 0
        self._signals: list[int] = []
        self._ending = False
        # Python writes the number of each signal into this pair, which wakes the waits below. A handler could
        # run between any two lines, even its own, and miss one of two signals that arrive at once.
        self._signalled, self._signaller = socket.socketpair()
        self._signaller.setblocking(False)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT, then until all workers have ended. Return the exit status.

        Raises WorkerRefused if no worker can start.
        """
        signal.set_wakeup_fd(self._signaller.fileno(), warn_on_full_buffer=False)
        for number in _TOLD:
            signal.signal(number, _be_told)
        try:
            self._keep()
        finally:
            # Later signals are ignored: another file may soon get the socket's number.
            signal.set_wakeup_fd(-1)
        return 128 + self._signals[-1] if len(self._signals) > 1 else 0

    def _keep(self) -> None:
        gc.freeze()  # otherwise a collection would write to memory shared with the workers
        for slot in range(self._count):
            self._start(slot)
        gc.enable()
        looked = monotonic()
        while self._workers:
            if self._signalled in wait([*self._workers, self._signalled], timeout=LOOK_S):
                self._signals += (number for number in self._signalled.recv(64) if number in _TOLD)
                self._pass_on()
            self._tend()
            now = monotonic()
            self._end_silent(now - looked)
            looked = now

    def _start(self, slot: int) -> None:
        signs = Supervisor(self._gone, slot)
        process = self._context.Process(target=self._run_worker, args=(signs,))
        # A signal waits until the child has its own handlers. Otherwise this process's handlers would get it.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        self._workers[process.sentinel] = _Worker(process, signs, monotonic())

    def _tend(self) -> None:
        """Notice workers that ended, and start others in their place unless stopping."""
        for sentinel, worker in list(self._workers.items()):
            process = worker.process
            if process.is_alive():
                continue
            del self._workers[sentinel]
            self._take_refusal(worker)
            lived_s = monotonic() - worker.began
            code = process.exitcode
            process.join()
            if self._signals:
                continue
            self._quick_deaths = self._quick_deaths + 1 if lived_s < QUICK_DEATH_S else 0
            wait_s = min(RESTART_MAX_S, 0.1 * 2**self._quick_deaths) if self._quick_deaths > 1 else 0.0
            told = f"{code} ({exit_in_words(code)})"
            _logger.warning("worker %s ended with %s; starting another in %.1f s", process.pid, told, wait_s)
            if not wait([self._signalled], timeout=wait_s):
                self._start(worker.signs.slot)

    def _take_refusal(self, worker: _Worker) -> None:
        """Read why a worker could not start. If nothing was served yet, that ends the service.

        Raises WorkerRefused.
        """
        everyone = (worker, *self._workers.values())
        self._lived = self._lived or any(each.signs.count for each in everyone)
        while self._refusals.poll():
            code, text = self._refusals.recv()
            # guard: refused-start-tried-for-ever
            if not self._lived and not self._signals:
                for each in self._workers.values():
                    each.process.kill()
                raise WorkerRefused(code, text)
            _logger.error("a worker could not start: %s", text)

    def _end_silent(self, elapsed_s: float) -> None:
        """Kill workers that have given no sign of life for too long; `_tend` replaces them."""
        for worker in self._workers.values():
            silent_s = worker.look(elapsed_s)
            if self._silent_max_s and silent_s >= self._silent_max_s and worker.process.is_alive():
                pid = worker.process.pid
                _logger.error("worker %s has been blocked for %.0f s and is killed", pid, silent_s)
                worker.process.kill()

    def _pass_on(self) -> None:
        """Send the workers SIGTERM, the one signal that they obey, as a terminal's SIGINT reaches them, too.

        At the second signal they are killed: a worker whose loop is blocked, perhaps by C code, can't react.
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

    def _run_worker(self, supervisor: Supervisor) -> None:
        """Run a worker in its new process. Until it has its own handlers, its parent's must not get a signal.

        A terminal's SIGINT reaches it, too, but only its parent tells it to end. The signal isn't ignored,
        because programs that functions start would then ignore it, too.
        """
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, _be_told)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _TOLD)
        self._here.close()
        try:
            self._work(supervisor)
        except Exception as error:
            _logger.debug("the worker could not start", exc_info=True)
            self._refuse.send(_in_words(error))
            leave(1)  # otherwise multiprocessing calls os._exit, and the log would blame a function


def _be_told(_number: int, _frame: object) -> None:
    """Do nothing. Without a handler Python wouldn't write a signal's number."""


def _in_words(error: Exception) -> tuple[str, str]:
    """Return a code and one line of text."""
    if isinstance(error, OutlastError):
        return error.code, str(error)
    if (refused := refusal(error)) is not None:
        return "database_refused", refused
    return "internal_error", f"{type(error).__name__}: {error} (a fault of outlast)"
