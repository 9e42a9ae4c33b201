"""A real host and what SQL started: seen within its own tick, with nothing else to wake it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.callers import as_user, one, start
from tests.hosts import LIMIT_S, Hosts, until

ADA = {"sub": "7d0c8b62-0a48-4a4e-9b7e-2a8f0d0e6c11", "role": "authenticated"}


@pytest.fixture
def connection(supabase_database: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        yield connection


def status(connection: Connection[Any], workflow_id: str) -> str:
    query = "select status from outlast.workflow_status where workflow_id = %s"
    return str(one(connection, query, workflow_id))


def test_a_host_notices_what_is_committed_and_nothing_else(hosts: Hosts, connection: Connection[Any]) -> None:
    """No call reaches it after its start, so that nothing but its own look can tell it."""
    host = hosts.start()
    with connection.transaction():
        workflow_id = start(connection, "welcome", '{"email": "ada@example.com"}', "ada")
        with psycopg.connect(connection.info.dsn, autocommit=True) as other:
            assert one(other, "select count(*) from outlast.workflow_status") == 0
    with connection.transaction(force_rollback=True):
        start(connection, "welcome", '{"email": "bob@example.com"}', "bob")
    until(lambda: status(connection, workflow_id) == "SUCCESS", "the workflow")
    assert connection.execute("select text, workflow_id from notes").fetchall() == [
        ("welcome, ada@example.com", "welcome:ada")
    ]
    shown = host.manage("GET", workflow_id).json()
    assert (shown["status"], shown["output"]) == ("SUCCESS", "welcome, ada@example.com")
    listed = host.manage("GET", "?function=welcome").json()["workflows"]
    assert [each["workflow_id"] for each in listed] == [workflow_id]


def test_a_key_is_the_same_by_http_python_and_sql(hosts: Hosts, connection: Connection[Any]) -> None:
    """Payloads that are the same JSON are the same call; others are refused, whichever way came first."""
    host = hosts.start()
    ada, spelled = {"email": "ada@example.com"}, '{ "email":"ada@example.com" }'
    workflow_id = start(connection, "welcome", spelled, "sql")
    answer = host.post("welcome", "sql", ada)
    assert (answer.status_code, answer.headers["workflow-id"]) == (200, workflow_id)
    assert host.post("welcome/hands_on_once", "p1", {"key": "sql", **ada}).json() == workflow_id
    of_http = host.post("welcome", "http", ada).headers["workflow-id"]
    assert start(connection, "welcome", spelled, "http") == of_http
    assert host.post("welcome/hands_on_once", "p2", {"key": "http", **ada}).json() == of_http
    of_python = host.post("welcome/hands_on_once", "p3", {"key": "python", **ada}).json()
    assert start(connection, "welcome", spelled, "python") == of_python
    assert host.post("welcome", "python", ada).headers["workflow-id"] == of_python
    other = host.post("welcome", "sql", {"email": "bob@example.com"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    with pytest.raises(psycopg.Error, match="another payload"):
        start(connection, "welcome", '{"email": "bob@example.com"}', "http")
    (count,) = connection.execute("select count(*) from notes").fetchone() or (None,)
    assert count == 3


def test_a_transaction_of_python_starts_by_sql(hosts: Hosts, connection: Connection[Any]) -> None:
    host = hosts.start()
    workflow_id = host.post("welcome/hands_on", "k", {"email": "ada@example.com"}).json()
    until(lambda: status(connection, workflow_id) == "SUCCESS", "the workflow")
    assert connection.execute("select text, workflow_id from notes").fetchall() == [
        ("welcome, ada@example.com", workflow_id)
    ]


def test_what_waits_is_listed_and_cancelled_over_http(hosts: Hosts, connection: Connection[Any]) -> None:
    host = hosts.start()
    workflow_id = start(connection, "of_no_file", key="k")
    listed = host.manage("GET", "?status=ENQUEUED").json()["workflows"]
    assert [each["workflow_id"] for each in listed] == [workflow_id]
    assert host.manage("POST", f"{workflow_id}/cancel").json()["status"] == "CANCELLED"
    assert status(connection, workflow_id) == "CANCELLED"


def test_input_that_does_not_fit_is_told_to_who_looks(hosts: Hosts, connection: Connection[Any]) -> None:
    host = hosts.start()
    workflow_id = start(connection, "welcome", '{"mail": "ada@example.com"}')
    shown = host.manage("GET", f"{workflow_id}?wait={LIMIT_S:.0f}").json()
    assert (shown["status"], shown["error"]["code"]) == ("ERROR", "invalid_input")


def test_a_users_row_starts_a_workflow_of_theirs(hosts: Hosts, connection: Connection[Any]) -> None:
    """As through the Data API: a role that may insert, row-level security, a trigger of the owner's."""
    connection.execute(
        """
        create table public.profiles (id uuid primary key default auth.uid(), email text not null);
        alter table public.profiles enable row level security;
        create policy "their own" on public.profiles for all to authenticated using (id = auth.uid());
        create function public.welcome() returns trigger
        language plpgsql security definer set search_path = '' as $$
        begin
          perform outlast.start(
            'welcome', jsonb_build_object('email', new.email), idempotency_key => new.id::text);
          return new;
        end $$;
        create trigger welcome after insert on public.profiles for each row execute function public.welcome();
        """
    )
    hosts.start()
    with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(connection, ADA, "authenticated"):
        connection.execute("select outlast.start('welcome')")
    with as_user(connection, ADA, "authenticated"):
        connection.execute("insert into profiles (email) values ('ada@example.com')")
    workflow_id = f"welcome:{ADA['sub']}:{ADA['sub']}"
    until(lambda: status(connection, workflow_id) == "SUCCESS", "the workflow")
    with as_user(connection, json.dumps(ADA), "authenticated"):
        rows = connection.execute("select workflow_id, status, output from outlast.workflows").fetchall()
    assert rows == [(workflow_id, "SUCCESS", "welcome, ada@example.com")]
