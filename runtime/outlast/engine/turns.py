"""In which order concurrent branches get their results: as recorded on replay, one by one and the same live.

A result is handed over only when the branch that got the one before has come to rest. So a body that asks
which of two steps was first (`as_completed`, `wait`) gets the same answer each time.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Collection
from contextlib import suppress
from contextvars import Context

from outlast.core.clock import monotonic
from outlast.core.replay import History

QUIET_CYCLES = 5
"""Event-loop cycles in which no task of a body went on, after which it is at rest."""

RESTLESS_CYCLES_MAX = 2_000
"""After so many a body isn't waited for: it may be asking in a loop for what it is about to get."""

PATIENCE_S = 5.0
"""So long a result waits for an earlier recorded one that nobody asks for: a body may await much else."""

STRAIGHT_MAX = 100
"""After so many turns without a wait, as a replay has them, everybody else on the event loop has one."""


class Turns:
    """The turnstile of one execution."""

    def __init__(self, history: History, tasks: Collection[object]) -> None:
        """`tasks` are the branches that run now, beside the body itself."""
        self._history = history
        self._tasks = tasks
        self._closed = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._reserved: set[int] = set()
        self._to_give_up: set[int] = set()
        """Recorded cancellations whose calls wait for them."""
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.activity = 0
        self._straight = 0

    def reserve(self, order: int) -> None:
        """Let no later completion pass: another connection may commit this one before its turn comes."""
        # guard: places-not-reserved
        self._reserved.add(order)

    def give_up(self, order: int) -> None:
        """Drop a reserved place."""
        self._reserved.discard(order)
        self._changed.set()

    def close(self) -> None:
        """The execution is over: nobody waits for a turn any more."""
        self._closed = True
        self._changed.set()

    async def take(self, order: int) -> None:
        """Wait for the turn of the completion at `order`.

        A cancellation that arrives meanwhile comes too late to change the outcome. It is delivered where the
        task waits next, live and on replay alike, unless whoever asked for it has taken it back by then: an
        `asyncio.timeout` whose block is left does so.
        """
        # guard: results-without-turns = True
        if not self._waiting and not self._tasks and self._reserved <= {order}:
            self._history.release(order)
            self.give_up(order)
            self._straight += 1
            # guard: replay-holds-the-loop
            if self._straight % STRAIGHT_MAX == 0:
                await self._let_others_run()
        else:
            await self.take_at_rest(order)

    async def take_at_rest(self, order: int) -> None:
        """As `take`, and in any case not before the body has come to rest."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._waiting, (order, turn))
        self.activity += 1
        self.give_up(order)
        if self._task is None:
            # Not in the body's context: a task made there would be a branch of it.
            self._task = loop.create_task(self._serve(), context=Context())
        interrupted = False
        while not turn.done():
            try:
                await asyncio.shield(turn)
            except asyncio.CancelledError:
                if self._closed:
                    raise
                interrupted = True
        if interrupted:
            cancel_later()

    async def _let_others_run(self) -> None:
        """One cycle of the event loop; for a cancellation it is too late, as in any turn."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self._closed:
                raise
            cancel_later()

    async def cancelled_again(self, order: int) -> None:
        """Wait for the cancellation recorded at `order`, and its turn; nothing later passes before it."""
        self.reserve(order)
        self._to_give_up.add(order)
        self._changed.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self._to_give_up.discard(order)
            self.activity += 1
            if not self._closed:
                await self.take(order)
            raise

    async def replayed(self) -> bool:
        """Wait until all that is recorded was handed out.

        False if that waits for a cancellation, and the body, at rest, is not the one to ask for it.
        """
        while (recorded := self._history.next_release()) is not None and not self._closed:
            if recorded not in self._to_give_up:
                await self._change(None)
                continue
            await self._rest()
            if self._history.next_release() == recorded and recorded in self._to_give_up:
                return False
        return True

    async def _serve(self) -> None:
        patient_until = monotonic() + PATIENCE_S
        try:
            while self._waiting and not self._closed:
                # guard: results-at-once
                await self._rest()
                order = self._waiting[0][0]
                if any(reserved < order for reserved in self._reserved):
                    await self._change(None)
                    continue
                recorded = self._history.next_release()
                # guard: recorded-order-ignored
                if recorded is not None and recorded < order:
                    left_s = patient_until - monotonic()
                    if left_s > 0:
                        await self._change(left_s)
                        continue
                order, turn = heapq.heappop(self._waiting)
                self._history.release(order)
                self._changed.set()
                turn.set_result(None)
                patient_until = monotonic() + PATIENCE_S
        finally:
            self._task = None

    async def _change(self, timeout_s: float | None) -> None:
        """Wait until somebody asks for a turn or gives one up."""
        self._changed.clear()
        if self._closed:
            return  # which was told before
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()

    async def _rest(self) -> None:
        quiet = 0
        for _ in range(RESTLESS_CYCLES_MAX):
            seen = self.activity
            await asyncio.sleep(0)
            quiet = quiet + 1 if seen == self.activity else 0
            if quiet == QUIET_CYCLES:
                return


def cancel_later() -> None:
    """Deliver a cancellation that came too late for what this task did, where the task waits next.

    Unless whoever asked for it has taken it back by then.
    """
    task = asyncio.current_task()
    assert task is not None
    task.get_loop().call_soon(_cancel_again, task, task.cancelling())


def _cancel_again(task: asyncio.Task[object], requests: int) -> None:
    """Deliver a cancellation that came during a turn. By now the task waits for something else, or ended."""
    if not task.done() and task.cancelling() >= requests:
        task.uncancel()
        task.cancel()
