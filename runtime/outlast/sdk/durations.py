"""Durations as users give them: seconds or a timedelta, cut to a maximum."""

from __future__ import annotations

import math
from datetime import timedelta

from outlast.core.errors import UsageError

DURATION_MAX_S = 100 * 366 * 24 * 3600.0
"""A hundred years. Longer durations are cut to it."""

Duration = float | timedelta


def seconds_of(duration: Duration, what: str) -> float:
    """`duration` in seconds, from 0 to DURATION_MAX_S.

    Raises UsageError, which names it by `what`, if it is invalid.
    """
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        try:
            seconds = float(duration)
        except OverflowError:
            seconds = math.inf if duration > 0 else -math.inf
    else:
        raise UsageError(f"{what} takes seconds or a timedelta, not {duration!r}")
    if math.isnan(seconds):
        raise UsageError(f"{what} takes a number of seconds, not NaN")
    return min(max(seconds, 0.0), DURATION_MAX_S)


def positive_seconds_of(duration: Duration | None, what: str) -> float | None:
    """Like `seconds_of`, for a duration that must be positive or None."""
    if duration is None:
        return None
    if isinstance(duration, float) and duration == math.inf:
        raise UsageError(f"{what} is a number of seconds; for no bound leave it out, or write None")
    seconds = seconds_of(duration, what)
    if seconds <= 0:
        raise UsageError(f"{what} must be longer than 0 s, not {duration!r}")
    return seconds
