"""Bulks on Postgres, over the instance's pool."""

from __future__ import annotations

from outlast.core import faults
from outlast.core.ports import BulkStore
from outlast.core.records import BulkRan
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("bulks.sql")


class PostgresBulks(BulkStore):
    """`BulkStore`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self) -> BulkRan:
        (row,) = await rows_of(self._pool, _SQL["run"], {})
        if row["ran"] is not None:
            faults.reach("bulk.after_commit")
        return BulkRan(row["ran"], row["next_s"])
