"""Grants and row-level security, asked of the database itself by pgTAP, as Supabase's own tests are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.cron import CronServer, programs
from tests.databases import SUPABASE_TEMPLATE, make_templates, new_database

FILES = sorted((Path(__file__).parent / "pgtap").glob("*.sql"))
_STATEMENT = re.compile(r"(?:--[^\n]*\n|\$\$.*?\$\$|'(?:[^']|'')*'|[^;])+;", re.DOTALL)


def said_by(url: str, statements: str) -> list[str]:
    """The lines of TAP. One connection, statement by statement, as psql does it."""
    lines: list[str] = []
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _STATEMENT.findall(statements):
            cursor = connection.execute(statement.encode())
            if cursor.description is not None:
                lines += [line for row in cursor.fetchall() for line in str(row[0]).splitlines()]
    return lines


def failures(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("not ok", "#"))]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Debian's server, with a template database that has pgTAP; its URL."""
    found = programs()
    if found is None:
        pytest.skip("SKIPPED LOUDLY: pgTAP is not here (tests/sql/setup gets it)")
    server = CronServer(found)
    try:
        server.start()
        if not server.rows("select 1 from pg_available_extensions where name = 'pgtap'"):
            pytest.skip("SKIPPED LOUDLY: pgTAP is not here (tests/sql/setup gets it)")
        make_templates(server.url)
        url = make_conninfo(server.url, dbname=SUPABASE_TEMPLATE)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create extension pgtap with schema extensions")
        yield server.url
    finally:
        server.close()


@pytest.fixture
def tapped(server: str) -> Iterator[str]:
    """The URL of a database with pgTAP."""
    with new_database(server, SUPABASE_TEMPLATE) as url:
        yield make_conninfo(url, options="-c search_path=public,extensions")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_all_that_is_said(tapped: str, file: Path) -> None:
    text = file.read_text("utf-8")
    lines = said_by(tapped, text)
    (planned,) = re.findall(r"select plan\((\d+)\)", text)
    assert not failures(lines), "\n".join(lines)
    assert sum(line.startswith("ok ") for line in lines) == int(planned)


@pytest.mark.parametrize(
    ("change", "file"),
    [
        ("grant select on outlast.workflow_status to authenticated", "grants"),
        ("grant execute on function outlast.start_own to public", "grants"),
        ("alter function outlast.subject(jsonb) reset search_path", "grants"),
        ("create table outlast.new (n int)", "grants"),
        ("alter view outlast.workflows set (security_invoker = false)", "owners"),
        ("create policy more on outlast.workflow_status for select to authenticated using (true)", "owners"),
        (
            "create policy more on outlast.operation_outputs for select to authenticated using (true)",
            "owners",
        ),
        ("grant usage on schema outlast to anon; grant select on outlast.workflows to anon", "grants"),
        ("grant select (workflow_id) on outlast.workflow_status to anon", "grants"),
        ("grant select (claims) on outlast.workflow_status to service_role", "grants"),
        ("grant update (status) on outlast.workflow_status to authenticated", "grants"),
        ("create policy more on outlast.messages for all to authenticated using (true)", "grants"),
        ("alter function outlast.claims() security definer", "grants"),
        ("grant select (input) on outlast.workflow_status to authenticated", "grants"),
        (
            "create policy more on outlast.messages for select to service_role"
            " using (workflow_id = current_setting('a'))",
            "grants",
        ),
        (
            "create or replace function outlast.may_speak_as(role_name text) returns boolean"
            " language sql stable set search_path = pg_catalog, pg_temp as $$ select true $$",
            "owners",
        ),
        (  # who the functions' owner is, within them
            "create or replace function outlast.acting_role() returns name"
            " language sql stable set search_path = pg_catalog, pg_temp as $$ select current_user $$",
            "owners",
        ),
        (
            "create or replace function outlast.acting_role() returns name"
            " language sql stable set search_path = pg_catalog, pg_temp as $$ select session_user $$",
            "owners",
        ),
        (
            "create or replace function outlast.sees_all() returns boolean"
            " language sql stable set search_path = pg_catalog, pg_temp as $$ select true $$",
            "owners",
        ),
        (
            "create materialized view outlast.copied as select * from outlast.workflow_status;"
            " grant select on outlast.copied to authenticated",
            "grants",
        ),
        (
            "alter default privileges in schema outlast grant select on tables to authenticated",
            "grants",
        ),
    ],
)
def test_they_would_tell(tapped: str, change: str, file: str) -> None:
    with psycopg.connect(tapped, autocommit=True) as connection:
        connection.execute(change.encode())
    (path,) = [each for each in FILES if each.stem == file]
    assert failures(said_by(tapped, path.read_text("utf-8")))
