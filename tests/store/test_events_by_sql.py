"""The view `outlast.events`: whose events it shows to whom, and no other record, under real roles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from tests.callers import as_user, one, start
from tests.store.test_owners_by_sql import ADA, BOB

SERVICE = {"role": "service_role"}
SEEN = ["workflow_id", "number", "event", "value", "published_at"]
RECORDS = """
insert into outlast.operation_outputs
  (workflow_id, step_id, name, output, error, attempts, completion_order, kind)
values
  ('f:ada:k', '1', 'publish progress', '{"done": 1}', null, 0, 1, 'publish'),
  ('f:ada:k', '2', 'charge', '"secret"', null, 1, 2, 'step'),
  ('f:ada:k', '3', 'publish progress', '"secret"', null, 1, 3, 'step'),
  ('f:ada:k', '4', 'publish progress', null, '{"code": "secret"}', 1, 4, 'step'),
  ('f:ada:k', '5', 'receive answer', '"secret"', null, 0, 5, 'receive'),
  ('f:ada:k', '6', 'publish  spaced ', 'null', null, 0, 6, 'publish'),
  ('f:bob:k', '1', 'publish progress', '"of bob"', null, 0, 1, 'publish'),
  ('f:k', '1', 'publish progress', '"of nobody"', null, 0, 1, 'publish')
"""


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    """Workflows of Ada, of Bob and of nobody, which have published."""
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        for claims in (ADA, BOB, ""):
            with as_user(connection, claims):
                start(connection, key="k")
        connection.execute(RECORDS.encode())
        yield connection


def seen(connection: Connection[Any]) -> list[tuple[Any, ...]]:
    query = "select workflow_id, number, event, value from outlast.events order by 1, 2"
    return connection.execute(query.encode()).fetchall()


OF_ADA = [("f:ada:k", 1, "progress", {"done": 1}), ("f:ada:k", 6, " spaced ", None)]
OF_OTHERS = [("f:bob:k", 1, "progress", "of bob"), ("f:k", 1, "progress", "of nobody")]


def test_owners_see_what_theirs_have_published_and_nothing_else(connection: Connection[Any]) -> None:
    assert seen(connection) == [*OF_ADA, *OF_OTHERS]
    with as_user(connection, ADA, "authenticated"):
        assert seen(connection) == OF_ADA
        cursor = connection.execute("select * from outlast.events")
        assert [column.name for column in cursor.description or ()] == SEEN
        # Past the view there is no more.
        names = "select name from outlast.operation_outputs order by completion_order"
        found = connection.execute(names.encode()).fetchall()
        assert found == [("publish progress",), ("publish  spaced ",)]
    with as_user(connection, SERVICE, "service_role"):
        assert seen(connection) == [*OF_ADA, *OF_OTHERS]


@pytest.mark.parametrize("claims", ["", "{}", '{"sub": null}', '{"sub": ""}', '{"role": "authenticated"}'])
def test_without_a_user_there_are_no_rows_and_no_error(connection: Connection[Any], claims: str) -> None:
    with as_user(connection, claims, "authenticated"):
        assert seen(connection) == []


def test_anonymous_callers_see_nothing_at_all(connection: Connection[Any]) -> None:
    with pytest.raises(errors.InsufficientPrivilege), as_user(connection, {"role": "anon"}, "anon"):
        seen(connection)


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
def test_nobody_changes_what_was_published(connection: Connection[Any], role: str) -> None:
    for statement in (
        "update outlast.events set value = '1'",
        "update outlast.operation_outputs set output = '1'",
        "delete from outlast.operation_outputs",
        "insert into outlast.operation_outputs (workflow_id, step_id, name) values ('f:ada:k', '9', 'x')",
        "select error, nonce from outlast.operation_outputs",
        "select * from outlast.operation_outputs",
        "select outlast.broadcast('{}', '{}')",
    ):
        claims = {**ADA, "role": role}
        with (
            pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)),
            as_user(connection, claims, role),
        ):
            connection.execute(statement.encode())


def test_a_view_in_public_shows_them_through_the_data_api(connection: Connection[Any]) -> None:
    connection.execute(
        "create view public.my_events with (security_invoker = true) as select * from outlast.events"
    )
    with as_user(connection, ADA, "authenticated"):
        assert one(connection, "select count(*) from public.my_events") == 2
    with pytest.raises(errors.InsufficientPrivilege), as_user(connection, {"role": "anon"}, "anon"):
        one(connection, "select count(*) from public.my_events")


def test_looking_for_them_reads_no_table_as_a_whole(connection: Connection[Any]) -> None:
    connection.execute("set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off")
    with as_user(connection, ADA, "authenticated"):
        for where in ("", " where workflow_id = 'f:ada:k'"):
            plan = str(
                connection.execute(f"explain select value from outlast.events{where}".encode()).fetchall()
            )
            assert "operation_outputs_" in plan
            assert "Seq Scan" not in plan
            assert "Seq Scan" not in plan, plan
