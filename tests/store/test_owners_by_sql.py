"""`outlast.cancel` and the view `outlast.workflows`: whose workflows whom they reach, under real roles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors

from outlast.core.outcomes import public_error
from outlast.host.embedded import EmbeddedPostgres
from outlast.store.migrations import migrations
from tests.callers import as_user, one, row_of, start

ADA = {"sub": "ada", "role": "authenticated"}
BOB = {"sub": "bob", "role": "authenticated"}
SEEN = [
    "workflow_id", "function", "status", "input", "output", "error", "queue", "recovery_attempts",
    "claimable_at", "created_at", "started_at", "updated_at", "completed_at",
]  # fmt: skip
GRANT_CANCEL = "grant execute on function outlast.cancel(text), outlast.cancel_own(text) to authenticated"
FAILURE = '{"code": "workflow_error", "failure": {"type": "E", "message": "secret", "traceback": "secret"}}'


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    """Workflows of Ada, of Bob, and of nobody."""
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        for claims in (ADA, BOB, ""):
            with as_user(connection, claims):
                start(connection, key="k", body='{"n": 1}')
        yield connection


def cancel(connection: Connection[Any], workflow_id: str | None) -> bool:
    return one(connection, "select outlast.cancel(%s)", workflow_id)


def ids(connection: Connection[Any]) -> list[str]:
    return [row[0] for row in connection.execute("select workflow_id from outlast.workflows order by 1")]


# --- cancel -------------------------------------------------------------------------------------------


def test_cancel_ends_a_live_workflow_once(connection: Connection[Any]) -> None:
    before = row_of(connection, "f:k")
    assert cancel(connection, "f:k")
    row = row_of(connection, "f:k")
    assert (row["status"], row["epoch"], row["owner"], row["claimable_at"]) == ("CANCELLED", 1, None, None)
    assert row["error"] == {"code": "workflow_cancelled", "message": "the workflow was cancelled"}
    assert row["completed_at"] is not None
    assert row["nonce"] != before["nonce"]
    for nothing in ("f:k", "no such", "", None):
        assert cancel(connection, nothing) is False
    assert row_of(connection, "f:k") == row


@pytest.mark.parametrize("status", ["SUCCESS", "ERROR", "CANCELLED", "EXHAUSTED"])
def test_what_has_ended_stays(connection: Connection[Any], status: str) -> None:
    connection.execute("update outlast.workflow_status set status = %s", (status,))
    before = row_of(connection, "f:k")
    assert cancel(connection, "f:k") is False
    assert row_of(connection, "f:k") == before


def test_the_service_role_cancels_anybodys(connection: Connection[Any]) -> None:
    for workflow_id in ("f:ada:k", "f:k"):
        with as_user(connection, {"role": "service_role"}, "service_role"):
            assert cancel(connection, workflow_id)


def test_users_who_may_cancel_reach_their_own_alone(connection: Connection[Any]) -> None:
    connection.execute(GRANT_CANCEL.encode())
    for claims in (BOB, {"role": "authenticated"}, "", {"role": "authenticated", "sub": ""}):
        with as_user(connection, claims, "authenticated"):
            assert cancel(connection, "f:ada:k") is False
            assert cancel(connection, "f:k") is False
    with as_user(connection, ADA, "authenticated"):
        assert cancel(connection, "f:ada:k")
        assert not cancel(connection, "f:ada:k")
    assert [row_of(connection, each)["status"] for each in ("f:bob:k", "f:k")] == ["ENQUEUED"] * 2


def test_the_owners_trigger_cancels_anybodys_and_the_users_own_trigger_the_users(
    connection: Connection[Any],
) -> None:
    """Whose rights the trigger runs with decides, not who made it fire."""
    connection.execute(GRANT_CANCEL.encode())
    connection.execute(
        """
        create table withdrawn (workflow_id text, cancelled boolean);
        create function withdraw() returns trigger language plpgsql set search_path = '' as $$
        begin
          new.cancelled := outlast.cancel(new.workflow_id);
          return new;
        end $$;
        create trigger withdraw before insert on withdrawn for each row execute function withdraw();
        """
    )
    insert = "insert into withdrawn values (%s) returning cancelled"
    with as_user(connection, BOB, "authenticated"):
        assert one(connection, insert, "f:ada:k") is False
        assert one(connection, insert, "f:bob:k") is True
    connection.execute("alter function withdraw() security definer")
    with as_user(connection, BOB, "authenticated"):
        assert one(connection, insert, "f:ada:k") is True


# --- the view -----------------------------------------------------------------------------------------


def test_owners_see_theirs_alone(connection: Connection[Any]) -> None:
    assert ids(connection) == ["f:ada:k", "f:bob:k", "f:k"]
    with as_user(connection, ADA, "authenticated"):
        assert ids(connection) == ["f:ada:k"]
        cursor = connection.execute("select * from outlast.workflows")
        assert [column.name for column in cursor.description or ()] == SEEN
        (row,) = cursor.fetchall()
        assert (row[1], row[2], row[3]) == ("f", "ENQUEUED", {"n": 1})
    with as_user(connection, {"role": "service_role"}, "service_role"):
        assert ids(connection) == ["f:ada:k", "f:bob:k", "f:k"]


@pytest.mark.parametrize("claims", ["", "{}", '{"sub": null}', '{"sub": ""}', '{"role": "authenticated"}'])
def test_without_a_user_there_are_no_rows_and_no_error(connection: Connection[Any], claims: str) -> None:
    with as_user(connection, claims, "authenticated"):
        assert ids(connection) == []
        assert one(connection, "select count(outlast.public_error(workflow_id)) from outlast.workflows") == 0


def test_without_the_setting_there_are_no_rows_and_no_error(supabase_database: str) -> None:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        connection.execute("set role authenticated")
        assert ids(connection) == []


def test_anonymous_callers_see_nothing_at_all(connection: Connection[Any]) -> None:
    with pytest.raises(errors.InsufficientPrivilege), as_user(connection, {"role": "anon"}, "anon"):
        ids(connection)


def test_owners_read_no_more_than_the_views_have(connection: Connection[Any]) -> None:
    shown = {*columns_of(connection, "workflows"), *columns_of(connection, "workflow_summaries")}
    hidden = {*columns_of(connection, "workflow_status")} - shown | {"error"}
    assert {"error", "request", "claims", "nonce", "fingerprint", "owner", "response"} <= hidden
    for column in [*hidden, "*"]:
        with pytest.raises(errors.InsufficientPrivilege), as_user(connection, ADA, "authenticated"):
            connection.execute(f"select {column} from outlast.workflow_status".encode())
    for table in ("operation_outputs", "instances", "schema_migrations"):
        with pytest.raises(errors.InsufficientPrivilege), as_user(connection, ADA, "authenticated"):
            connection.execute(f"select * from outlast.{table}".encode())
    for change in (
        "update outlast.workflow_status set status = 'SUCCESS'",
        "delete from outlast.workflow_status",
    ):
        with pytest.raises(errors.InsufficientPrivilege), as_user(connection, ADA, "authenticated"):
            connection.execute(change.encode())


def columns_of(connection: Connection[Any], relation: str) -> list[str]:
    query = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
    return [name for (name,) in connection.execute(query, (f"outlast.{relation}",))]


RECORDED: list[dict[str, Any]] = [
    json.loads(FAILURE),
    {"code": "workflow_cancelled", "message": "the workflow was cancelled"},
    {"code": "recovery_exhausted", "message": "lost 11 times"},
    {"code": "invalid_input", "message": "the input does not fit: name", "errors": [{"type": "missing"}]},
    {"code": "non_determinism", "message": "met step 'secret'"},
    {"code": "http_exception", "status": 402, "detail": "pay first", "headers": [["x-secret", "secret"]]},
    {},
]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda each: str(each.get("code")))
def test_the_error_is_its_public_part(connection: Connection[Any], recorded: dict[str, Any]) -> None:
    text = json.dumps(recorded)
    connection.execute("update outlast.workflow_status set status = 'ERROR', error = %s::json", (text,))
    public = public_error(text)
    expected = {name: value for name, value in public.items() if name != "headers"}
    with as_user(connection, ADA, "authenticated"):
        shown = one(connection, "select error from outlast.workflows")
        assert shown == expected
        assert "secret" not in json.dumps(shown)
        for other in ("f:bob:k", "f:k"):
            assert one(connection, "select outlast.public_error(%s)", other) is None
    assert one(connection, "select error from outlast.workflows where workflow_id = 'f:bob:k'") == expected
    with as_user(connection, {"role": "service_role"}, "service_role"):
        assert (
            one(connection, "select error from outlast.workflows where workflow_id = 'f:bob:k'") == expected
        )


def test_a_view_in_public_shows_it_through_the_data_api(connection: Connection[Any]) -> None:
    connection.execute(
        "create view public.my_workflows with (security_invoker = true) as select * from outlast.workflows"
    )
    with as_user(connection, ADA, "authenticated"):
        assert one(connection, "select workflow_id from public.my_workflows") == "f:ada:k"
    with pytest.raises(errors.InsufficientPrivilege), as_user(connection, {"role": "anon"}, "anon"):
        one(connection, "select count(*) from public.my_workflows")


def test_looking_for_ones_own_reads_an_index(connection: Connection[Any]) -> None:
    connection.execute("set enable_seqscan = off")
    with as_user(connection, ADA, "authenticated"):
        plan = connection.execute("explain select status from outlast.workflows").fetchall()
    assert "workflow_status_subject" in str(plan)


# --- roles that come later ----------------------------------------------------------------------------


def test_the_migrations_apply_before_the_roles_are_there_and_again_after(tmp_path: Path) -> None:
    with (
        EmbeddedPostgres.start(tmp_path / "home", durable=False) as server,
        psycopg.connect(server.url, autocommit=True) as connection,
    ):
        for _ in range(2):
            for migration in migrations():
                connection.execute(migration.text().encode())
        start(connection, key="k")
        connection.execute("create role anon; create role authenticated; create role service_role bypassrls")
        for migration in migrations():
            connection.execute(migration.text().encode())
        with as_user(connection, ADA, "authenticated"):
            assert ids(connection) == []
        with as_user(connection, {"role": "service_role"}, "service_role"):
            assert ids(connection) == ["f:k"]


def test_an_owner_who_is_no_superuser_is_enough(tmp_path: Path) -> None:
    """As on hosted Supabase, where `postgres` is none: what definer functions may is what their owner may."""
    with EmbeddedPostgres.start(tmp_path / "home", durable=False) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(
                "create role anon; create role authenticated; create role service_role bypassrls"
            )
            connection.execute("create role owner login; grant create on database postgres to owner")
            connection.execute("grant anon, authenticated, service_role to owner")
        with psycopg.connect(server.url, user="owner", autocommit=True) as connection:
            for _ in range(2):
                for migration in migrations():
                    connection.execute(migration.text().encode())
            connection.execute(GRANT_CANCEL.encode())
            for claims in (ADA, BOB, ""):
                with as_user(connection, claims):
                    start(connection, key="k")
            with as_user(connection, ADA, "authenticated"):
                assert ids(connection) == ["f:ada:k"]
                assert not cancel(connection, "f:bob:k")
                assert cancel(connection, "f:ada:k")
                error = one(connection, "select error ->> 'code' from outlast.workflows")
                assert error == "workflow_cancelled"
            with as_user(connection, {"role": "service_role"}, "service_role"):
                assert start(connection, key="k") == "f:k"
                assert cancel(connection, "f:bob:k")
                assert ids(connection) == ["f:ada:k", "f:bob:k", "f:k"]
            assert ids(connection) == ["f:ada:k", "f:bob:k", "f:k"]


def test_types_of_a_callers_own_go_before_none(supabase_database: str) -> None:
    """A domain in the caller's temporary schema, whose check would run as the functions' owner."""
    sub = "7d0c8b62-0a48-4a4e-9b7e-2a8f0d0e6c11"
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        connection.execute(
            "insert into outlast.workflow_status (workflow_id, function, status, error, subject)"
            " values ('f:1', 'f', 'ERROR', '{}', %s)",
            (sub,),
        )
        with as_user(connection, {"sub": sub, "role": "authenticated"}, "authenticated"):
            for name in ("jsonb", "text"):
                connection.execute(f"create domain pg_temp.{name} as pg_catalog.{name}".encode())
                connection.execute(
                    f"create function pg_temp.evil(v pg_catalog.{name}) returns pg_catalog.bool"
                    " language plpgsql as $$ begin raise exception 'as %', current_user; end $$".encode()
                )
                connection.execute(
                    f"alter domain pg_temp.{name} add constraint c check (pg_temp.evil(value))".encode()
                )
            assert one(connection, "select error ->> 'code' from outlast.workflows") == "workflow_error"
