"""The backoff of an instance: every connection that it opens goes through here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from outlast.core.clock import monotonic
from outlast.core.observations import DatabaseRefused, Observer
from outlast.core.ports import Unreachable
from outlast.store.remedies import remedy_for

T = TypeVar("T")

RETRY_MIN_S, RETRY_MAX_S = 0.1, 2.0
"""The pauses between attempts: short enough that other instances don't take this one for dead."""

REFUSED_S = (1.0, 5.0, 15.0, 30.0, 60.0)
"""The pauses after refusals: Supabase's pooler blocks a client after ten wrong passwords in five minutes."""

_CUT_SHORT_S = 1.0
"""An attempt that is cancelled after this time counts as failed."""


class NoConnection(Unreachable):
    """There was no connection, so nothing was sent. `held`: no attempt was made, nor will be soon."""

    def __init__(self, message: str, *, held: bool = False) -> None:
        super().__init__(message)
        self.held = held


class Gate:
    """While connecting works, all connect at once. After a failure only one at a time, with growing pauses.

    The first success lets all waiting callers through. A failure is raised in all of them.
    """

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._failures = self._refusals = 0
        self._failed_at = self._due_at = 0.0
        self._error = ""
        self._told: str | None = None
        self._attempt: asyncio.Future[None] | None = None

    async def run(self, connect: Callable[[], Awaitable[T]]) -> T:
        """The result of `connect`, which raises Unreachable. Raises NoConnection."""
        if not self._failures:
            return await self._try(connect)
        if self._attempt is not None:
            await asyncio.wait([self._attempt])
            if self._failures:
                raise NoConnection(self._error)
            return await self._try(connect)
        attempt = self._attempt = asyncio.get_running_loop().create_future()
        try:
            await self._wait_until_due()
            return await self._try(connect)
        finally:
            self._attempt = None
            attempt.set_result(None)

    async def _wait_until_due(self) -> None:
        left_s = self._due_at - monotonic()
        if left_s > RETRY_MAX_S:
            raise NoConnection(f"{self._error} (tried again in {left_s:.0f} s)", held=True)
        await asyncio.sleep(max(0.0, left_s))

    async def _try(self, connect: Callable[[], Awaitable[T]]) -> T:
        began = monotonic()
        try:
            connection = await connect()
        except Unreachable as error:
            self._note_failure(began, str(error))
            raise NoConnection(str(error)) from error
        except asyncio.CancelledError:
            if monotonic() - began > _CUT_SHORT_S:
                self._note_failure(began, "the server does not answer")
            raise
        self._failures = self._refusals = 0
        self._told = None
        return connection

    def _note_failure(self, began: float, error: str) -> None:
        """Count a failure. Attempts that ran at the same time count once."""
        remedy = remedy_for(error)
        self._error = error
        if remedy is not None and remedy.text != self._told:
            self._told = remedy.text
            self._observe(DatabaseRefused(error, remedy.text))
        if self._failures and began < self._failed_at:
            return
        self._failed_at = monotonic()
        self._failures += 1
        if remedy is not None and remedy.refused:
            self._refusals += 1
            pause_s = REFUSED_S[min(self._refusals, len(REFUSED_S)) - 1] * random.uniform(1.0, 1.25)
        elif self._failures == 1:
            pause_s = 0.0  # the cause that ended the last connection may be over
        else:
            ceiling = min(RETRY_MAX_S, RETRY_MIN_S * 2 ** min(self._failures - 2, 10))
            pause_s = random.uniform(ceiling / 2, ceiling)
        self._due_at = self._failed_at + pause_s
