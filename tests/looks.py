"""What a test sees in its database, over connections that are kept for its next look.

To connect and to plan anew costs Postgres five milliseconds, and tests look thousands of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import AsyncConnection, OperationalError
from psycopg.pq import TransactionStatus
from psycopg.rows import RowFactory, tuple_row

_idle: dict[str, list[AsyncConnection[Any]]] = {}


async def look(url: str, query: str, *parameters: Any, rows: RowFactory[Any] = tuple_row) -> list[Any]:
    """What a statement gives. Looks at the same time have connections of their own, and wait for nobody."""
    while kept := _idle.get(url):
        connection = kept.pop()
        try:
            return await _look(url, connection, query, parameters, rows)
        except OperationalError:
            if not connection.closed:
                raise
            # A test has ended it while nobody looked.
    connection = await AsyncConnection.connect(url, autocommit=True, prepare_threshold=None)
    return await _look(url, connection, query, parameters, rows)


async def _look(
    url: str, connection: AsyncConnection[Any], query: str, parameters: Any, rows: RowFactory[Any]
) -> list[Any]:
    try:
        cursor = connection.cursor(row_factory=rows)
        await cursor.execute(query.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []
    finally:
        if url in _idle and connection.info.transaction_status is TransactionStatus.IDLE:
            _idle[url].append(connection)
        else:
            await connection.close()


@contextmanager
def keeping_looks(url: str) -> Iterator[None]:
    """Connections to this database are kept until the end of the block."""
    _idle[url] = []
    try:
        yield
    finally:
        for each in _idle.pop(url):
            each.pgconn.finish()
