"""How long this instance may believe that its workflows are its own."""

from __future__ import annotations

import asyncio

from outlast.core.clock import monotonic

MARGIN = 0.1
"""Part of the lease that is given up, for clocks that tick at different speeds."""


class Lease:
    """Trust runs from the moment a renewal was sent, never from its answer.

    `term` counts times of trust without a gap. In a gap others may have taken over whatever was owned
    before: it must be asked for again.
    """

    def __init__(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self.term = 0
        self._trusted_until = 0.0
        self._renewed = asyncio.Event()

    @property
    def trusted(self) -> bool:
        """Whether no other instance can have taken over for want of the lease."""
        return monotonic() < self._trusted_until

    def covers(self, term: int) -> bool:
        """Whether what was owned in that term still is, as far as leases decide."""
        # guard: gap-forgotten = self.trusted
        return term == self.term and monotonic() < self._trusted_until

    def renewed(self, sent_at: float) -> None:
        """A renewal that was sent at `sent_at` (monotonic) has been confirmed."""
        if not self.trusted:
            self.term += 1
        # guard: no-margin = sent_at + self.ttl_s
        self._trusted_until = sent_at + self.ttl_s * (1 - MARGIN)
        self._renewed.set()

    def end(self) -> None:
        """Trust it no more: it is about to be given up."""
        self._trusted_until = 0.0

    async def renewal(self) -> None:
        """Wait for the next renewal."""
        self._renewed.clear()
        await self._renewed.wait()
