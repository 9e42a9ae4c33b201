"""The database part of `outlast db status`, `prune` and `reset`, each over its own connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from outlast.core.ports import Place
from outlast.store.connections import Database, as_unreachable
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.retention import BATCH_ROWS, PostgresRetention

COUNT_MAX = 100_000
"""At most so many rows of a status are counted: counting a large table takes minutes."""

_SQL = load("upkeep.sql")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The sizes of tables, counts by status and the oldest rows, as plain data."""

    tables: list[dict[str, Any]]
    counts: list[dict[str, Any]]
    oldest: dict[str, Any]


async def upkeep(database: Database) -> Upkeep:
    """The sizes and ages in the database. The schema must exist. Raises Unreachable."""
    connection = await database.connect(statement_timeout_s=60)
    async with as_unreachable(), connection, connection.cursor(row_factory=dict_row) as cursor:
        found = []
        for name in ("tables", "counts", "oldest"):
            await cursor.execute(_SQL[name], {"most": COUNT_MAX})
            found.append(await cursor.fetchall())
    return Upkeep(found[0], found[1], found[2][0])


async def prunable(database: Database, keep_s: float) -> list[dict[str, Any]]:
    """The numbers of workflows that would be removed now, by function. Raises Unreachable."""
    connection = await database.connect(statement_timeout_s=0)
    async with as_unreachable(), connection, connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["prunable"], {"keep_s": keep_s})
        return await cursor.fetchall()


async def prune(database: Database, keep_s: float, most: int = BATCH_ROWS) -> int:
    """Remove all workflows that were kept for long enough. Returns their number. Raises Unreachable."""
    pool = Pool(database, 1)
    try:
        store, removed, after = PostgresRetention(pool), 0, Place()
        while True:
            batch = await store.prune(keep_s, after, most)
            removed, after = removed + batch.removed, batch.after
            if not batch.more:
                return removed
    finally:
        await pool.close()


async def reset(maintenance: Database) -> bool:
    """Drop and create `postgres`, over a connection to another database of the server. Raises Unreachable.

    Only for the embedded server, never for a given one. Returns False, and does nothing, while instances
    serve from it.
    """
    connection = await maintenance.connect(statement_timeout_s=0)
    async with as_unreachable(), connection:
        row = await (await connection.execute(_SQL["instances"], {})).fetchone()
        if row is not None and row[0]:
            return False
        await connection.execute(_SQL["drop"])
        await connection.execute(_SQL["create"])
    return True
