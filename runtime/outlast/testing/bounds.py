"""Limits what one workflow may do in one call of a test, so that an endless one ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from outlast.core import kinds
from outlast.core.places import shown_place
from outlast.testing.errors import Endless
from outlast.testing.points import Place


@dataclass
class Bounds:
    """`waits_max`: sleeps, timers and receives; `calls_max`: calls of any kind."""

    waits_max: int = 200
    calls_max: int = 20_000


class Counts:
    """Counts what each workflow has called during the test's last call."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._calls: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()
        self.bounds_waits = True
        """False if the test itself limits the time that passes."""

    @contextmanager
    def of_one_call(self) -> Iterator[None]:
        """Reset the counts afterwards: what was started before this belongs to it."""
        try:
            yield
        finally:
            self._calls.clear()
            self._waits.clear()

    def add(
        self, workflow_id: str, kind: str, name: str, now_s: float, place: Place | None
    ) -> Endless | None:
        """Count a call; return the error if it is one too many."""
        self._calls[workflow_id] += 1
        waits = self.bounds_waits and kind in kinds.WAITS
        if waits:
            self._waits[workflow_id] += 1
        if waits and self._waits[workflow_id] > self._bounds.waits_max:
            done, option, number = "waited", "waits_max", self._bounds.waits_max
        elif self._calls[workflow_id] > self._bounds.calls_max:
            done, option, number = "called something", "calls_max", self._bounds.calls_max
        else:
            return None
        until = datetime.fromtimestamp(now_s, UTC).date()
        at = name if place is None else f"{name} at {shown_place(*place)}"
        return Endless(
            f"{workflow_id} {done} {number:,} times, until {until}, and goes on with {at}: "
            "let a stub end it, or go step by step, with `outlast.start` and `outlast.advance(…)`; "
            f"`outlast.{option} = {10 * number}` lets it go on for longer"
        )
