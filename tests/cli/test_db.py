"""The schema: applied, looked at, copied."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from outlast.cli.db import _name
from outlast.host.settings import Settings
from outlast.store.migrations import migrations
from tests.cli.conftest import Runs
from tests.pooler import Pooler, program


def test_migrate_and_status(outlast: Runs, empty_database: str) -> None:
    names = [f"{each.version}_{each.name}.sql" for each in migrations()]
    environment = {"SUPABASE_DB_URL": empty_database}
    before = json.loads(outlast("db", "status", "--json", **environment).out)
    assert (before["current"], [each["applied"] for each in before["migrations"]]) == (
        False,
        [False] * len(names),
    )
    ran = outlast("db", "migrate", **environment)
    assert (ran.status, ran.out, ran.err) == (0, "".join(f"applied {name}\n" for name in names), "")
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select count(*) from outlast.workflow_status").fetchone() == (0,)
    assert outlast("db", "migrate", **environment).out == "the schema is up to date\n"
    after = json.loads(outlast("db", "status", "--json", **environment).out)
    assert (after["current"], [each["applied"] for each in after["migrations"]]) == (
        True,
        [True] * len(names),
    )


def test_status_for_programs_is_tabs(call: Runs, database: str) -> None:
    ran = call("db", "status", SUPABASE_DB_URL=database)
    assert ran.out.splitlines()[0].split("\t")[2] == "applied"


def test_without_a_database_the_embedded_one_is_used_and_left(outlast: Runs, project: Path) -> None:
    assert json.loads(outlast("db", "migrate", "--json").out)["database"] == "embedded"
    assert json.loads(outlast("db", "status", "--json").out)["current"] is True
    assert (project / ".outlast" / "postgres").is_dir()


def test_a_database_that_is_away_is_one_line(call: Runs) -> None:
    ran = call("db", "status", "--json", SUPABASE_DB_URL="postgresql://u:hunter2@127.0.0.1:1/postgres")
    assert ran.status == 1
    assert ran.err.startswith("error: can't reach the database: ")
    assert ran.err.endswith("; remedy: see that it runs and that SUPABASE_DB_URL names it\n")
    assert ran.err.count("\n") == 1
    assert json.loads(ran.out)["error"]["code"] == "database_unavailable"
    assert "hunter2" not in ran.err + ran.out


def test_a_wrong_password_is_one_line_with_its_remedy(outlast: Runs, database: str) -> None:
    binary = program()
    if binary is None:
        pytest.skip("SKIPPED LOUDLY: there is no pgbouncer here")
    pooler = Pooler(binary, database, 1, password="right")
    try:
        pooler.start()
        ran = outlast("db", "status", SUPABASE_DB_URL=make_conninfo(pooler.url, password="hunter2"))
    finally:
        pooler.close()
    assert ran.status == 1
    assert ran.err.count("\n") == 1
    assert "remedy: set the right user and password in SUPABASE_DB_URL" in ran.err
    assert "hunter2" not in ran.err


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/d", "postgresql:hunter2", "x=hunter2"])
def test_a_database_url_that_is_none_is_not_shown(call: Runs, url: str) -> None:
    ran = call("db", "status", "--json", "--debug", SUPABASE_DB_URL=url)
    assert ran.status == 1
    assert "SUPABASE_DB_URL: set a Postgres URL" in ran.err
    assert "hunter2" not in ran.err + ran.out


def test_a_database_is_named_without_its_password() -> None:
    for url, name in (
        ("postgresql://u:p%40ss@h1:1,h2:2/d?password=x", "h1:1,h2:2/d"),
        ("host=h password=x", "h/"),
        ("postgres://u:a#b?c@h:6543/d", "h:6543/d"),
    ):
        assert _name(Settings.load(db_url=url)) == name


def test_what_the_database_refuses_is_one_line(call: Runs, empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("create schema outlast; create table outlast.schema_migrations (other text)")
    ran = call("db", "status", SUPABASE_DB_URL=empty_database)
    assert (ran.status, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith("error: the database refused: column ")


DIRECT = (
    ("db", "status"), ("db", "migrate"), ("db", "prune"), ("db", "prune", "--dry-run"),
    ("check", "--replay"), ("workflows", "export"), ("serve", "--port", "0"),
)  # fmt: skip
"""The commands that ask the database themselves; `doctor` has tests of its own."""


@pytest.fixture
def role(database: str) -> Iterator[str]:
    """A role of this test's own, which may log in."""
    name = f"reader_{os.getpid()}"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"create role {name} login".encode())
        try:
            yield name
        finally:
            connection.execute(f"drop owned by {name}".encode())
            connection.execute(f"drop role {name}".encode())


