"""A database connection as its callers use it: `outlast.start`, and transactions in a user's name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from psycopg import Connection


def one(connection: Connection[Any], query: str, *parameters: Any) -> Any:
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else row


def start(connection: Connection[Any], function: str = "f", body: str = "{}", key: str | None = None) -> str:
    return one(connection, "select outlast.start(%s, %s::text, %s)", function, body, key)


def row_of(connection: Connection[Any], workflow_id: str) -> dict[str, Any]:
    query = "select to_json(w) from outlast.workflow_status w where workflow_id = %s"
    return one(connection, query, workflow_id)


@contextlib.contextmanager
def as_user(connection: Connection[Any], claims: Any, role: str | None = None) -> Iterator[None]:
    """A transaction as PostgREST makes it."""
    with connection.transaction():
        text = claims if isinstance(claims, str) else json.dumps(claims)
        connection.execute("select set_config('request.jwt.claims', %s, true)", (text,))
        if role is not None:
            connection.execute(f"set local role {role}".encode())
        yield
