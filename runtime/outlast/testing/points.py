"""The places at which a process may be killed, and where it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

Place = tuple[str, int]
"""File and line."""


class Point(NamedTuple):
    """A moment of a run. `state` counts the effects and commits before it: the same state is the same crash."""

    text: str
    place: Place | None
    state: int


class Points:
    """All that one run passes. At the targeted ones, by their numbers in each life, the process is killed."""

    def __init__(self, kill: Callable[[], None], targets: list[int]) -> None:
        self.passed: list[Point] = []
        """Of all lives."""
        self.kills: list[Point] = []
        self._kill = kill
        self._targets = targets
        self._number = 0
        self._state = 0

    def changed(self) -> None:
        """An effect was begun, or something was committed."""
        self._state += 1

    def next_life(self) -> None:
        """Another process starts: its points are counted anew."""
        self._number = 0

    async def reach(self, text: str, place: Place | None = None) -> None:
        """Say that a point is reached. It doesn't return if the process is killed there."""
        point = Point(text, place, self._state)
        self.passed.append(point)
        number, self._number = self._number, self._number + 1
        if len(self.kills) < len(self._targets) and self._targets[len(self.kills)] == number:
            self.kills.append(point)
            self._kill()
            await asyncio.get_running_loop().create_future()


def crashes(points: list[Point]) -> list[tuple[int, str, Place | None]]:
    """Of points those that differ in what has happened before, by number; all names of each."""
    found: list[tuple[int, str, Place | None]] = []
    state = None
    for number, point in enumerate(points):
        if point.state == state:
            last = found[-1]
            found[-1] = (last[0], f"{last[1]}; {point.text}", last[2] or point.place)
        else:
            found.append((number, point.text, point.place))
        state = point.state
    return found
