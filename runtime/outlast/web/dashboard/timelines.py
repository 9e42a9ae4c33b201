"""The axis of a timeline: when what ran, with idle time folded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from outlast.core import kinds
from outlast.core.clock import machine_now
from outlast.web.dashboard.shown import moment

WIDTH = 1000
"""Units of a bar's picture: it is stretched to the width of its column."""

_LEAST = 4
_FOLD = 24
"""So wide is idle time, however long it was."""
_IDLE_S = 1.0
_IDLE_PART = 0.2
"""Idle time is folded when it is longer than that, and than this part of all the time that something ran."""
_FOLDS_MAX = 20
WAITS = frozenset({kinds.SLEEP, kinds.RECEIVE, kinds.WAIT_ANY, kinds.EVENT, kinds.TIMER, kinds.RESULT})
"""Operations that do nothing themselves: while only these last, time is idle."""


class Bar(NamedTuple):
    """Where a step stands on the axis."""

    x: int
    width: int


class Row(NamedTuple):
    """A step of a timeline."""

    step: Mapping[str, Any]
    bar: Bar | None
    took_s: float | None
    idle_s: float | None
    """How long nothing had run before it began, if that is worth a word."""
    moved: bool
    """Whether another instance recorded it than the step before."""
    waits: bool
    """Whether it is a wait: nothing runs meanwhile."""


class Timeline(NamedTuple):
    """Rows of one axis. `folds` are the places on it where idle time is folded."""

    rows: list[Row]
    folds: list[int]


def timeline(steps: Sequence[Mapping[str, Any]]) -> Timeline:
    """The steps in their order on one axis. What isn't over lasts until now."""
    now = machine_now()
    spans = [_span(each, now) for each in steps]
    busy = [span for step, span in zip(steps, spans, strict=True) if span and step.get("kind") not in WAITS]
    axis = _Axis(busy or [span for span in spans if span])
    rows: list[Row] = []
    busy_until: datetime | None = None
    instance = None
    for step, span in zip(steps, spans, strict=True):
        idle_s = None
        if span is not None and step.get("kind") not in WAITS:
            if busy_until is not None and (span[0] - busy_until).total_seconds() > _IDLE_S:
                idle_s = (span[0] - busy_until).total_seconds()
            busy_until = max(span[1], busy_until or span[1])
        runs_on = step.get("instance")
        moved = None not in (instance, runs_on) and runs_on != instance
        instance = runs_on or instance
        took_s = None if span is None else (span[1] - span[0]).total_seconds()
        bar = None if span is None else axis.bar(*span)
        rows.append(Row(step, bar, took_s, idle_s, moved, step.get("kind") in WAITS))
    return Timeline(rows, axis.folds)


def _span(step: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime] | None:
    begin, end = moment(step.get("started_at")), moment(step.get("completed_at"))
    if begin is None:
        return None
    return begin, max(begin, end or now)


class _Axis:
    """Maps times to places: stretches in which something ran in proportion, and folds between them."""

    def __init__(self, spans: Iterable[tuple[datetime, datetime]]) -> None:
        busy = _merge(sorted(spans))
        total_s = sum((end - begin).total_seconds() for begin, end in busy)
        idle_min_s = max(_IDLE_S, _IDLE_PART * total_s)
        gaps = sorted(
            ((later[0] - earlier[1]).total_seconds() for earlier, later in pairwise(busy)),
            reverse=True,
        )
        if len(gaps) > _FOLDS_MAX:
            idle_min_s = max(idle_min_s, gaps[_FOLDS_MAX])
        self._parts: list[list[datetime]] = []
        for begin, end in busy:
            if self._parts and (begin - self._parts[-1][1]).total_seconds() <= idle_min_s:
                self._parts[-1][1] = end
            else:
                self._parts.append([begin, end])
        shown_s = sum((end - begin).total_seconds() for begin, end in self._parts)
        self._per_s = (WIDTH - _FOLD * max(0, len(self._parts) - 1)) / (shown_s or 1.0)
        self.folds: list[int] = []
        self._places: list[float] = []
        at = 0.0
        for place, (begin, end) in enumerate(self._parts):
            if place:
                self.folds.append(round(at + _FOLD / 2))
                at += _FOLD
            self._places.append(at)
            at += (end - begin).total_seconds() * self._per_s

    def bar(self, begin: datetime, end: datetime) -> Bar:
        """Where a time stands. Each has some width."""
        x = self._place(begin)
        width = max(_LEAST, round(self._place(end) - x))
        return Bar(min(round(x), WIDTH - width), width)

    def _place(self, at: datetime) -> float:
        for (begin, end), place in zip(reversed(self._parts), reversed(self._places), strict=True):
            if at >= begin:
                return place + (min(at, end) - begin).total_seconds() * self._per_s
        return 0.0


def _merge(spans: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """Times in which something ran, in order, none touching another."""
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in spans:
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
