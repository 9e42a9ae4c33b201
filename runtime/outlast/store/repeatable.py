"""Statements that may be run twice: a pooled connection may have died unseen."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row
from psycopg.sql import SQL

from outlast.core.ports import Unreachable
from outlast.store.connections import CONFLICTS, away
from outlast.store.gate import NoConnection
from outlast.store.pool import Pool

TRIES = 3
WAIT_S = 3.0
"""For a connection. Who asks is waited for, and is better told soon that the database is away."""


async def rows_of(pool: Pool, statement: SQL, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `statement`. Raises Unreachable, and what Postgres thinks of the statement."""
    for attempt in range(1, TRIES + 1):
        try:
            async with away(), pool.connection(WAIT_S) as connection, connection.settled():
                cursor = connection.cursor(row_factory=dict_row)
                await cursor.execute(statement, parameters)
                return await cursor.fetchall()
        except CONFLICTS as error:
            if attempt == TRIES:
                raise Unreachable(str(error)) from error
        except NoConnection:
            raise
        except Unreachable:
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")
