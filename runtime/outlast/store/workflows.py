"""Reading and cancelling workflows, over the instance's pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from outlast.core.ports import Unreachable
from outlast.core.records import Standing
from outlast.core.status import Status
from outlast.store.connections import AsyncConn, away
from outlast.store.queries import load

_SQL = load("workflows.sql")
_READ_TRIES = 2


@dataclass(frozen=True, slots=True)
class Filters:
    """Which workflows a listing shows. Dates are aware; `after` is the last row of the page before."""

    function: str | None = None
    statuses: Sequence[Status] | None = None
    queue: str | None = None
    parent: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    attribute: tuple[str, str] | None = None
    after: tuple[datetime, str] | None = None
    limit: int = 100


class PostgresWorkflows:
    """`WorkflowStore`, and what the management pages read."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConn]) -> None:
        self._pool = pool

    async def standing(self, ids: Sequence[str]) -> dict[str, Standing]:
        """See WorkflowStore."""
        return _standings(await self._rows("standing", {"ids": list(ids)}))

    async def ended(self, ids: Sequence[str]) -> dict[str, Standing]:
        """See WorkflowStore."""
        return _standings(await self._rows("ended", {"ids": list(ids)}))

    async def cancel(self, workflow_id: str) -> bool:
        """See WorkflowStore."""
        return bool(await self._rows("cancel", {"workflow_id": workflow_id}))

    async def show(self, workflow_id: str) -> dict[str, Any] | None:
        """All columns that people may see of one workflow. Raises Unreachable."""
        rows = await self._rows("show", {"workflow_id": workflow_id})
        return rows[0] if rows else None

    async def list(self, filters: Filters) -> list[dict[str, Any]]:
        """A page of workflows, newest first. Raises Unreachable."""
        attribute, value = filters.attribute or (None, None)
        after_created, after_id = filters.after or (None, None)
        parameters = {
            "function": filters.function,
            "status": list(filters.statuses) if filters.statuses else None,
            "queue": filters.queue,
            "parent": filters.parent,
            "since": filters.since,
            "until": filters.until,
            "attribute": attribute,
            "attribute_value": value,
            "after_created": after_created,
            "after_id": after_id,
            "limit": filters.limit,
        }
        return await self._rows("list", parameters)

    async def steps(self, workflow_id: str) -> list[dict[str, Any]]:
        """Recorded steps in order of completion. Raises Unreachable."""
        return await self._rows("steps", {"workflow_id": workflow_id})

    async def steps_after(self, workflow_id: str, order: int) -> list[dict[str, Any]]:
        """Completions later than the `order`-th. Raises Unreachable."""
        return await self._rows("steps_after", {"workflow_id": workflow_id, "after": order})

    async def _rows(self, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """Run a statement that may be run twice: a pooled connection may have died unseen."""
        for attempt in range(1, _READ_TRIES + 1):
            try:
                async with away(), self._pool.connection() as connection:
                    cursor = connection.cursor(row_factory=dict_row)
                    await cursor.execute(_SQL[query], parameters)
                    return await cursor.fetchall()
            except Unreachable:
                if attempt == _READ_TRIES:
                    raise
        raise AssertionError("unreachable")


def _standings(rows: list[dict[str, Any]]) -> dict[str, Standing]:
    return {row["workflow_id"]: Standing(**{**row, "status": Status(row["status"])}) for row in rows}
