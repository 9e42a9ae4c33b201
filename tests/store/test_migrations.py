"""The schema: applied once by whoever comes first, recognised by the other, closed to strangers."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from outlast.store.connections import Database
from outlast.store.migrations import migrate, migrations, migrations_folder, versions
from outlast.store.project import ProjectRefused, apply_project
from outlast.store.supabase import play_supabase

ROOT = Path(__file__).parents[2]
TABLES = {"schema_migrations", "workflow_status", "operation_outputs", "instances", "messages"}


def at(url: str) -> Database:
    return Database.at(url, "tests")


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def push(url: str) -> None:
    """What `supabase db push` does with our files: run each, statement by statement, in one transaction."""
    with psycopg.connect(url) as connection:
        for migration in migrations():
            connection.execute(SQL(migration.text()))


async def test_a_migration_of_a_project_beside_ours_is_not_ours(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [each.version for each in migrations()]
    shutil.copytree(migrations_folder(), tmp_path, dirs_exist_ok=True)
    (tmp_path / "29990101000000_theirs.sql").write_text("create table theirs ();")
    monkeypatch.setattr("outlast.store.migrations.migrations_folder", lambda: tmp_path)
    assert [each.version for each in await migrate(at(empty_database))] == ours
    assert rows(empty_database, "select to_regclass('theirs')") == [(None,)]


@pytest.mark.parametrize("sessions", [True, False])
async def test_a_migration_may_take_long_whatever_the_database_is_set_to(
    empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sessions: bool
) -> None:
    (first, *_) = migrations()
    long = first.text().replace("create schema", "select pg_sleep(2.1); create schema", 1)
    (tmp_path / first.path.name).write_text(long)
    monkeypatch.setattr("outlast.store.migrations.migrations_folder", lambda: tmp_path)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        name = Identifier(connection.info.dbname)
        connection.execute(SQL("alter database {} set statement_timeout = '2s'").format(name))
    applied = await migrate(Database.at(empty_database, "tests", sessions))
    assert [each.version for each in applied] == [first.version]


async def test_many_instances_that_start_together_migrate_once(empty_database: str) -> None:
    applied = await asyncio.gather(*[migrate(at(empty_database)) for _ in range(6)])
    assert sorted(one.version for each in applied for one in each) == [one.version for one in migrations()]
    assert await versions(at(empty_database)) == ([], [])
    tables = rows(empty_database, "select tablename from pg_tables where schemaname = 'outlast'")
    assert {name for (name,) in tables} >= TABLES


async def test_a_database_pushed_by_the_supabase_cli_is_recognised(empty_database: str) -> None:
    push(empty_database)
    assert await versions(at(empty_database)) == ([], [])
    assert await migrate(at(empty_database)) == []


async def test_the_supabase_cli_may_push_over_what_the_host_applied(empty_database: str) -> None:
    await migrate(at(empty_database))
    insert = (
        "insert into outlast.workflow_status (workflow_id, function, status) values ('a', 'f', 'SUCCESS')"
    )
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(insert.encode())
    push(empty_database)
    assert rows(empty_database, "select workflow_id from outlast.workflow_status") == [("a",)]
    assert await versions(at(empty_database)) == ([], [])


@pytest.mark.parametrize(
    ("table", "constraint"),
    [("operation_outputs", "workflow_id"), ("messages", "workflow_id"), ("workflow_status", "parent")],
)
def test_a_removal_looks_up_what_belongs_to_a_workflow_by_an_index(
    database: str, table: str, constraint: str
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("set enable_seqscan = off")
        plan = connection.execute(
            f"explain delete from only outlast.{table} where 'w' = {constraint}".encode()
        ).fetchall()
    assert any("Index Cond" in line for (line,) in plan), plan


async def test_a_migration_that_fails_leaves_nothing(empty_database: str, tmp_path: Path) -> None:
    folder = tmp_path / "supabase"
    (folder / "migrations").mkdir(parents=True)
    (folder / "migrations" / "20200101000000_first.sql").write_text("create table first ();")
    bad = "create table second (); select * from no_such_table;"
    (folder / "migrations" / "20200102000000_second.sql").write_text(bad)
    with pytest.raises(ProjectRefused, match=r"20200102000000_second\.sql.*no_such_table"):
        await apply_project(at(empty_database), folder)
    assert rows(empty_database, "select to_regclass('first') is null, to_regclass('second') is null") == [
        (False, True)
    ]
    (folder / "migrations" / "20200102000000_second.sql").write_text("create table second ();")
    assert await apply_project(at(empty_database), folder) == ["20200102000000_second.sql"]


async def test_a_projects_seed_is_sown_once(empty_database: str, tmp_path: Path) -> None:
    seed = "create table if not exists t (n int); insert into t values (1);"
    (tmp_path / "seed.sql").write_text(seed)
    first, second = await asyncio.gather(*[apply_project(at(empty_database), tmp_path) for _ in range(2)])
    assert sorted([first, second]) == [[], ["seed.sql"]]
    assert rows(empty_database, "select n from t") == [(1,)]


async def test_a_project_without_tables_of_its_own_gets_none(empty_database: str, tmp_path: Path) -> None:
    assert await apply_project(at(empty_database), tmp_path) == []
    assert rows(empty_database, "select to_regnamespace('supabase_migrations') is null") == [(True,)]


async def test_the_data_apis_roles_see_no_table(empty_database: str) -> None:
    await play_supabase(at(empty_database))
    await migrate(at(empty_database))
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for role in ("anon", "authenticated"):
            connection.execute(f"set role {role}".encode())
            for table in TABLES:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"select * from outlast.{table}".encode())
            connection.execute("reset role")
    unprotected = "select tablename from pg_tables where schemaname = 'outlast' and not rowsecurity"
    assert rows(empty_database, unprotected) == []


def test_the_database_compiles_no_plan_of_ours_whoever_asks(database: str) -> None:
    """To compile one took longer than claims may take, where a pooler's sessions are set to that."""
    compiled = """
        select proname from pg_proc join pg_language l on l.oid = prolang
        where pronamespace = 'outlast'::regnamespace and lanname = 'plpgsql'
          and not 'jit=off' = any (proconfig)
    """
    assert rows(database, compiled) == []


