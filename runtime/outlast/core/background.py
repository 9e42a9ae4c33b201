"""What every background loop needs: one round at a time, woken, retried with backoff, observed, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from outlast.core.clock import monotonic
from outlast.core.observations import DatabaseFound, DatabaseLost, LoopFailed, Observer
from outlast.core.ports import HeldUp, Unreachable
from outlast.core.retry import RetryPolicy

RETRY = RetryPolicy(backoff_s=0.1, backoff_max_s=2.0)
"""The pauses between failed rounds. The first retry comes at once, since a lost connection is replaced."""

LAST_ROUND_S = 1.0
"""How long the last round may take at shutdown. It may be releasing what it claimed."""

CANCEL_AGAIN_S = 0.5
_NEVER = float("inf")

Round = Callable[[], Awaitable[float | None]]
"""Does one round. Returns in how many seconds the next one is due; None: only when it is woken."""


class Loop:
    """Runs one round at a time, from `open` to `close`, whatever a round raises.

    A wake during a round leads to another round. After a failure only `close` shortens the pause. The first
    part of a round, before its first `await`, runs one cycle of the event loop after the wake. So requests
    that are made together are handled together.
    """

    def __init__(
        self,
        name: str,
        do_round: Round,
        observe: Observer,
        *,
        retry: RetryPolicy = RETRY,
        repeats: bool = True,
        tells_absence: bool = False,
    ) -> None:
        """`repeats`: whether a failed round is done again, because its work is still to be done.

        `tells_absence`: whether this loop tells of a lost database; otherwise another loop does.
        """
        self.closing = False
        """Whether it was told to end. A long round checks this now and then."""
        self.resumes_at = 0.0
        """No round begins before this time (core.clock.monotonic)."""
        self._name = name
        self._do_round = do_round
        self._observe = observe
        self._retry = retry
        self._repeats = repeats
        self._tells_absence = tells_absence
        self._wake_at = _NEVER
        self._sleeper: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._told = ""
        self._away_since: float | None = None

    @property
    def failing(self) -> bool:
        """Whether the last round failed."""
        return self._failures > 0

    @property
    def asleep(self) -> bool:
        """Whether it waits for its next round, and hasn't been woken."""
        return self._sleeper is not None and not self._sleeper.done()

    def open(self) -> None:
        """Start, with a round at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"outlast-{self._name}")

    async def close(self, patience_s: float = 0.0) -> None:
        """Stop for good. A running round is cancelled after `patience_s`. May be called again."""
        self.closing = True
        self._end_sleep()
        if self._task is not None:
            if patience_s:
                await asyncio.wait([self._task], timeout=patience_s)
            await end_tasks([self._task])

    def wake(self, at: float | None = None) -> None:
        """Run a round at `at` (core.clock.monotonic), or at once, unless one is due before."""
        at = monotonic() if at is None else at
        if at < self._wake_at:
            self._wake_at = at
            self._end_sleep()

    def relent(self) -> None:
        """Let pauses grow from the shortest again: the cause of the failures is over."""
        # guard: loop-that-never-relents
        self._failures = min(self._failures, 1)

    async def _run(self) -> None:
        while not self.closing:
            # Cleared before the round: a wake while it runs is for the next one.
            # guard: wake-without-end
            if self._wake_at <= monotonic():
                self._wake_at = _NEVER
            try:
                pause_s = await self._do_round()
            except asyncio.CancelledError as error:
                assert self._task is not None
                # guard: loop-ends-with-what-it-waits-for = True
                if self._task.cancelling():
                    raise
                next_at = self._failed(error)
            # guard: loop-ends-at-a-failure
            except Exception as error:  # noqa: BLE001 - the loop must go on; it tells what happened
                next_at = self._failed(error)
            else:
                if self._failures:
                    self._recovered()
                next_at = _NEVER if pause_s is None else monotonic() + pause_s
            await self._sleep(next_at)

    async def _sleep(self, until: float) -> None:
        while (left_s := max(self.resumes_at, min(until, self._wake_at)) - monotonic()) > 0:
            # guard: loop-that-does-not-end
            if self.closing:
                return
            loop = asyncio.get_running_loop()
            self._sleeper = loop.create_future()
            timer = None if left_s == _NEVER else loop.call_later(left_s, self._end_sleep)
            try:
                await self._sleeper
            finally:
                self._sleeper = None
                if timer is not None:
                    timer.cancel()
        # guard: loop-without-turns
        await asyncio.sleep(0)

    def _end_sleep(self) -> None:
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def _failed(self, error: BaseException) -> float:
        self._failures += 1
        # guard: held-taken-for-away without 2
        if not isinstance(error, Unreachable) or isinstance(error, HeldUp):
            # guard: loop-fails-again-and-again = (told := repr(error))
            if (told := repr(error)) != self._told:
                self._observe(LoopFailed(self._name, told))
            self._told = told
        elif self._tells_absence and self._away_since is None:
            self._away_since = monotonic()
            self._observe(DatabaseLost(self._name, str(error)))
        pause_s = self._retry.wait_s(self._failures - 1) if self._failures > 1 else 0.0
        # guard: loop-without-backoff = monotonic()
        self.resumes_at = monotonic() + pause_s
        # guard: rounds-for-nothing = self.resumes_at
        return self.resumes_at if self._repeats else _NEVER

    def _recovered(self) -> None:
        self._failures, self._told = 0, ""
        if self._away_since is not None:
            away_s, self._away_since = monotonic() - self._away_since, None
            self._observe(DatabaseFound(away_s))


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait until they have ended.

    They are cancelled repeatedly: before Python 3.12 `asyncio.wait_for`, which the driver uses, loses a
    cancellation that coincides with a result.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN_S)
