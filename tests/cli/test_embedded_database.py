"""`outlast db url|psql|reset` and `outlast token`, on the embedded database, and refused on a given one."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import jwt
import psycopg
import pytest

from tests.cli.conftest import Runs
from tests.cli.serving import serving

FUNCTION = """
from outlast import context, workflow

@workflow(auth="user")
async def mine() -> str | None:
    return context().caller.id
"""


@pytest.fixture
def supabase(project: Path) -> Path:
    folder = project / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder / "20260101000000_notes.sql").write_text("create table notes (text text);")
    (project / "supabase" / "seed.sql").write_text("insert into notes values ('seeded');")
    return folder


@pytest.mark.slow
def test_psql_runs_in_it_and_its_url_leads_there(outlast: Runs) -> None:
    ran = outlast("db", "psql", "-At", "-c", "select 6 * 7")
    assert (ran.status, ran.out) == (0, "42\n"), ran.err
    assert outlast("db", "psql", "-v", "ON_ERROR_STOP=1", "-c", "select 1 / 0").status == 1
    assert outlast("db", "url").out.startswith("postgresql://postgres@/postgres?host=")


@pytest.mark.slow
def test_the_url_is_good_while_a_host_runs(outlast: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    with serving(project):
        url = json.loads(outlast("db", "url", "--json").out)["url"]
        with psycopg.connect(url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.slow
def test_reset_makes_it_anew_with_migrations_and_seed(outlast: Runs, supabase: Path) -> None:
    assert outlast("db", "reset").status == 2, "nobody was asked, and --yes was not said"
    first = json.loads(outlast("db", "reset", "--yes", "--json").out)
    assert first["applied"][-2:] == ["20260101000000_notes.sql", "seed.sql"]
    outlast("db", "psql", "-c", "insert into notes values ('mine')")
    assert json.loads(outlast("db", "reset", "--yes", "--json").out) == first
    assert outlast("db", "psql", "-At", "-c", "select text from notes").out == "seeded\n"


@pytest.mark.slow
def test_reset_leaves_a_serving_host_alone(outlast: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    with serving(project) as (url, _):
        assert httpx.get(f"{url}/readyz").status_code == 200
        ran = outlast("db", "reset", "--yes")
        assert ran.status == 1
        assert "a host serves from the database: stop it first" in ran.err
        assert httpx.get(f"{url}/readyz").status_code == 200


@pytest.mark.parametrize("command", [("url",), ("psql",), ("reset", "--yes")], ids=str)
def test_a_given_database_is_not_theirs(call: Runs, command: tuple[str, ...]) -> None:
    ran = call("db", *command, SUPABASE_DB_URL="postgresql://me:hunter2hunter2@127.0.0.1:1/x")
    assert ran.status == 1
    assert "SUPABASE_DB_URL names the database" in ran.err
    assert "hunter2" not in ran.err + ran.out


def test_a_users_token_is_believed_by_the_host_beside_it(outlast: Runs, project: Path) -> None:
    (project / "functions").mkdir()
    (project / "functions" / "mine.py").write_text(FUNCTION)
    with serving(project) as (url, _):
        token = outlast("token", "--user", "ada", "--role", "authenticated").out.strip()
        called = httpx.post(f"{url}/functions/v1/mine", headers={"authorization": f"Bearer {token}"})
        assert (called.status_code, called.json()) == (200, "ada"), called.text
        other = jwt.encode({"sub": "ada", "aud": "authenticated", "exp": 2**33}, "x" * 64, "HS256")
        refused = httpx.post(f"{url}/functions/v1/mine", headers={"authorization": f"Bearer {other}"})
        assert refused.status_code == 401
    kept = project / ".outlast" / "jwt_secret"
    assert kept.stat().st_mode & 0o077 == 0
    assert kept.read_text().strip() not in token


def test_a_token_is_signed_by_an_explicit_secret_or_not_at_all(call: Runs) -> None:
    secret = "a secret of this project that is long enough"
    url = "postgresql://postgres@127.0.0.1:1/postgres"
    ran = call("token", "--user", "u", "--email", "a@b.c", SUPABASE_JWT_SECRET=secret, SUPABASE_DB_URL=url)
    claims = jwt.decode(ran.out.strip(), secret, ["HS256"], audience="authenticated")
    assert (claims["sub"], claims["role"], claims["email"]) == ("u", "authenticated", "a@b.c")
    ran = call("token", "--user", "u", SUPABASE_DB_URL=url, SUPABASE_JWT_SECRET="")
    assert ran.status == 1
    assert "sign in with its Auth, or set SUPABASE_JWT_SECRET" in ran.err
    ran = call("token", "--user", "u", SUPABASE_URL="https://x.supabase.co", SUPABASE_DB_URL="")
    assert "tokens are signed elsewhere" in ran.err
