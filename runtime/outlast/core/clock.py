"""The one place that reads clocks: time spans from a monotonic clock, dates from the database's clock.

The database decides what time it is. The host tells this clock what the database said, and when. Between two
such readings the monotonic clock counts on. Before the first one the machine's clock is used.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial


def _counting_suspends() -> Callable[[], float]:
    """On Linux and macOS `time.monotonic` stops while the machine sleeps. Both have a clock that doesn't."""
    clocks = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC"}
    name = clocks.get(sys.platform, "")
    return partial(time.clock_gettime, getattr(time, name)) if hasattr(time, name) else time.monotonic


monotonic: Callable[[], float] = _counting_suspends()
"""Seconds of a clock that never goes back, and that goes on while the machine sleeps.

Only differences of its readings have a meaning. They must not be mixed with an event loop's clock, which may
stand still: an instance that wakes up must notice that its lease is over.
"""

worked: Callable[[], float] = time.thread_time
"""Seconds of processor time that this thread has used. Only differences of its readings have a meaning."""


def age_s(reading: float | None, now: float) -> float:
    """How long before `now` a reading of `monotonic` was taken; None is now."""
    return 0.0 if reading is None else max(0.0, now - reading)


def whole_microseconds(at_s: float) -> float:
    """`at_s` (Unix seconds), rounded up to the microseconds of a database, so that no timer fires early."""
    whole = round(at_s * 1e6)  # to an integer: rounding to a number of digits takes ten times as long
    # guard: times-rounded-down = whole / 1e6
    return (whole if whole / 1e6 >= at_s else whole + 1) / 1e6


def machine_now() -> datetime:
    """The machine's own time, for code that asks for the time outside of any workflow."""
    return datetime.fromtimestamp(time.time(), UTC)  # noqa: TID251 - the clock module is where it is read


class Clock:
    """The database's time, as exactly as this process can know it."""

    def __init__(self) -> None:
        self._offset_s = time.time() - monotonic()  # noqa: TID251 - the clock module is where it is read

    def synchronize(self, database_s: float, sent_at: float, received_at: float) -> None:
        """Learn that the database's clock showed `database_s` between these two readings of `monotonic`."""
        self._offset_s = database_s - (sent_at + received_at) / 2

    def now_s(self) -> float:
        """Unix time in seconds."""
        return monotonic() + self._offset_s

    def now(self) -> datetime:
        """The time as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.now_s(), UTC)