@pytest.mark.parametrize("command", DIRECT, ids=" ".join)
def test_what_a_role_may_not_is_one_line_with_its_remedy(
    outlast: Runs, project: Path, database: str, role: str, command: tuple[str, ...]
) -> None:
    (project / "functions").mkdir()
    (project / "functions/hello.py").write_text("import outlast\n\n@outlast.workflow\ndef hello(): ...\n")
    url = make_conninfo(database, user=role)
    ran = outlast(*command, SUPABASE_DB_URL=url)
    (error,) = (each for each in ran.err.splitlines() if each.startswith("error: "))
    assert error == (
        "error: the database refused: permission denied for schema outlast; remedy: connect as the owner of "
        "the database and of outlast's tables; `outlast doctor` names what is lacking"
    )
    assert (ran.status, ran.out) == (1, "")
    with psycopg.connect(database) as connection:
        connection.execute(f"grant usage on schema outlast to {role}".encode())
        connection.execute(f"grant all on all tables in schema outlast to {role}".encode())
        connection.execute(f"grant execute on all functions in schema outlast to {role}".encode())
    ran = outlast(*command, SUPABASE_DB_URL=url)
    assert f"error: row level security hides the rows of outlast's tables from {role}; remedy: " in ran.err
    assert (ran.status, ran.out) == (1, "")


def test_policies_may_show_a_role_the_rows(outlast: Runs, database: str, role: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(f"grant usage on schema outlast to {role}".encode())
        connection.execute(f"grant all on all tables in schema outlast to {role}".encode())
        connection.execute(f"grant execute on all functions in schema outlast to {role}".encode())
        connection.execute(f"create policy p on outlast.schema_migrations to {role} using (true)".encode())
    ran = outlast("db", "status", "--json", SUPABASE_DB_URL=make_conninfo(database, user=role))
    assert json.loads(ran.out)["current"] is True


def test_without_a_schema_the_remedy_is_to_migrate(outlast: Runs, empty_database: str) -> None:
    for command, status in (("db prune", 1), ("db prune --dry-run", 1), ("db status", 0)):
        ran = outlast(*command.split(), SUPABASE_DB_URL=empty_database)
        assert (ran.status, ran.err.count("\n")) == (status, 1)
        assert "the database lacks" in ran.err
        assert ran.err.endswith(": run `outlast db migrate`\n")


def test_into_copies_the_files_and_nothing_else(call: Runs, project: Path) -> None:
    names = [each.path.name for each in migrations()]
    ran = call("db", "migrate", "--into", "supabase/migrations")
    assert ran.out == "".join(f"wrote supabase/migrations/{name}\n" for name in names)
    for each in migrations():
        assert (project / "supabase/migrations" / each.path.name).read_bytes() == each.path.read_bytes()
    ran = call("db", "migrate", "--into", "supabase/migrations", "--json")
    assert json.loads(ran.out) == {
        "written": [],
        "unchanged": [f"supabase/migrations/{name}" for name in names],
    }
    assert not (project / ".outlast").exists()


def test_into_takes_a_copy_with_other_ends_of_lines_for_the_same(call: Runs, project: Path) -> None:
    """Git writes them so on Windows."""
    first = migrations()[0].path
    (project / first.name).write_bytes(first.read_bytes().replace(b"\n", b"\r\n"))
    ran = call("db", "migrate", "--into", ".", "--json")
    assert json.loads(ran.out)["unchanged"] == [first.name]


@pytest.mark.parametrize("other", ["same name", "same timestamp"])
def test_into_never_overwrites(call: Runs, project: Path, other: str) -> None:
    first = migrations()[0]
    name = first.path.name if other == "same name" else f"{first.version}_mine.sql"
    (project / name).write_text("-- mine")
    ran = call("db", "migrate", "--into", ".")
    assert ran.status == 1
    if other == "same name":
        assert f"not as this version of Outlast has it: {name}. " in ran.err
        assert "Delete it and run this again" in ran.err
        assert "supabase db reset" in ran.err
    else:
        assert f"{name} has the timestamp" in ran.err
        assert "rename it" in ran.err
    assert [(each.name, each.read_text()) for each in project.iterdir()] == [(name, "-- mine")]
