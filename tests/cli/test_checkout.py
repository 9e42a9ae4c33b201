"""Outlast run from a checkout, whose `supabase/migrations` may hold a project's beside Outlast's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import psycopg
import pytest

import outlast
from outlast.store.migrations import migrations, migrations_folder, migrations_in
from tests.cli.conftest import Runs
from tests.cli.serving import serving

PACKAGE = Path(outlast.__file__).parent
THEIRS = "29990101000000_theirs.sql"
OWN = [each.path.name for each in migrations()]


@pytest.fixture
def checkout(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder as a copy of this checkout, whose command runs, with a project's migration."""
    leave = shutil.ignore_patterns("__pycache__", "migrations")
    shutil.copytree(PACKAGE, project / "runtime" / "outlast", ignore=leave)
    (project / "functions").mkdir()
    folder = project / "supabase" / "migrations"
    folder.mkdir(parents=True)
    for name in OWN:
        shutil.copy(migrations_folder() / name, folder)
    (folder / THEIRS).write_text("create table theirs as select current_setting('outlast.embedded') as mark;")
    monkeypatch.setenv("PYTHONPATH", str(project / "runtime"))
    return project


def test_every_migration_of_this_checkout_is_told_to_be_outlasts() -> None:
    folder = migrations_folder()
    assert [each.path.name for each in migrations_in(folder)] == OWN == _files(folder)


def test_a_database_elsewhere_gets_outlasts_own_alone(
    outlast: Runs, checkout: Path, empty_database: str
) -> None:
    place = {"SUPABASE_DB_URL": empty_database}
    applied = json.loads(outlast("db", "migrate", "--json", **place).out)["applied"]
    assert [f"{each['version']}_{each['name']}.sql" for each in applied] == OWN
    rows = json.loads(outlast("db", "status", "--json", **place).out)["migrations"]
    assert [row["version"] for row in rows] == [name[:14] for name in OWN]
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select to_regclass('theirs')").fetchone() == (None,)


def test_what_is_copied_to_a_project_is_outlasts_own(outlast: Runs, checkout: Path) -> None:
    assert outlast("db", "migrate", "--into", "copied").status == 0
    assert _files(checkout / "copied") == OWN


@pytest.mark.slow
def test_the_embedded_database_takes_what_the_checkout_holds_as_a_projects(
    outlast: Runs, checkout: Path
) -> None:
    written = Path(
        json.loads(outlast("db", "wake", "--url", "https://outlast.example.com", "--json").out)["path"]
    )
    with serving(checkout) as (url, _):
        assert httpx.get(f"{url}/readyz").status_code == 200
        assert outlast("db", "psql", "-At", "-c", "select mark from theirs").out == "on\n"
    ran = outlast("db", "reset", "--yes", "--json")
    assert json.loads(ran.out)["applied"] == [*OWN, THEIRS, written.name]


def _files(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())
