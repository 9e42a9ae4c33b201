"""Statements that may be run twice: a pooled connection may have died unnoticed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any, TypeVar

from psycopg import AsyncCursor
from psycopg.errors import LockNotAvailable, QueryCanceled
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composed

from outlast.core.ports import TookTooLong, Unreachable
from outlast.store.connections import CONFLICTS, GIVEN_UP, AsyncConn, as_unreachable
from outlast.store.contention import LOCK_WAIT, held_up
from outlast.store.gate import NoConnection
from outlast.store.pool import Pool

TRIES = 3
WAIT_S = 3.0
"""How long to wait for a connection. A caller waits for the answer: better to fail soon."""

_PATIENCE = "select set_config('lock_timeout', %s, true)"
_LIMIT = "select set_config('statement_timeout', %s, true)"
T = TypeVar("T")
Row = TypeVar("Row")


async def rows_of(
    pool: Pool,
    statement: SQL | Composed,
    parameters: dict[str, Any],
    of: str | None = None,
    limit_s: float | None = None,
) -> list[dict[str, Any]]:
    """The rows of `statement`, which waits at most LOCK_WAIT for a lock.

    `of` names the row that it needs, if many callers may ask for the same one. After `limit_s` the server
    cancels it, and nothing was done. Raises Unreachable, HeldUp, and the errors of the statement itself.
    """

    async def do(connection: AsyncConn) -> list[dict[str, Any]]:
        async with limited_locks(connection):
            if limit_s is None:
                return await fetched(connection, statement, parameters)
            async with connection.transaction():
                # guard: ticks-without-end
                await connection.execute(_LIMIT, (f"{limit_s * 1000:.0f}ms",))
                return await fetched(connection, statement, parameters)

    return await repeat(pool, do, of)


async def rows_read(pool: Pool, statement: SQL, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Like `rows_of`, for a statement that only reads: it waits for no row lock."""

    async def read(connection: AsyncConn) -> list[dict[str, Any]]:
        return await fetched(connection, statement, parameters)

    return await repeat(pool, read)


async def fetched(
    connection: AsyncConn, statement: SQL | Composed, parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    """The rows of `statement`, on this connection."""
    cursor = connection.cursor(row_factory=dict_row)
    await cursor.execute(statement, parameters)
    return await cursor.fetchall()


@asynccontextmanager
async def limited_locks(connection: AsyncConn) -> AsyncIterator[None]:
    """Statements within wait at most LOCK_WAIT for a lock.

    In a session this was set when it was opened.
    """
    if connection.kind.sessions:
        yield
        return
    async with connection.transaction():
        # guard: rows-waited-for-behind-a-pooler
        await connection.execute(_PATIENCE, (LOCK_WAIT,))
        yield


async def rows_within(
    pool: Pool, statement: SQL, parameters: dict[str, Any], bytes_max: int, limit_s: float | None = None
) -> tuple[list[dict[str, Any]], bool]:
    """The first rows, whose texts have at most `bytes_max` characters, and whether others follow.

    There is always one row, however large. At most one row beyond `bytes_max` is in memory. Raises like
    `rows_of`. After `limit_s` the server cancels the statement, and TookTooLong is raised.
    """

    async def read(connection: AsyncConn) -> tuple[list[dict[str, Any]], bool]:
        if limit_s is None:
            return await read_on(connection)
        try:
            async with connection.transaction():
                # guard: searches-without-end
                await connection.execute(_LIMIT, (f"{limit_s * 1000:.0f}ms",))
                return await read_on(connection)
        except QueryCanceled as error:
            raise TookTooLong(str(error)) from error

    async def read_on(connection: AsyncConn) -> tuple[list[dict[str, Any]], bool]:
        rows: list[dict[str, Any]] = []
        size = 0
        async with streamed(
            connection, connection.cursor(row_factory=dict_row), statement, parameters
        ) as found:
            async for row in found:
                size += sum(len(value) for value in row.values() if isinstance(value, str))
                # guard: answers-without-bound
                if rows and size > bytes_max:
                    return rows, True
                rows.append(row)
        return rows, False

    return await repeat(pool, read)


@asynccontextmanager
async def streamed(
    connection: AsyncConn, cursor: AsyncCursor[Row], statement: SQL, parameters: dict[str, Any]
) -> AsyncIterator[AsyncIterator[Row]]:
    """The rows of `statement` as the server sends them.

    A caller that stops before the last row ends the connection: the remaining rows are neither read nor
    waited for.
    """
    rows = cursor.stream(statement, parameters)
    try:
        yield rows
    finally:
        if connection.pgconn.transaction_status == TransactionStatus.ACTIVE:
            await connection.close()
        await rows.aclose()  # type: ignore[attr-defined]  # it is a generator


async def repeat(pool: Pool, do: Callable[[AsyncConn], Awaitable[T]], of: str | None = None) -> T:
    """The result of `do`, which may be run several times. `of` and the errors: as for `rows_of`."""
    async with nullcontext() if of is None else pool.contention.at(of, WAIT_S):
        for attempt in range(1, TRIES + 1):
            try:
                async with (
                    as_unreachable(),
                    pool.connection(WAIT_S) as connection,
                    connection.with_settings(),
                ):
                    return await do(connection)
            except CONFLICTS as error:
                if attempt == TRIES:
                    raise Unreachable(str(error)) from error
            except NoConnection:
                raise
            except Unreachable as error:
                # An earlier try that was cut off may have succeeded.
                # guard: held-though-in-doubt without 1
                if attempt == 1 and isinstance(error.__cause__, LockNotAvailable):
                    raise held_up(of) from error.__cause__
                # guard: given-up-repeated without 2
                if attempt == TRIES or isinstance(error.__cause__, GIVEN_UP):
                    raise
        raise AssertionError("unreachable")