async def test_ended_workflows_are_in_no_claiming_index(database: str) -> None:
    predicates = rows(
        database,
        """
        select indexrelid::regclass::text, pg_get_expr(indpred, indrelid) from pg_index
        where indrelid = 'outlast.workflow_status'::regclass and indpred is not null
          and pg_get_expr(indpred, indrelid) like '%owner%'
        """,
    )
    free = "(held IS NULL)"
    waits = "(owner IS NULL) AND (claimable_at IS NOT NULL)"
    assert sorted(predicates) == [
        ("outlast.workflow_status_due", f"({waits} AND (queue IS NULL) AND {free})"),
        (
            "outlast.workflow_status_misfit",
            f"((misfits IS NOT NULL) AND {free} AND (owner IS NULL) AND (claimable_at IS NOT NULL))",
        ),
        ("outlast.workflow_status_owned", "(owner IS NOT NULL)"),
        (
            "outlast.workflow_status_queue_ready",
            f"({waits} AND (queue IS NOT NULL) AND (rank IS NOT NULL) AND {free})",
        ),
        (
            "outlast.workflow_status_queue_unready",
            f"({waits} AND (queue IS NOT NULL) AND (rank IS NULL) AND {free})",
        ),
        (
            "outlast.workflow_status_queue_unready_key",
            f"({waits} AND (queue IS NOT NULL) AND (rank IS NULL) AND {free}"
            " AND (status = 'ENQUEUED'::text))",
        ),
        ("outlast.workflow_status_queue_waiting", f"({waits} AND (queue IS NOT NULL))"),
        (
            "outlast.workflow_status_sleeping",
            "((subject IS NOT NULL) AND (owner IS NULL) AND (claimable_at IS NOT NULL))",
        ),
        (
            "outlast.workflow_status_suspects",
            "((owner IS NULL) AND (claimable_at IS NOT NULL) AND (recovery_attempts > 0))",
        ),
    ]


def test_versions_are_times_as_the_supabase_cli_reads_them() -> None:
    for each in migrations():
        time = datetime.strptime(each.version, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        assert f"{time:%Y%m%d%H%M%S}" == each.version


def test_the_wheel_carries_the_same_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "runtime", "supabase"):
        path = ROOT / name
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, source / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=50)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for migration in migrations():
            assert archive.read(f"outlast/migrations/{migration.path.name}").decode() == migration.text()
        assert {"outlast/store/journal.sql", "outlast/store/wake.sql"} <= set(archive.namelist())
        assert "outlast/py.typed" in archive.namelist()
