"""Moments at which something tends to go wrong, for `pytest.mark.parametrize`."""

from __future__ import annotations

from datetime import timedelta

from outlast.sdk.durations import Duration, seconds_of

NEAR = timedelta(seconds=1)


def around(duration: Duration) -> list[timedelta]:
    """Just before the end of a timeout, and just after it: to advance by before a message is sent."""
    length = timedelta(seconds=seconds_of(duration, "around"))
    return [length - NEAR, length + NEAR]
