"""Waiting until something arrives, for a while."""

from __future__ import annotations

import asyncio


class Arrival:
    """Wakes all current waiters."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[bool]] = []

    def tell(self) -> None:
        """Wake the waiters: something has arrived."""
        for waiter in self._waiters:
            _settle(waiter, told=True)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for an arrival, at most `timeout_s`. Returns whether it came. Another waiter may take it."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(timeout_s, lambda: _settle(waiter, told=False))
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiters.remove(waiter)


def _settle(waiter: asyncio.Future[bool], *, told: bool) -> None:
    if not waiter.done():
        waiter.set_result(told)
