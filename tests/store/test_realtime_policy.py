"""docs/realtime.md: its policy lets owners listen to their own workflows, on a stand-in of Realtime's table.

Realtime asks in this way: it writes a row of the topic as an administrator, and looks whether the user sees
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from tests.callers import as_user, one, start
from tests.realtime import stand_in
from tests.store.test_owners_by_sql import ADA, BOB

PAGE = (Path(__file__).parents[2] / "docs" / "realtime.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    """Workflows of Ada, of Bob and of nobody; and the page's policy."""
    stand_in(supabase_database, roles=True)
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        for claims in (ADA, BOB, ""):
            with as_user(connection, claims):
                start(connection, key="k")
        for block in BLOCKS:
            connection.execute(block.encode())
        yield connection


def may_listen(
    connection: Connection[Any], topic: str, claims: Any, role: str, extension: str = "broadcast"
) -> bool:
    with connection.transaction(force_rollback=True):
        message = one(
            connection,
            "insert into realtime.messages (topic, extension) values (%s, %s) returning id",
            topic,
            extension,
        )
        with as_user(connection, claims, role):
            connection.execute("select set_config('realtime.topic', %s, true)", (topic,))
            return bool(one(connection, "select count(*) from realtime.messages where id = %s", message))


def test_owners_listen_to_theirs_alone(connection: Connection[Any]) -> None:
    for topic, of_ada, of_bob in (
        ("workflow:f:ada:k", True, False),
        ("workflow:f:bob:k", False, True),
        ("workflow:f:k", False, False),
        ("workflow:nowhere", False, False),
        ("workflow:", False, False),
        ("_________f:ada:k", False, False),
        ("", False, False),
    ):
        assert may_listen(connection, topic, ADA, "authenticated") is of_ada, topic
        assert may_listen(connection, topic, BOB, "authenticated") is of_bob, topic


@pytest.mark.parametrize(
    ("claims", "role"), [("", "authenticated"), ({"role": "authenticated"}, "authenticated"), ("", "anon")]
)
def test_whoever_is_nobody_listens_to_nothing(connection: Connection[Any], claims: Any, role: str) -> None:
    for topic in ("workflow:f:ada:k", "workflow:f:k"):
        assert not may_listen(connection, topic, claims, role)


def test_it_lets_nobody_be_present_or_send(connection: Connection[Any]) -> None:
    assert not may_listen(connection, "workflow:f:ada:k", ADA, "authenticated", "presence")
    insert = "insert into realtime.messages (topic, extension) values ('workflow:f:ada:k', 'broadcast')"
    with pytest.raises(errors.InsufficientPrivilege), as_user(connection, ADA, "authenticated"):
        connection.execute("select set_config('realtime.topic', 'workflow:f:ada:k', true)")
        connection.execute(insert.encode())
