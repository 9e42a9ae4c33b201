"""The points at which a process may be killed, and which of them a run has reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

Place = tuple[str, int]
"""File and line."""


class Point(NamedTuple):
    """A moment of a run. `state` counts effects and commits before it; points of equal state crash alike."""

    say: Callable[[], str]
    place: Place | None
    state: int

    @property
    def text(self) -> str:
        """Say what happens there."""
        return self.say()


class Points:
    """All points that one run passes.

    At its targets, by their numbers in each life, the process is killed.
    """

    def __init__(
        self,
        kill: Callable[[], None],
        targets: list[int],
        act: tuple[int, Callable[[], None]] | None = None,
    ) -> None:
        """`act`: at which point of the first life something else is done, and what."""
        self.lives: list[list[Point]] = [[]]
        self.kills: list[Point] = []
        self.acted: Point | None = None
        self._kill = kill
        self._targets = targets
        self._act = act
        self._state = 0
        self._next = targets[0] if targets else -1 if act is None else act[0]

    @property
    def passed(self) -> list[Point]:
        """The points of all lives."""
        return [each for life in self.lives for each in life]

    def changed(self) -> None:
        """Note that an effect was begun, or something was committed."""
        self._state += 1

    def next_life(self) -> None:
        """Count the points anew: another process starts."""
        self.lives.append([])

    def reach(self, say: Callable[[], str], place: Place | None = None) -> bool:
        """Note that a point is reached. Return whether the caller must await `here` at once."""
        life = self.lives[-1]
        life.append(Point(say, place, self._state))
        return self._next == len(life) - 1

    async def here(self) -> None:
        """Do what is planned for the reached point. If the process is killed, this doesn't return."""
        point = self.lives[-1][-1]
        if len(self.kills) < len(self._targets):
            self.kills.append(point)
            self._next = self._targets[len(self.kills)] if len(self.kills) < len(self._targets) else -1
            self._kill()
            await asyncio.get_running_loop().create_future()
        elif self._act is not None:
            self.acted = point
            self._next = -1
            asyncio.get_running_loop().call_soon(self._act[1])
            await asyncio.sleep(0)


def crashes(points: list[Point]) -> list[int]:
    """The numbers of the points before which something new had happened."""
    found: list[int] = []
    state = None
    for number, point in enumerate(points):
        if point.state != state:
            found.append(number)
        state = point.state
    return found
