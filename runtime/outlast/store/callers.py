"""Transactions as whoever called: under their Postgres role and claims, so that row-level security holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from outlast.core.callers import Caller
from outlast.core.errors import UsageError
from outlast.store.connections import AsyncConn
from outlast.store.queries import load

_SQL = load("callers.sql")


class RoleChanged(UsageError):
    """The body of a caller's transaction became somebody else. Nothing of it is committed."""


@asynccontextmanager
async def as_caller(connection: AsyncConn, caller: Caller | None) -> AsyncIterator[None]:
    """Run what is within as `caller`, in the transaction that is open; then as before. None changes nothing.

    If what is within raises, the transaction is over anyway, and with it all that was set. Raises UsageError
    for a role that callers can't have, RoleChanged.
    """
    if caller is None:
        yield
        return
    claims = caller.database_claims()
    cursor = await connection.execute(_SQL["enter"], {"role": caller.role, "claims": claims})
    row = await cursor.fetchone()
    if row is None:
        raise UsageError(
            f"the caller's role {caller.role!r:.80} is none that callers may have here: on Supabase it must "
            "be granted to authenticator; elsewhere anon, authenticated and service_role must exist"
        )
    role_before, statement_timeout_before, claims_before = row[:3]
    yield
    await connection.execute(_SQL["settle"])
    parameters = {
        "role": caller.role,
        "claims": claims,
        "role_before": role_before,
        "statement_timeout_before": statement_timeout_before,
        "claims_before": claims_before,
    }
    left = await (await connection.execute(_SQL["leave"], parameters)).fetchone()
    if left is None or not left[0]:
        raise RoleChanged(
            'the body of a transaction(role="caller") changed the role or request.jwt.claims: leave that '
            'out, or use role="service"'
        )
