"""Completions on their way to the body: each has a place, and they are handed over in the order of places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from outlast.core.records import StepRecord
from outlast.engine.execution.calls import PendingCall


class Completion(NamedTuple):
    """What a call came to. `value` is the body's, unless the record holds an error."""

    call: PendingCall
    record: StepRecord
    value: Any
    write: Any
    """The future of its write; None if another connection committed it."""


class Completions:
    """A place that is taken and not filled yet lets no later one pass: it may be committing elsewhere."""

    __slots__ = ("_last", "_next", "places")

    def __init__(self, last: int) -> None:
        """`last` is the last place that is taken by what is recorded."""
        self._last = last
        self._next = last + 1
        self.places: dict[int, Completion | None] = {}
        """Those that are taken and not handed over: with what comes there, once that is known."""

    @property
    def last(self) -> int:
        """The last place that was taken."""
        return self._last

    def take_place(self) -> int:
        """The next place."""
        self._last += 1
        self.places[self._last] = None
        return self._last

    def drop(self, places: Iterable[int]) -> None:
        """Nothing comes at these places."""
        for each in places:
            self.places.pop(each, None)

    def fill(self, place: int, completion: Completion) -> None:
        """This comes at `place`."""
        self.places[place] = completion

    def next(self) -> Completion | None:
        """The next one, if it is there."""
        while self._next <= self._last:
            if self._next in self.places:
                completion = self.places[self._next]
                # guard: places-not-reserved
                if completion is None:
                    return None
                del self.places[self._next]
                self._next += 1
                return completion
            self._next += 1
        return None
