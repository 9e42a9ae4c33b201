"""Which instances count as dead because their database sessions are gone, although their leases still run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outlast.core.background import RETRY
from outlast.core.claims import LostInstance
from outlast.core.clock import monotonic

LOOK_AGAIN_S = 0.13
"""How soon to look again at a session that was seen gone."""

LOOKS = 3
"""A session must be seen gone so often. An instance that lost only its session is back by then.

Looks are counted, not the time they take: a machine that is too busy to come back in time delays them too.
"""

LOOKS_AFTER_RESTART = LOOKS + round(1.5 * RETRY.backoff_max_s / LOOK_AGAIN_S)
"""The same after a restart of Postgres: live instances come back only at the pace of their retries."""

_APART_S = 0.8 * LOOK_AGAIN_S
"""Looks with less time between them count as one."""


@dataclass(slots=True)
class _Suspicion:
    looks: int
    looked_at: float


class Suspicions:
    """What this instance has seen of the others. A renewed lease clears its holder."""

    def __init__(self) -> None:
        self._by_lease: dict[tuple[str, float], _Suspicion] = {}

    def __bool__(self) -> bool:
        """Whether any session was seen gone."""
        return bool(self._by_lease)

    def look(self, lost: Sequence[LostInstance]) -> list[LostInstance]:
        """Take in all instances that look lost now. Returns those that are surely dead."""
        now = monotonic()
        before, self._by_lease = self._by_lease, {}
        dead = []
        for each in lost:
            if each.expired:
                dead.append(each)
                continue
            lease = (each.instance_id, each.lease_until_s)
            suspicion = before.get(lease) or _Suspicion(1, now)
            if now - suspicion.looked_at >= _APART_S:
                suspicion.looks += 1
                suspicion.looked_at = now
            self._by_lease[lease] = suspicion
            # guard: recovers-at-first-sight = suspicion.looks >= 1
            if suspicion.looks >= (LOOKS_AFTER_RESTART if each.restarted else LOOKS):
                dead.append(each)
        return dead
