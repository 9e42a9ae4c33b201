"""Retention: how long ended workflows are kept. Over the instance's pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outlast.core.ports import Place, Pruned, RetentionStore
from outlast.store.pool import OverPool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

BATCH_ROWS = 500
"""A batch takes about 30 ms in the database, and nobody waits for it."""

_SQL = load("retention.sql")


class PostgresRetention(OverPool, RetentionStore):
    """`RetentionStore`."""

    async def declare(self, keeps: Mapping[str, float | None], served: Sequence[str]) -> None:
        parameters = {"names": list(keeps), "keeps": list(keeps.values()), "served": list(served)}
        await rows_of(self._pool, _SQL["declare"], parameters)

    async def prune(self, keep_s: float, after: Place, most: int = BATCH_ROWS) -> Pruned:
        """See RetentionStore. At most `most` rows."""
        parameters = {"keep_s": keep_s, "most": most, "after_at": after.at, "after_id": after.workflow_id}
        (row,) = await rows_of(self._pool, _SQL["prune"], parameters)
        return Pruned(row["removed"], row["more"], Place(row["next_at"], row["next_id"]))
