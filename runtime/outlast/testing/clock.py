"""Time that is given: the engine's modules, which all read one clock, read another while a test drives them."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from outlast.core import clock


@contextmanager
def given_time(monotonic: Callable[[], float], seed: float) -> Iterator[None]:
    """Let `monotonic` be the clock of all modules of this package, and `seed` what `random` begins with."""
    real = clock.monotonic
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("outlast.") and getattr(module, "monotonic", None) is real
    ]
    state = random.getstate()
    random.seed(seed)
    for module in modules:
        module.monotonic = monotonic  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):  # also those that were imported meanwhile
            if name.startswith("outlast.") and getattr(module, "monotonic", None) is monotonic:
                module.monotonic = real  # type: ignore[attr-defined]
        random.setstate(state)
