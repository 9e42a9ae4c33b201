"""Reads histories that are replayed elsewhere, over a read-only connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

from outlast.store.connections import Database, as_unreachable
from outlast.store.migrations import applied_over
from outlast.store.queries import load

_SQL = load("histories.sql")
_READING = (
    "select set_config('transaction_read_only', 'on', true), set_config('statement_timeout', '0', true)"
)


async def histories(database: Database, sample: int, most: int) -> AsyncIterator[str]:
    """The `most` oldest open workflows with their records as JSON, and a sample of ended ones.

    Nothing if there is no schema yet. Raises Unreachable and RowsHidden.
    """
    connection = await database.connect()
    async with as_unreachable(), connection, connection.transaction():
        # Set for the transaction, not for the session: a pooler would give that session to other clients.
        # guard: pooled-read-only = await connection.execute("set default_transaction_read_only = on")
        await connection.execute(_READING)
        cursor = connection.cursor()
        (known,) = await anext(cursor.stream(_SQL["schema"]))
        if known is None:
            return
        found = False
        async for (history,) in cursor.stream(_SQL["histories"], {"sample": sample, "most": most}):
            found = True
            yield history
        if not found:
            await applied_over(connection)
