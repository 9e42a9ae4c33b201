"""Nothing is stuck: what is owned or due moves on within a bound, and in the end all have ended."""

from __future__ import annotations

import asyncio

from tests.torture.clients import Told
from tests.torture.oracles.violations import Violations
from tests.torture.server import Server

STUCK_S = 60
"""So long a workflow may be owned, or due and not claimed, while faults rage; it would take 3 s at most."""

# Two queries, so that each goes by its partial index.
_STUCK = """
(select workflow_id, owner, epoch, recovery_attempts, updated_at::text as since, claimable_at::text as due
from outlast.workflow_status
where owner is not null and updated_at < now() - make_interval(secs => %(bound)s) limit 20)
union all
(select workflow_id, owner, epoch, recovery_attempts, updated_at::text as since, claimable_at::text as due
from outlast.workflow_status
where owner is null and claimable_at < now() - make_interval(secs => %(bound)s) limit 20)
"""
_LEFT = """
select workflow_id, status, owner, epoch, recovery_attempts, claimable_at::text as due,
  updated_at::text as since
from outlast.workflow_status
where owner is not null or status in ('ENQUEUED', 'PENDING') or claimable_at is not null
order by updated_at limit 50
"""
_UNKNOWN = """
select id from unnest(%(ids)s::text[]) as id
where not exists (select from outlast.workflow_status w where w.workflow_id = id) limit 20
"""


class Liveness:
    """Looks at what hasn't ended."""

    def __init__(self, server: Server, told: Told, violations: Violations) -> None:
        self.checks = 0
        self._server = server
        self._told = told
        self._violations = violations

    async def look(self) -> None:
        """Check while faults rage."""
        self.checks += 1
        for row in await self._server.rows(_STUCK, {"bound": STUCK_S}):
            what = "owned for too long" if row["owner"] else "due and claimed by nobody"
            self._violations.add(what, row["workflow_id"], repr(row))

    async def all_end(self, within_s: float) -> float:
        """After all is healed: wait until every workflow has ended; how long that took."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while left := await self._server.rows(_LEFT):
            if loop.time() - began > within_s:
                for row in left:
                    self._violations.add("a workflow has not ended", row["workflow_id"], repr(row))
                break
            await asyncio.sleep(0.3)
        self.checks += 1
        return loop.time() - began

    async def none_lost(self) -> None:
        """Every workflow that a caller was told of is there."""
        ids = sorted(self._told.accepted)
        for start in range(0, len(ids), 5_000):
            self.checks += 1
            for row in await self._server.rows(_UNKNOWN, {"ids": ids[start : start + 5_000]}):
                self._violations.add("an accepted workflow is lost", row["id"], "no such row")
