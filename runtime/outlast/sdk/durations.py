"""Durations as users give them: seconds or a timedelta; clamped, so that no value can hurt a neighbour."""

from __future__ import annotations

import math
from datetime import timedelta

from outlast.core.errors import UsageError

DURATION_MAX_S = 100 * 366 * 24 * 3600.0
"""A hundred years: longer ones are cut to it."""

Duration = float | timedelta


def seconds_of(duration: Duration, what: str) -> float:
    """`duration` in seconds, 0 to DURATION_MAX_S. `what` names it in the UsageError for anything else."""
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
    """As `seconds_of`, for what must be longer than nothing or None."""
    if duration is None:
        return None
    if isinstance(duration, float) and duration == math.inf:
        raise UsageError(f"{what} is a number of seconds; for no bound leave it out, or write None")
    seconds = seconds_of(duration, what)
    if seconds <= 0:
        raise UsageError(f"{what} must be longer than 0 s, not {duration!r}")
    return seconds
