"""What metrics ask the database for, over the instance's pool."""

from __future__ import annotations

from outlast.core.measures import Measures
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("measures.sql")


class PostgresMeasures:
    """Reads them by one query."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self) -> Measures:
        """How things stand. Raises Unreachable."""
        (row,) = await rows_of(self._pool, _SQL["measures"], {})
        return Measures(**{name: [tuple(each) for each in found] for name, found in row.items()})
