"""Time that is given: the engine reads one clock, and another one while a test drives it."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from outlast.core import clock

_given: list[Callable[[], float]] = []
_real = clock.monotonic


@contextmanager
def given_time(monotonic: Callable[[], float], seed: float) -> Iterator[None]:
    """Let `monotonic` be the clock of all modules of this package, and `seed` what `random` begins with.

    Within another one the inner clock counts.
    """
    _given.append(monotonic)
    try:
        if len(_given) > 1:
            random.seed(seed)
            yield
        else:
            with _patched(seed):
                yield
    finally:
        _given.pop()


@contextmanager
def campaign_time() -> Iterator[None]:
    """For many worlds, one after the other: the modules are changed once."""
    with given_time(clock.monotonic, 0):
        yield


def _monotonic() -> float:
    """What was imported meanwhile may keep it, as a default of an argument: then it is the machine's."""
    return _given[-1]() if _given else _real()


@contextmanager
def _patched(seed: float) -> Iterator[None]:
    real, state = clock.monotonic, random.getstate()
    _replace(real, _monotonic)
    random.seed(seed)
    try:
        yield
    finally:
        _replace(_monotonic, real)  # also in what was imported meanwhile
        random.setstate(state)


def _replace(former: Callable[[], float], by: Callable[[], float]) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("outlast.") and getattr(module, "monotonic", None) is former:
            module.monotonic = by  # type: ignore[attr-defined]
