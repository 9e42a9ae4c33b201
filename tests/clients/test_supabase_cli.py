"""The Supabase CLI takes what is ours: migrations, which it pushes and lints, and parts of its config.

The server is Debian's Postgres. What of the CLI needs Docker (`start`, `functions serve`) is not run.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from outlast.host.config_toml import read_functions
from outlast.store.connections import Database
from outlast.store.migrations import migrate, migrations
from outlast.store.supabase import play_supabase
from tests.cron import CronServer, programs
from tests.hosts import Hosts
from tests.realtime import STAND_IN
from tests.supabase_cli import assert_done, needs_cli, supabase

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "configuration.md"
FUNCTIONS = ROOT / "tests" / "sql" / "functions"
VERSIONS = "select version from outlast.schema_migrations order by version"
EXPECTED = [(each.version,) for each in migrations()]

pytestmark = needs_cli


@pytest.fixture
def server() -> Iterator[CronServer]:
    """A server of Debian's with what Supabase's databases have before the first migration."""
    found = programs()
    if found is None:
        pytest.skip("SKIPPED LOUDLY: there is no Postgres of Debian's here (tests/sql/setup gets it)")
    server = CronServer(found)
    try:
        server.start()
        asyncio.run(play_supabase(Database.at(server.url, "tests")))
        yield server
    finally:
        server.close()


@pytest.fixture
def hosted(server: CronServer) -> str:
    """Its URL for a role as the hosted `postgres` is: no superuser, owner of the database and of `public`."""
    server.rows("create role hosted login createdb createrole bypassrls")
    server.rows("grant anon, authenticated, service_role to hosted with admin option")
    server.rows("alter database postgres owner to hosted")
    server.rows("alter schema public owner to hosted")
    port = conninfo_to_dict(server.url)["port"]
    return f"postgresql://hosted@127.0.0.1:{port}/postgres?sslmode=disable"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder with our migrations."""
    shutil.copytree(ROOT / "supabase" / "migrations", tmp_path / "supabase" / "migrations")
    return tmp_path


def push(project: Path, url: str) -> str:
    done = supabase(project, "db", "push", "--yes", f"--remote={url}")
    assert_done(done)
    return done.stdout + done.stderr


def versions(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as connection:
        return connection.execute(VERSIONS).fetchall()


@pytest.mark.slow
def test_what_it_pushes_a_host_finds_current(project: Path, hosted: str, tmp_path: Path) -> None:
    push(project, hosted)
    assert versions(hosted) == EXPECTED
    hosts = Hosts(tmp_path, FUNCTIONS, hosted)
    try:
        host = hosts.start()
        assert host.post("welcome/report", "k", {}).status_code == 500  # its table isn't there: it ran
        assert asyncio.run(migrate(Database.at(hosted, "tests"))) == []
    finally:
        hosts.close()
    assert "up to date" in push(project, hosted)


@pytest.mark.slow
def test_what_a_host_made_it_pushes_once_more_without_harm(project: Path, hosted: str) -> None:
    asyncio.run(migrate(Database.at(hosted, "tests")))
    with psycopg.connect(hosted, autocommit=True) as connection:
        connection.execute("select outlast.start('welcome/report', idempotency_key => 'kept')")
    push(project, hosted)
    assert versions(hosted) == EXPECTED
    listed = supabase(project, "migration", "list", f"--remote={hosted}")
    assert_done(listed)
    for (version,) in EXPECTED:
        assert listed.stdout.count(version) == 2, listed.stdout
    with psycopg.connect(hosted) as connection:
        assert connection.execute("select count(*) from outlast.workflow_status").fetchone() == (1,)


@pytest.mark.slow
def test_it_finds_nothing_to_say_of_our_functions(project: Path, server: CronServer) -> None:
    if not server.rows("select 1 from pg_available_extensions where name = 'plpgsql_check'"):
        pytest.skip("SKIPPED LOUDLY: plpgsql_check is not here (tests/sql/setup gets it)")
    server.rows(STAND_IN)
    push(project, server.url)
    lint = ("db", "lint", f"--remote={server.url}", "--schema", "outlast", "--level", "warning")
    issues = [each for found in linted(supabase(project, *lint)) for each in found["issues"]]
    # Two are named as HTTP names them, and must be quoted where SQL gives them by name.
    quoted = [f'name of parameter "{each}" is reserved keyword' for each in ("from", "to")]
    left = [each for each in issues if each["message"] not in quoted]
    assert [each for each in left if each["level"] != "warning extra"] == []
    # Verbs have the arguments of their table, though not each uses who it was; what is done one by one has
    # those of outlast.one_by_one. What a query that is a text returns isn't seen.
    assert {each["message"] for each in left} <= {
        'unused parameter "by"',
        'unused parameter "given"',
        'unused parameter "until"',
        'OUT variable "workflow_id" is maybe unmodified',
        'OUT variable "answer" is maybe unmodified',
    }
    body = "'begin return nothing.at_all(); end'"
    server.rows(f"create function outlast.broken() returns text language plpgsql as {body}")
    assert supabase(project, *lint, "--fail-on", "warning").returncode != 0, "it looks"


def linted(run: subprocess.CompletedProcess[str]) -> Any:
    """The issues by function."""
    assert_done(run)
    return json.loads(run.stdout[run.stdout.index("[") :]) if "[" in run.stdout else []


def made(folder: Path) -> None:
    """Make a function with the CLI, which reads the config for it, and needs no stack."""
    assert_done(supabase(folder, "functions", "new", "theirs", "--auth", "user"))


def test_what_we_document_is_valid_in_a_config_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (documented,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert_done(supabase(tmp_path, "init", "--yes"))
    config = tmp_path / "supabase" / "config.toml"
    monkeypatch.chdir(tmp_path)
    assert read_functions(dict) == {}, "what it writes by itself is none of ours"
    config.write_text(config.read_text() + documented)
    made(tmp_path)
    assert (tmp_path / "supabase" / "functions" / "theirs" / "index.ts").is_file()
    found = read_functions(dict)
    assert found["checkout"].entrypoint == "./functions/checkout/main.py"
    assert found["checkout"].verify_jwt is False
    assert found["checkout"].env == {"PAYMENTS_KEY": "env(CHECKOUT_PAYMENTS_KEY)"}
    assert (found["report"].enabled, found["report"].verify_jwt) == (False, None)
    # A TypeScript function is left alone.
    assert found["theirs"].entrypoint == "./functions/theirs/index.ts"


def test_why_we_tell_to_write_no_value(tmp_path: Path) -> None:
    """Were this to change, the warning could go."""
    (tmp_path / "supabase").mkdir()
    written = '[functions.checkout.env]\nPAYMENTS_KEY = "written out"\n'
    (tmp_path / "supabase" / "config.toml").write_text(written)
    done = supabase(tmp_path, "functions", "new", "theirs", "--auth", "user")
    assert done.returncode != 0
    assert "PAYMENTS_KEY" in done.stdout + done.stderr
