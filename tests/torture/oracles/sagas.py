"""Sagas: of one that did not succeed each move of money was moved back, once; of one that did, none."""

from __future__ import annotations

from tests.torture.oracles.violations import Violations
from tests.torture.server import Server

_WRONG = """
select w.workflow_id, w.status, t.label, b.n as moved_back
from outlast.workflow_status w
join torture.transfers t using (workflow_id)
cross join lateral (
  select count(*)::int as n from torture.transfers b
  where b.workflow_id = t.workflow_id and b.label = 'back ' || t.label
) as b
where w.function = 'load/undone' and t.label not like 'back %' and w.status <> 'EXHAUSTED'
  and b.n <> (w.status <> 'SUCCESS')::integer
limit 20
"""
_SEEN = """
select count(*)::int as n from outlast.workflow_status where function = 'load/undone'
"""


class Sagas:
    """Looks once, when all have ended."""

    def __init__(self, server: Server, violations: Violations) -> None:
        self.checks = 0
        self._server = server
        self._violations = violations

    async def look_at_all(self) -> None:
        """Check every saga that there was."""
        (seen,) = await self._server.rows(_SEEN)
        self.checks += seen["n"]
        for row in await self._server.rows(_WRONG):
            self._violations.add("a saga is half undone", row["workflow_id"], repr(row))
