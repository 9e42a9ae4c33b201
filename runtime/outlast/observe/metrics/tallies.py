"""Numbers of one process, counted in a few places of memory that others may read: nothing is sent anywhere.

A series is some floats of one array. It lies in memory that a worker shares with its parent and its siblings:
each of them can tell of all, and what a killed worker has counted stays.
"""

from __future__ import annotations

import json
import mmap
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from outlast.observe.metrics.families import COUNTED, OTHER, SERIES_MAX, Family

_FLOAT_BYTES = 8
_USED = struct.Struct("=Q")

Labels = tuple[str, ...]
LABEL_CHARS_MAX = 200


class Found(NamedTuple):
    """A series as somebody reads it. Of a histogram: counts of each bucket (not summed up), then the sum."""

    family: str
    labels: Labels
    values: list[float]


def width_of(family: Family) -> int:
    """How many floats a series takes."""
    return len(family.buckets) + 2 if family.kind == "histogram" else 1


_FAMILIES = {each.name: each for each in COUNTED}

FLOATS_MAX = sum((SERIES_MAX + 1) * width_of(each) for each in COUNTED)
"""How many all may take together."""

NAMES_BYTES = 8 * 2**20


class Numbers:
    """Memory in which one process counts, and which those that are forked after it was made see too.

    It outlives a process that is killed. Pages that nobody writes to take none.
    """

    def __init__(self) -> None:
        self.floats = memoryview(mmap.mmap(-1, FLOATS_MAX * _FLOAT_BYTES)).cast("d")
        self._names = mmap.mmap(-1, NAMES_BYTES)

    def add(self, family: str, labels: Labels, place: int) -> None:
        """Make a series known."""
        used = self._used
        line = json.dumps([family, labels, place]).encode() + b"\n"
        if used + len(line) > NAMES_BYTES:
            return  # it can't be that many; others would not see this one
        self._names[used : used + len(line)] = line
        self._names[: _USED.size] = _USED.pack(used + len(line))  # last: what is half written isn't there

    def known(self) -> Iterator[tuple[Family, Labels, int]]:
        """Families, labels and places of all series."""
        for line in self._names[_USED.size : self._used].splitlines():
            name, labels, place = json.loads(line)
            yield _FAMILIES[name], tuple(labels), place

    def series(self) -> Iterator[Found]:
        """All of them, as they are now."""
        for family, labels, place in self.known():
            yield Found(family.name, labels, list(self.floats[place : place + width_of(family)]))

    @property
    def _used(self) -> int:
        used: int = _USED.unpack_from(self._names)[0]
        return max(used, _USED.size)


class Tallies:
    """The series of one process. It is written in one thread a family, and read in any."""

    def __init__(self, numbers: Numbers | None = None) -> None:
        """They go on where a former process has stopped that counted in the same memory."""
        self._numbers = Numbers() if numbers is None else numbers
        self.floats = self._numbers.floats
        """Whoever counts often keeps a series' place in here (`place_of`)."""
        self._places: dict[tuple[str, Labels], int] = {}
        self._counts = dict.fromkeys(_FAMILIES, 0)
        self._used = 0
        for family, labels, place in self._numbers.known():
            self._enter(family, labels, place)
            if family.kind == "gauge":
                self.floats[place] = 0.0  # it was another process's

    def add(self, family: Family, labels: Labels = (), value: float = 1.0) -> None:
        """Count."""
        self.floats[self.place_of(family, labels)] += value

    def observe(self, family: Family, value: float, labels: Labels = ()) -> None:
        """Count a value of a histogram."""
        place, floats = self.place_of(family, labels), self.floats
        floats[place + bisect_left(family.buckets, value)] += 1.0
        floats[place + len(family.buckets) + 1] += value

    def series(self) -> Iterator[Found]:
        """All of them, as they are now."""
        return self._numbers.series()

    def place_of(self, family: Family, labels: Labels) -> int:
        """Where a series begins: that of these labels, or of `other` where there are too many."""
        place = self._places.get((family.name, labels))
        if place is not None:
            return place
        known = tuple(each[:LABEL_CHARS_MAX] for each in labels)
        if self._counts[family.name] >= SERIES_MAX - 1:
            # guard: series-without-bound = known
            known = (OTHER,) * len(labels)
        place = self._places.get((family.name, known))
        if place is None:
            place = self._used
            self._numbers.add(family.name, known, place)
            self._enter(family, known, place)
        return place

    def _enter(self, family: Family, labels: Labels, place: int) -> None:
        self._places[family.name, labels] = place
        self._counts[family.name] += 1
        self._used = max(self._used, place + width_of(family))


def sum_up(sources: Iterable[Iterable[Found]]) -> dict[str, dict[Labels, list[float]]]:
    """What several processes have counted together, by family and labels; no more series than may be."""
    summed: dict[str, dict[Labels, list[float]]] = {each.name: {} for each in COUNTED}
    for source in sources:
        for found in source:
            series = summed[found.family]
            before = series.get(found.labels)
            series[found.labels] = (
                found.values if before is None else [a + b for a, b in zip(before, found.values, strict=True)]
            )
    for name, series in summed.items():
        if len(series) > SERIES_MAX:  # each process has its own, and together they may have more
            summed[name] = _fold(series)
    return summed


def _fold(series: dict[Labels, list[float]]) -> dict[Labels, list[float]]:
    ordered = sorted(series.items(), key=lambda item: (OTHER not in item[0], item[0]))
    kept = dict(ordered[: SERIES_MAX - 1])
    rest = ordered[SERIES_MAX - 1 :]
    other = (OTHER,) * len(rest[0][0])
    for _, values in rest:
        before = kept.get(other)
        kept[other] = values if before is None else [a + b for a, b in zip(before, values, strict=True)]
    return kept
