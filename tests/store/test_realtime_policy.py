"""docs/realtime.md: its policy lets owners listen to their own workflows, on a stand-in of Realtime's table.

Realtime asks in this way: it writes a row of the topic as an administrator, and looks whether the user sees
it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
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


def test_owners_listen_to_theirs_with_long_ids_too(connection: Connection[Any]) -> None:
    workflow_id = "f:ada:" + "k" * 240
    query = "update outlast.workflow_status set workflow_id = %s where workflow_id = 'f:ada:k'"
    connection.execute(query, (workflow_id,))
    topic = one(connection, "select outlast.realtime_topic(%s)", workflow_id)
    assert may_listen(connection, topic, ADA, "authenticated")
    assert not may_listen(connection, topic, BOB, "authenticated")
    assert not may_listen(connection, "workflow-sha256:" + "0" * 64, ADA, "authenticated")


NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="SKIPPED LOUDLY: there is no node here")
@pytest.mark.parametrize("workflow_id", ["f:k", "f:" + "ü" * 117, "f:" + "ü" * 118, "f:" + "🚲" * 100])
def test_the_page_names_topics_in_javascript_as_sql_does(
    connection: Connection[Any], workflow_id: str
) -> None:
    (function,) = (each for each in re.findall(r"^```js\n(.*?)^```", PAGE, re.M | re.S) if "topicOf" in each)
    program = f"{function}\ntopicOf({json.dumps(workflow_id)}).then(console.log)"
    assert NODE is not None
    # As browsers have it; older Nodes only on wish.
    shim = "globalThis.crypto ??= require('node:crypto').webcrypto\n"
    told = subprocess.run(
        [NODE, "-e", shim + program], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.strip() == one(connection, "select outlast.realtime_topic(%s)", workflow_id)


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
