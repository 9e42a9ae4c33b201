"""The embedded database made anew: empty, as after its first start. Never one that was given."""

from __future__ import annotations

from outlast.store.connections import Database, as_unreachable
from outlast.store.queries import load

_SQL = load("reset.sql")


async def reset(maintenance: Database) -> bool:
    """Drop and make `postgres`, over a connection to another database of the server. Raises Unreachable.

    False, and nothing done, while instances serve from it.
    """
    connection = await maintenance.connect(statement_timeout_s=0)
    async with as_unreachable(), connection:
        row = await (await connection.execute(_SQL["instances"], {})).fetchone()
        if row is not None and row[0]:
            return False
        await connection.execute(_SQL["drop"])
        await connection.execute(_SQL["create"])
    return True
