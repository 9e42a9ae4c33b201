"""`outlast db status` and `outlast db prune`: what is there, what would go, and what went."""

from __future__ import annotations

import json

import psycopg
import pytest

from outlast.cli.db import size_text
from tests.cli.conftest import Runs

ROWS = """
insert into outlast.workflow_status (workflow_id, function, status, untold, completed_at, claimable_at)
select 'old' || n, 'f', 'SUCCESS', false, now() - interval '40 days', null::timestamptz
from generate_series(1, 7) n
union all select 'failed', 'g', 'ERROR', false, now() - interval '31 days', null
union all select 'young', 'g', 'CANCELLED', false, now() - interval '1 day', null
union all select 'alive', 'g', 'PENDING', false, null, now() - interval '1 hour'
"""


@pytest.fixture
def filled(database: str) -> str:
    """A database with workflows of several ages."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ROWS)
        connection.execute("analyze outlast.workflow_status")
        connection.execute("select pg_stat_force_next_flush()")
    return database


def left(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("select count(*) from outlast.workflow_status").fetchone()
        assert row is not None
        return int(row[0])


def test_prune_says_what_would_go_and_removes_that(call: Runs, filled: str) -> None:
    ran = call("db", "prune", "--dry-run", "--json", SUPABASE_DB_URL=filled)
    told = json.loads(ran.out)
    assert told["would_remove"] == 8
    assert [(each["function"], each["workflows"]) for each in told["functions"]] == [("f", 7), ("g", 1)]
    assert left(filled) == 10
    assert call("db", "prune").out == "removed 8 ended workflows\n"
    assert left(filled) == 2
    assert json.loads(call("db", "prune", "--json").out) == {"removed": 0}
    assert call("db", "prune", "--dry-run").out == ""
    assert call("db", "prune", "--days", "0.5").out == "removed 1 ended workflow\n"


def test_the_setting_counts_and_0_keeps_all(call: Runs, filled: str) -> None:
    ran = call("db", "prune", SUPABASE_DB_URL=filled, OUTLAST_RETENTION_DAYS="0")
    assert ran.out == "removed 0 ended workflows\n"
    assert call("db", "prune", OUTLAST_RETENTION_DAYS="35").out == "removed 7 ended workflows\n"
    assert call("db", "prune", OUTLAST_RETENTION_DAYS="-1").status == 1
    assert call("db", "prune", "--days", "0").status == 2


def test_status_tells_sizes_counts_and_what_is_oldest(call: Runs, filled: str) -> None:
    told = json.loads(call("db", "status", "--json", SUPABASE_DB_URL=filled).out)
    tables = {each["name"]: each for each in told["tables"]}
    assert tables["workflow_status"]["bytes"] > tables["workflow_status"]["index_bytes"] > 0
    assert {"rows", "dead", "vacuumed_at"} <= tables["operation_outputs"].keys()
    assert {each["status"]: each["count"] for each in told["counts"]} == {
        "CANCELLED": 1, "ERROR": 1, "PENDING": 1,
    }  # fmt: skip
    assert told["workflows"] == 10
    assert told["oldest"]["ended_at"] < told["oldest"]["due_at"]
    shown = call("db", "status").out
    assert "about 10 workflows in all" in shown
    assert "the oldest that has ended did so at" in shown


def test_status_tells_how_many_there_are_before_postgres_has_analyzed(call: Runs, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ROWS)
        connection.execute("select pg_stat_force_next_flush()")
    assert json.loads(call("db", "status", "--json", SUPABASE_DB_URL=database).out)["workflows"] == 10


def test_sizes_are_readable() -> None:
    assert [size_text(n) for n in (5, 2048, 3 * 1024**3)] == ["5 B", "2.0 KiB", "3.0 GiB"]
