"""Transactions under the caller's Postgres role and claims, so that row-level security applies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncClientCursor
from psycopg.rows import TupleRow

from outlast.core.callers import Caller
from outlast.core.errors import UsageError
from outlast.store.borrowed import ENDED_BY_BODY
from outlast.store.connections import AsyncConn
from outlast.store.queries import load

_SQL = load("callers.sql")
_UNDO_S = 5.0

# Each is one message with several statements, so one round trip. psycopg parses bytes only once.
_BEGIN = (_SQL["clean"] + _SQL["restore"] + _SQL["own_locks"]).as_bytes()
_LEAVE = (_SQL["settle"] + _SQL["clean"] + _SQL["restore"]).as_bytes()
_UNDO = (_SQL["undo"] + _SQL["clean"] + _SQL["restore"] + _SQL["forget"] + _SQL["again"]).as_bytes()
_COMMIT = (
    _SQL["own_locks"] + _SQL["commit"] + _SQL["clean"] + _SQL["restore"] + _SQL["forget"] + _SQL["after"]
).as_bytes()
_FORGET = _SQL["forget"].as_bytes()
_MARK = (_SQL["own_locks"] + _SQL["mark"]).as_bytes()
_COMMIT_SERVICE = (
    _SQL["own_locks"]
    + _SQL["commit_service"]
    + _SQL["clean"]
    + _SQL["restore"]
    + _SQL["prepared"]
    + _SQL["after"]
).as_bytes()


class RoleChanged(UsageError):
    """The body of a caller's transaction changed its role or claims. Nothing of it is committed."""


@asynccontextmanager
async def as_caller(connection: AsyncConn, caller: Caller, mark: str) -> AsyncIterator[None]:
    """Run the block as `caller`, in the open transaction, which gets the mark `mark`.

    The block finds only the engine's state in the session, and leaves nothing there, however it ends. If it
    raises, the transaction is over. Raises UsageError for a role that callers can't have, and if the block
    ended the transaction; raises RoleChanged.
    """
    parameters = _caller_parameters(connection, caller, mark)
    try:
        await _run(connection, _BEGIN, parameters)
        # Sent alone, because its planning takes longest: in lasting sessions it is prepared and planned once.
        if await (await connection.execute(_SQL["enter"], parameters)).fetchone() is None:
            raise UsageError(
                f"the caller's role {caller.role!r:.80} is none that callers may have here: on Supabase it "
                "must be granted to authenticator; elsewhere anon, authenticated and service_role must exist"
            )
        yield
        same, opened, prepared = (await _run(connection, _LEAVE, parameters))[1][0]
        if not opened:
            raise UsageError(ENDED_BY_BODY)
        # guard: became-somebody-else
        if not same:
            raise RoleChanged(
                'the body of a transaction(role="caller") changed the role or request.jwt.claims: leave that '
                'out, or use role="service"'
            )
        if prepared:
            await _run(connection, _FORGET, {})
    except BaseException:
        await _undo(connection, parameters)
        raise


async def commit_as_caller(connection: AsyncConn, caller: Caller, mark: str) -> None:
    """Commit what `as_caller` ran, and what the engine added to it, under the caller's role.

    What the commit fires leaves nothing in the session. Raises psycopg.Error if it failed, or is in doubt.
    """
    parameters = _caller_parameters(connection, caller, mark)
    try:
        await _run(connection, _COMMIT, parameters)
    except BaseException:
        await _undo(connection, parameters)
        raise


@asynccontextmanager
async def as_service(connection: AsyncConn, mark: str) -> AsyncIterator[None]:
    """Mark the open transaction as `mark`. If the block raises, undo it and what a rollback doesn't undo."""
    parameters = _service_parameters(connection, mark)
    try:
        await _run(connection, _MARK, parameters)
        yield
    except BaseException:
        await _undo(connection, parameters)
        raise


async def commit_as_service(connection: AsyncConn, mark: str) -> None:
    """Commit, and remove from the session what the body left in it: one round trip of cheap statements.

    Raises psycopg.Error if the commit failed, or is in doubt.
    """
    results = await _run(connection, _COMMIT_SERVICE, _service_parameters(connection, mark))
    if results[-2] == [(True,)]:
        await _run(connection, _FORGET, {})


def _service_parameters(connection: AsyncConn, mark: str) -> dict[str, Any]:
    return {
        "settings": json.dumps(connection.settings),
        "needed": connection.needed or "{}",
        "mark": mark,
    }


def _caller_parameters(connection: AsyncConn, caller: Caller, mark: str) -> dict[str, Any]:
    return {**_service_parameters(connection, mark), "role": caller.role, "claims": caller.database_claims()}


async def _run(connection: AsyncConn, statements: bytes, parameters: dict[str, Any]) -> list[list[TupleRow]]:
    """The rows of each statement."""
    async with AsyncClientCursor(connection) as cursor:
        await cursor.execute(statements, parameters)
        return [await each.fetchall() if each.description else [] async for each in cursor.results()]


async def _undo(connection: AsyncConn, parameters: dict[str, Any]) -> None:
    """Undo what a rollback does and doesn't undo. If that fails, close the connection for good."""
    if connection.closed:
        return
    try:
        async with asyncio.timeout(_UNDO_S):
            await _run(connection, _UNDO, parameters)
    except Exception:  # noqa: BLE001 - the first error is the one to report
        await connection.close()
    except BaseException:
        await connection.close()
        raise
