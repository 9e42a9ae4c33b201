"""How long this instance may trust that it still owns its workflows."""

from __future__ import annotations

import asyncio

from outlast.core.clock import monotonic

MARGIN = 0.1
"""The part of the lease that isn't used, because clocks tick at different speeds."""


class Lease:
    """The lease of this instance. Trust counts from when a renewal was sent, never from when it was answered.

    `term` counts the periods of trust without a gap. In a gap, others may have taken over all workflows that
    were owned before. This instance must then ask which it still owns.
    """

    def __init__(self, ttl_s: float) -> None:
        self.ttl_s = ttl_s
        self.term = 0
        self._trusted_until = 0.0
        self._renewed = asyncio.Event()

    @property
    def trusted(self) -> bool:
        """Whether the lease is surely valid, so that no other instance can have taken over."""
        return monotonic() < self._trusted_until

    def covers(self, term: int) -> bool:
        """Whether workflows owned in `term` still are, as far as the lease decides."""
        # guard: gap-forgotten = self.trusted
        return term == self.term and monotonic() < self._trusted_until

    def renewed(self, sent_at: float) -> None:
        """A renewal that was sent at `sent_at` (monotonic) was confirmed."""
        if not self.trusted:
            self.term += 1
        # guard: no-margin = sent_at + self.ttl_s
        self._trusted_until = sent_at + self.ttl_s * (1 - MARGIN)
        self._renewed.set()

    def end(self) -> None:
        """Stop trusting the lease: it is about to be given up."""
        self._trusted_until = 0.0

    async def renewal(self) -> None:
        """Wait for the next renewal."""
        self._renewed.clear()
        await self._renewed.wait()
