"""In which order concurrent branches get their results: as recorded on replay, one by one and the same live.

A result is handed over only when the branch that got the one before has come to rest. So a body that asks
which of two steps was first (`as_completed`, `wait`) gets the same answer each time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from contextvars import Context

from outlast.core.replay import History

QUIET_CYCLES = 5
"""Event-loop cycles without any call, task or end of task after which a body is at rest."""

PATIENCE = 3
"""Rests that a result waits for an earlier recorded one nobody asks for any more."""


class Turns:
    """The turnstile of one execution."""

    def __init__(self, history: History, alone: Callable[[], bool], stopped: Callable[[], bool]) -> None:
        self._history = history
        self._alone = alone
        self._stopped = stopped
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._reserved: set[int] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.activity = 0

    def reserve(self, order: int) -> None:
        """Keep the place of a completion that another connection may commit before its turn comes."""
        self._reserved.add(order)

    def give_up(self, order: int) -> None:
        """Drop a reserved place that came to nothing."""
        self._reserved.discard(order)
        self._changed.set()

    async def take(self, order: int) -> None:
        """Wait for the turn of the completion at `order`.

        A cancellation that arrives meanwhile comes too late to change the outcome: it is delivered at the
        next await instead, live and on replay alike.
        """
        if not self._waiting and self._alone():
            self._history.release(order)
            self.give_up(order)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (order, turn))
        self.activity += 1
        self.give_up(order)
        if self._task is None:
            # Not in the body's context: a task made there would be a branch of it.
            self._task = asyncio.get_running_loop().create_task(self._serve(), context=Context())
        interrupted = False
        while not turn.done():
            try:
                await asyncio.shield(turn)
            except asyncio.CancelledError:
                if self._stopped():
                    raise
                interrupted = True
        if interrupted and (task := asyncio.current_task()) is not None:
            task.uncancel()
            task.cancel()

    async def _serve(self) -> None:
        patience = PATIENCE
        try:
            while self._waiting and not self._stopped():
                await self._rest()
                order = self._waiting[0][0]
                if any(reserved < order for reserved in self._reserved):
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                recorded = self._history.next_release()
                if recorded is not None and recorded < order and patience:
                    patience -= 1
                    continue
                patience = PATIENCE
                order, turn = heapq.heappop(self._waiting)
                self._history.release(order)
                if not turn.done():
                    turn.set_result(None)
        finally:
            self._task = None

    async def _rest(self) -> None:
        quiet = 0
        while quiet < QUIET_CYCLES:
            seen = self.activity
            await asyncio.sleep(0)
            quiet = quiet + 1 if seen == self.activity else 0
