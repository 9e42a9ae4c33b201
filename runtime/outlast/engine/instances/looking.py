"""Loops that look for work in the database that any instance may do: now and then, and soon after news."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

from outlast.core.background import Loop
from outlast.core.clock import monotonic
from outlast.core.observations import Observer

LOOKS_APART_S = 0.5
"""The least time between looks after repeated news of work, which is mostly about other work."""


class Looks:
    """A background loop that looks for one kind of work."""

    def __init__(
        self,
        name: str,
        look: Callable[[], Awaitable[float | None]],
        may_work: Callable[[], bool],
        observe: Observer,
        look_s: float,
    ) -> None:
        """`look` does what is due. It returns in how many seconds more will be due, if it knows.

        `may_work`: whether this instance works. `look_s`: the time between looks, in which work of other
        instances is found if no news of it comes.
        """
        self._look = look
        self._may_work = may_work
        self._look_s = look_s
        self._looked_at = 0.0
        self.loop = Loop(name, self._do_round, observe)

    def look_soon(self) -> None:
        """There may be work."""
        self.loop.wake(max(monotonic(), self._looked_at + LOOKS_APART_S))

    async def _do_round(self) -> float:
        # guard: ticks-while-leaving
        if not self._may_work():
            return self._look_s
        self._looked_at = monotonic()
        next_s = await self._look()
        look_s = self._look_s * random.uniform(0.8, 1.0)
        return look_s if next_s is None else max(0.0, min(look_s, next_s))
