"""Gives the embedded database what Supabase's database has: roles, `auth`, default grants."""

from __future__ import annotations

from outlast.store.connections import Database, as_unreachable
from outlast.store.migrations import lock_migrations
from outlast.store.queries import load

_SQL = load("supabase.sql")


async def play_supabase(database: Database) -> bool:
    """Create what is missing, before any migration names it. Returns whether anything was missing.

    Never used for a database that was given: there Supabase does this. Raises Unreachable.
    """
    connection = await database.connect(statement_timeout_s=0)
    async with as_unreachable(), connection:
        row = await (await connection.execute(_SQL["present"])).fetchone()
        if row is not None and row[0]:
            return False
        async with connection.transaction():
            await lock_migrations(connection)
            await connection.execute(_SQL["prepare"])
    return True
