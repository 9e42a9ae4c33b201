"""Replaces the clock that the engine reads while a test drives it."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from outlast.core import clock
from outlast.core.errors import UsageError
from outlast.sdk.durations import Duration, seconds_of

_given: list[Callable[[], float]] = []
_real = clock.monotonic
_CLOCKS = "monotonic", "worked"


@contextmanager
def given_time(monotonic: Callable[[], float], seed: float) -> Iterator[None]:
    """Let `monotonic` be the clock of all modules of this package, and seed `random` with `seed`.

    The clock of a thread's work reads the same: to the test a thread works all the time.

    If it is nested, the inner clock counts.
    """
    _given.append(monotonic)
    try:
        if len(_given) > 1:
            random.seed(seed)
            yield
        else:
            with _patch(seed):
                yield
    finally:
        _given.pop()


@contextmanager
def campaign_time() -> Iterator[None]:
    """For many worlds one after the other: the modules are changed only once."""
    with given_time(clock.monotonic, 0):
        yield


def _monotonic() -> float:
    """A module imported meanwhile may keep this as a default argument: then it reads the real clock."""
    return _given[-1]() if _given else _real()


@contextmanager
def _patch(seed: float) -> Iterator[None]:
    state = random.getstate()
    real = {name: getattr(clock, name) for name in _CLOCKS}
    for name, each in real.items():
        _replace(name, each, _monotonic)
    random.seed(seed)
    try:
        yield
    finally:
        for name, each in real.items():
            _replace(name, _monotonic, each)  # also in modules imported meanwhile
        random.setstate(state)


def _replace(clock_name: str, former: Callable[[], float], by: Callable[[], float]) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("outlast.") and getattr(module, clock_name, None) is former:
            setattr(module, clock_name, by)


def seconds_to_pass(duration: float | timedelta | None, units: dict[str, float]) -> float:
    """The seconds of `outlast.advance`: a duration, or what `timedelta` takes. Raises UsageError."""
    if (duration is None) == (not units):
        raise UsageError("outlast.advance takes seconds, a timedelta, or units such as days=14")
    if duration is None:
        try:
            duration = timedelta(**units)
        except TypeError:
            known = "days, hours, minutes, seconds, milliseconds, microseconds and weeks"
            raise UsageError(f"outlast.advance takes {known}, not {', '.join(units)}") from None
    seconds = seconds_of(duration, "outlast.advance")
    if duration < (timedelta(0) if isinstance(duration, timedelta) else 0):  # type: ignore[operator]
        raise UsageError(f"outlast.advance: time doesn't go back, by {duration}")
    return seconds


NEAR = timedelta(seconds=1)


def around(duration: Duration) -> list[timedelta]:
    """Times to advance by before a message is sent: just before and just after the end of a timeout."""
    length = timedelta(seconds=seconds_of(duration, "around"))
    return [length - NEAR, length + NEAR]
