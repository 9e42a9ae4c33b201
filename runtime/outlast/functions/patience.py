"""How long a file may take to be imported: one that never ends must not keep the others from being served."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

IMPORT_S_MAX = 30.0
AGAIN_S = 1.0
"""Code that catches the end and goes on is ended again."""


class ImportTooLong(BaseException):
    """The file is given up. No Exception: `except Exception` in the file must not keep it going."""


@contextmanager
def patience(limit_s: float) -> Iterator[None]:
    """Raise ImportTooLong in the code run here once `limit_s` seconds have passed.

    Only in the main thread, where the host starts: a reload imports in a thread of its own, which holds up
    nothing but reloading.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield  # a file imports another: the first one's time counts
        return

    waiting = True

    def end(_number: int, _frame: FrameType | None) -> None:
        if waiting:
            raise ImportTooLong(f"importing it takes longer than {limit_s:g} s (OUTLAST_IMPORT_S_MAX)")

    former = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        try:
            yield
        finally:
            waiting = False  # an alarm that comes from here on must not keep the timer from being stopped
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
