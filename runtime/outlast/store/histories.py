"""Histories to be replayed elsewhere, read over a connection of their own that can't write."""

from __future__ import annotations

from collections.abc import AsyncIterator

from outlast.store.connections import Database, as_unreachable
from outlast.store.queries import load

OPEN_MAX = 100_000
"""No more open workflows are read."""

_SQL = load("histories.sql")


async def histories(database: Database, sample: int) -> AsyncIterator[str]:
    """Each open workflow with its records as JSON, and a sample of ended ones. Raises Unreachable."""
    connection = await database.connect(statement_timeout_s=0)
    async with as_unreachable(), connection:
        await connection.execute("set default_transaction_read_only = on")
        cursor = connection.cursor()
        async for (history,) in cursor.stream(_SQL["histories"], {"sample": sample, "most": OPEN_MAX}):
            yield history
