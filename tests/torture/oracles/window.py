"""What was committed since the last look: rows of the audit whose transactions are over, as committed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.torture.server import Server

Row = dict[str, Any]

_UP_TO = "select pg_snapshot_xmin(pg_current_snapshot())::text as xmin"

_CHANGES = """
select c.*, c.xid::text as tx, extract(epoch from pg_xact_commit_timestamp(c.xid::xid))::float8 as at_s
from torture.changes c where c.xid >= %(low)s::xid8 and c.xid < %(high)s::xid8
order by pg_xact_commit_timestamp(c.xid::xid), c.n
"""

# Who owned the workflow at the moment of the commit: the newest change of it that was committed before, by
# another transaction. Whoever holds its row (`for share`) while it writes is dated before any takeover.
_RECORDS = """
select r.workflow_id, r.step_id, r.name, r.change, r.app, r.complete_before, r.xid::text as tx,
  extract(epoch from w.committed)::float8 as at_s, c.owner, c.epoch, c.status,
  extract(epoch from c.committed)::float8 as changed_s
from torture.records r
cross join lateral (select pg_xact_commit_timestamp(r.xid::xid) as committed) w
left join lateral (
  select c.owner, c.epoch, c.status, pg_xact_commit_timestamp(c.xid::xid) as committed
  from torture.changes c
  where c.workflow_id = r.workflow_id and c.xid <> r.xid
    and pg_xact_commit_timestamp(c.xid::xid) < w.committed
  order by pg_xact_commit_timestamp(c.xid::xid) desc, c.n desc
  limit 1
) c on true
where r.xid >= %(low)s::xid8 and r.xid < %(high)s::xid8
order by w.committed, r.n
"""


@dataclass(frozen=True)
class Window:
    """Rows of `torture.changes` and `torture.records` of transactions that were committed."""

    low: str
    high: str
    changes: list[Row]
    records: list[Row]


class Windows:
    """One after the other, without a gap: a transaction is in the first that begins after its end."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._low = "0"

    async def next(self) -> Window:
        """What is new. Waits while the server is away."""
        high = (await self._server.rows(_UP_TO))[0]["xmin"]
        span = {"low": self._low, "high": high}
        changes = await self._server.rows(_CHANGES, span)
        records = await self._server.rows(_RECORDS, span)
        low, self._low = self._low, high
        return Window(low, high, changes, records)
