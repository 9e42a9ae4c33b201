"""How long this instance may believe that its workflows are its own."""

from __future__ import annotations

import asyncio

from outlast.core.clock import monotonic

MARGIN = 0.1
"""Part of the lease that is given up, for clocks that tick at different speeds."""


class Lease:
    """Trust runs from the moment a renewal was sent, never from its answer."""

    def __init__(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self._trusted_until = 0.0
        self._renewed = asyncio.Event()

    @property
    def trusted(self) -> bool:
        """Whether no other instance can have taken over by now."""
        return monotonic() < self._trusted_until

    def renewed(self, sent_at: float) -> None:
        """A renewal that was sent at `sent_at` (monotonic) has been confirmed."""
        self._trusted_until = sent_at + self.ttl_s * (1 - MARGIN)
        self._renewed.set()

    async def trust(self) -> None:
        """Wait until the lease may be trusted. Work that was taken over meanwhile is told by its fence."""
        while not self.trusted:
            self._renewed.clear()
            await self._renewed.wait()
