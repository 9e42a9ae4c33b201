"""The faults and warnings of a test's call besides its own result."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from outlast.core.errors import UsageError
from outlast.testing.errors import Misuse, Unproved
from outlast.testing.outcomes import outcome_in
from outlast.testing.worlds import World


class Telling:
    """Reports on one world, each line once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told: set[tuple[str, int]] = set()

    def after(self, work: Callable[[], None]) -> None:
        """Do `work`; then fail if the test must not pass, and warn of misuse."""
        try:
            work()
        except BaseException as error:
            if outcome_in(error) is None:
                self._tell()
            raise
        self._tell()

    def _tell(self) -> None:
        world = self._world
        refusals, faults = world.refusals[:1], world.faults[:1]
        world.refusals.clear()
        world.faults.clear()
        if refusals:
            raise UsageError(refusals[0]) from None
        if faults:
            raise Unproved(f"a fault of the engine itself: {faults[0]}")
        for place, what in world.seen.reads.items():
            if place not in self._told:
                self._told.add(place)
                warnings.warn_explicit(f"the workflow's body {what}", Misuse, *place)
