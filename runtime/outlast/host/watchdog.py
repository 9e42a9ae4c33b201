"""Reports a call that blocks the event loop: its workflow, and the line.

A thread asks the loop for a sign of life a few times a second. That costs calls nothing: the stack is read
only once the loop has been silent for long.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from outlast.core.observations import LoopBlocked, LoopFreed, LoopLooked, Observer

LOOK_S = 0.25
BLOCKED_S = 1.0
"""A loop that is silent for this long is blocked."""

_PACKAGE = Path(__file__).parents[1]
_UNSEEN = ("code that ended before anybody could look", None)
_logger = logging.getLogger("outlast")


class Watchdog:
    """Watches the loop of the thread that makes it, from `start` until the process ends."""

    def __init__(self, functions: Path, observe: Observer, alive: Callable[[], None] | None = None) -> None:
        """`alive` is called, in a thread, at each sign of life."""
        self._functions = functions.resolve()
        self._observe = observe
        self._alive = alive
        self._watched = threading.get_ident()
        self._sign = threading.Event()
        self._never = threading.Event()
        """Used to sleep: `time.sleep` fails if something has changed the process's clock."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to watch."""
        threading.Thread(target=self._run, args=(loop,), name="outlast-watchdog", daemon=True).start()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            self._sign.clear()
            try:
                loop.call_soon_threadsafe(self._sign.set)
            except RuntimeError:
                return  # the loop is closed
            try:
                silent_s = self._until_sign()
                if self._alive is not None:
                    self._alive()
                self._observe(LoopLooked(silent_s))
                self._rest()
            except Exception:
                # If this thread ended, the signs of life would end, too, and a healthy worker would be
                # killed.
                _logger.exception("the watchdog met what it didn't expect; it goes on")
                self._never.wait(LOOK_S)

    def _rest(self) -> None:
        """Sleep.

        If waking took long, C code held the interpreter, and nothing could be reported meanwhile.
        """
        passed = _start_stopwatch()
        self._never.wait(LOOK_S)
        if (held_s := passed() - LOOK_S) >= BLOCKED_S:
            self._observe(LoopFreed(held_s, *self._culprit()))

    def _until_sign(self) -> float:
        """Wait for the loop, report if it is blocked and for how long, and return how long it was silent."""
        silent_s = 0.0
        told: tuple[str, str | None] | None = None
        while not self._sign.is_set():
            passed = _start_stopwatch()
            self._sign.wait(LOOK_S)
            silent_s += passed()
            if told is None and silent_s >= BLOCKED_S and not self._sign.is_set():
                told = self._culprit()
                self._observe(LoopBlocked(silent_s, *told))
        if told is None and silent_s >= BLOCKED_S:
            told = _UNSEEN  # another call may run by now
        if told is not None:
            self._observe(LoopFreed(silent_s, *told))
        return silent_s

    def _culprit(self) -> tuple[str, str | None]:
        """The innermost line of the functions (or of Outlast) that runs on the loop, and its workflow."""
        frames = list(_frames(sys._current_frames().get(self._watched)))
        workflow_ids = (_workflow_id(frame) for frame in frames)
        workflow_id = next((each for each in workflow_ids if each is not None), None)
        for folder, shown in ((self._functions, self._functions.parent), (_PACKAGE, _PACKAGE.parent)):
            for frame in frames:
                path = Path(frame.f_code.co_filename)
                if path.is_relative_to(folder):
                    place = f"{path.relative_to(shown)}:{frame.f_lineno}"
                    return f"{place} in {frame.f_code.co_name}", workflow_id
        return "code of neither the functions nor the host", workflow_id


def _start_stopwatch() -> Callable[[], float]:
    """Start a stopwatch of the time that counts as blocked.

    A process that is frozen, or gets no processor time, blocks nothing. So a long span counts as a moment, or
    as the processor time that the process used (C code that holds the interpreter).
    """
    began, worked = time.monotonic(), time.process_time()
    return lambda: min(time.monotonic() - began, max(2 * LOOK_S, time.process_time() - worked))


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _workflow_id(frame: FrameType) -> str | None:
    """The workflow that a frame of the engine runs, taken from its `self` or `execution`."""
    if not Path(frame.f_code.co_filename).is_relative_to(_PACKAGE / "engine"):
        return None
    for name in ("execution", "self"):
        workflow_id = getattr(frame.f_locals.get(name), "workflow_id", None)
        if isinstance(workflow_id, str):
            return workflow_id
    return None
