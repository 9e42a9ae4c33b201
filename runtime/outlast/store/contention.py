"""Limits the callers that wait for one row that may be locked, so that others find room in the pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outlast.core.ports import HeldUp
from outlast.store.gate import NoConnection

LOCK_WAIT = "1s"
"""How long a statement waits for each lock. Other instances hold a row for milliseconds, and a queue's row
for hundreds of them while they decide about it."""


class Contention:
    """Lets at most `places` callers at a time ask for the same row."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._crowds: dict[str, _Crowd] = {}

    @asynccontextmanager
    async def at(self, what: str, timeout_s: float) -> AsyncIterator[None]:
        """Ask for `what` within this block, after the earlier callers.

        Raises HeldUp, without asking, if one of them found it held; NoConnection after `timeout_s`.
        """
        crowd = self._crowds.setdefault(what, _Crowd(asyncio.Semaphore(self._places)))
        found_held = crowd.found_held
        crowd.size += 1
        try:
            async with _in_time(crowd.room, what, timeout_s):
                # guard: each-waits-for-what-is-held
                if crowd.found_held > found_held:
                    raise held_up(what)
                yield
        except HeldUp:
            crowd.found_held += 1
            raise
        finally:
            crowd.size -= 1
            if not crowd.size:
                del self._crowds[what]


@asynccontextmanager
async def _in_time(room: asyncio.Semaphore, what: str, timeout_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            await room.acquire()
    except TimeoutError:
        raise NoConnection(f"others have asked for {what} for {timeout_s:g} s") from None
    try:
        yield
    finally:
        room.release()


@dataclass(slots=True)
class _Crowd:
    room: asyncio.Semaphore
    size: int = 0
    found_held: int = 0
    """How often it was found held."""


def held_up(what: str | None) -> HeldUp:
    """The error of a caller that needed `what`."""
    return HeldUp(
        f"another transaction holds {what or 'what this needs'}, and has not ended within {LOCK_WAIT}: "
        "try again; `outlast doctor` shows which are open for long"
    )
