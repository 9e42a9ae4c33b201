"""Logs what ends the process from within, before it ends where that can be known."""

from __future__ import annotations

import _thread
import contextlib
import faulthandler
import io
import logging
import os
import signal
import sys
from pathlib import Path

_logger = logging.getLogger("outlast")
_really_exit = os._exit

TELL_S_MAX = 1.0
"""The longest time that the last line of the log may take."""


def tell_of_exits(functions: Path) -> None:
    """Make a crash print its stack to standard error, and a function's `os._exit` log a line."""
    with contextlib.suppress(io.UnsupportedOperation, ValueError):  # standard error is no file
        faulthandler.enable(all_threads=False)
    owner = os.getpid()
    folder = functions.resolve()

    def exit(status: int) -> None:
        if os.getpid() == owner:
            _logger.error("a function ends the process by os._exit(%s), at %s", status, _caller(folder))
            sys.stderr.flush()
        _really_exit(status)

    os._exit = exit  # type: ignore[assignment]


def leave(status: int) -> None:
    """End the process now, even if threads of functions don't return."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    _really_exit(status)


def leave_now(number: int) -> None:
    """End the process for a second signal: its workflows are recovered, as after any crash.

    This runs in a signal handler. The process must end even if the interrupted code holds a lock of the log
    or of `threading`, if the pipe behind the log is full, or if no thread can start.
    """
    try:
        said = _thread.allocate_lock()
        said.acquire()
        _thread.start_new_thread(_tell_of_signal, (number, said))
        said.acquire(timeout=TELL_S_MAX)
    finally:
        _really_exit(128 + number)


def _tell_of_signal(number: int, said: _thread.LockType) -> None:
    text = "%s for the second time: this process ends at once; what it ran is recovered"
    _logger.warning(text, signal.Signals(number).name)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    said.release()


def end_now(status: int) -> None:
    """Call `os._exit` without a line in the log."""
    _really_exit(status)


def exit_in_words(code: int | None) -> str:
    """A process's exit code in words."""
    if code is None or code >= 0:
        return f"status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _caller(folder: Path) -> str:
    frame = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(folder):
            return f"{path.relative_to(folder.parent)}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
