"""Find reads of clocks and randomness in bodies: on replay they give other values, and no error shows it.

A profiler sees each call of a built-in function. That is slow, so only development hosts use it.
"""

from __future__ import annotations

import gc
import sys
import sysconfig
from collections.abc import Callable
from types import FrameType
from typing import Any

from outlast.core.places import is_ours

Found = Callable[[str, str, str], None]
"""Called with what was read, where (file:line), and what to write instead."""

_LIBRARY = sysconfig.get_paths()["stdlib"]
_THROUGH = ("/uuid.py", "/random.py", "/secrets.py")
"""Files of the standard library that read the system's randomness for their callers."""

_CLOCK = "outlast.now()"
_CHANCE = "outlast.random() or outlast.uuid4()"
_READS = {
    ("time", "time"): _CLOCK,
    ("time", "time_ns"): _CLOCK,
    ("time", "monotonic"): _CLOCK,
    ("time", "perf_counter"): _CLOCK,
    ("datetime", "now"): _CLOCK,
    ("datetime", "utcnow"): _CLOCK,
    ("datetime", "today"): _CLOCK,
    ("date", "today"): _CLOCK,
    ("posix", "urandom"): _CHANCE,
    ("nt", "urandom"): _CHANCE,
    ("Random", "random"): _CHANCE,
    ("Random", "getrandbits"): _CHANCE,
    ("SystemRandom", "random"): _CHANCE,
}

_MODULES = {"Random": "random", "SystemRandom": "random.SystemRandom()", "posix": "os", "nt": "os"}
"""The module or object by which users know a class or an internal module."""


class watched:  # noqa: N801 - named as a verb; no generator: one can't pass on everything that a body raises
    """While this context is entered, report to `found` each clock or random read in this thread.

    Gives a function that begins to watch. With `at_once` watching has begun already.
    """

    def __init__(self, found: Found, *, at_once: bool = True) -> None:
        self._found = found
        self._at_once = at_once

    def __enter__(self) -> Callable[[], None]:
        self._before = sys.getprofile()
        if self._at_once:
            self._begin()
        return self._begin

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before)

    def _begin(self) -> None:
        sys.setprofile(self._look)

    def _look(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and (instead := _READS.get(_name_of(called))) is not None:
            caller = _caller(frame)
            if caller is not None:
                place = f"{caller.f_code.co_filename}:{caller.f_lineno}"
                self._found(_name_in_program(*_name_of(called)), place, instead)


def _name_in_program(owner: str, name: str) -> str:
    """The name as users write it in a program."""
    return f"{_MODULES.get(owner, owner)}.{name}"


def _name_of(called: Any) -> tuple[str, str]:
    owner = getattr(called, "__self__", None)
    kind = owner if isinstance(owner, type) else type(owner)
    of = getattr(owner, "__name__", kind.__name__) if not isinstance(owner, type) else kind.__name__
    return str(of), str(getattr(called, "__name__", ""))


def _caller(frame: FrameType | None) -> FrameType | None:
    """The user's frame that made the read; None if a library reads for itself, as logging does."""
    while frame is not None and frame.f_code.co_filename.endswith(_THROUGH):
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename.startswith((_LIBRARY, "<frozen")) or is_ours(frame):
        return None
    # A callback of the garbage collector, such as that of hypothesis, may run anywhere.
    return None if any(getattr(each, "__code__", None) is frame.f_code for each in gc.callbacks) else frame
