"""Pages of workflows and of steps: every row once, in order, with recorded JSON as it was recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
import pytest

from outlast.core.ports import TookTooLong
from outlast.core.resources import STEPS, WORKFLOWS
from outlast.core.status import Status
from outlast.store.connections import Database
from outlast.store.pool import Pool
from outlast.store.workflows import PostgresWorkflows

START = datetime(2026, 11, 22, 10, 0, 0, 123456, UTC)

OF_A = {"workflow_id": "a:1"}


@pytest.fixture
async def workflows(database: str) -> AsyncIterator[PostgresWorkflows]:
    """The store of an empty database."""
    pool = Pool(Database.at(database, "tests"), 2)
    yield PostgresWorkflows(pool)
    await pool.close()


def insert(database: str, workflow_id: str, status: str = "PENDING", **columns: object) -> None:
    columns = {"function": workflow_id.partition(":")[0], "created_at": START, **columns}
    names = ", ".join(columns)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            f"insert into outlast.workflow_status (workflow_id, status, {names}) "
            f"values (%s, %s, {', '.join(['%s'] * len(columns))})",
            [workflow_id, status, *columns.values()],
        )


async def ids(workflows: PostgresWorkflows, **filters: Any) -> list[str]:
    return [row["workflow_id"] for row in (await workflows.listing(WORKFLOWS, filters)).rows]


async def test_each_filter(database: str, workflows: PostgresWorkflows) -> None:
    insert(database, "a:1", "SUCCESS", queue="mail", attributes='{"customer":42,"note":"x"}')
    insert(database, "a:2", created_at=START + timedelta(days=1))
    insert(database, "b:1/1", "ERROR", parent="a:2", created_at=START + timedelta(days=2))
    assert await ids(workflows) == ["b:1/1", "a:2", "a:1"]
    assert await ids(workflows, function="a") == ["a:2", "a:1"]
    assert await ids(workflows, status=[Status.ERROR, Status.PENDING]) == ["b:1/1", "a:2"]
    assert await ids(workflows, queue="mail") == ["a:1"]
    assert await ids(workflows, parent="a:2") == ["b:1/1"]
    assert await ids(workflows, since=START + timedelta(days=1)) == ["b:1/1", "a:2"]
    assert await ids(workflows, until=START + timedelta(days=1)) == ["a:1"]
    assert await ids(workflows, attribute=[("customer", "42")]) == ["a:1"]
    assert await ids(workflows, attribute=[("note", "y")]) == []
    assert await ids(workflows, function="'; drop table x; --") == []


FAILED = (
    '{"code":"workflow_error","failure":{"type":"ValueError","message":"Card 42 declined\\u0000\\nmore",'
    '"traceback":"Traceback: hunter2"}}'
)


async def test_errors_are_shown_and_found_by_their_text(database: str, workflows: PostgresWorkflows) -> None:
    insert(database, "a:1", "ERROR", error=FAILED, version="v1", subject="ada")
    insert(
        database, "a:2", "ERROR", error='{"code":"http_exception","status":404,"detail":{"what":"no Order"}}'
    )
    insert(database, "a:3", "CANCELLED", error='{"code":"workflow_cancelled","message":"it was cancelled"}')
    insert(database, "a:4", "SUCCESS", version="v2")
    insert(database, "a:5", "ERROR", error="{}")
    rows = {row["workflow_id"]: row for row in (await workflows.listing(WORKFLOWS, {})).rows}
    assert rows["a:1"]["error_message"] == "ValueError: Card 42 declined\ufffd\nmore"
    assert rows["a:2"]["error_message"] == '{"what":"no Order"}'
    assert (rows["a:3"]["error_code"], rows["a:4"]["error_code"]) == ("workflow_cancelled", None)
    assert await ids(workflows, error="card 42 DECLINED") == ["a:1"]
    assert await ids(workflows, error="no order") == ["a:2"]
    assert await ids(workflows, error="cancelled", function="a") == ["a:3"]
    assert await ids(workflows, error="hunter2") == []
    assert await ids(workflows, error="%") == []
    assert await ids(workflows, version="v1") == ["a:1"]
    assert await ids(workflows, version="v2", error="x") == []


async def test_a_user_neither_sees_nor_finds_the_text_of_an_exception(
    database: str, workflows: PostgresWorkflows
) -> None:
    insert(database, "a:1", "ERROR", error=FAILED, subject="ada")
    insert(
        database, "a:2", "ERROR", error='{"code":"non_determinism","message":"step secret"}', subject="ada"
    )
    insert(database, "a:3", "ERROR", error='{"code":"http_exception","detail":"no order"}', subject="ada")
    (found, _) = await workflows.listing(WORKFLOWS, {"subject": "ada"})
    rows = {row["workflow_id"]: row["error_message"] for row in found}
    assert rows == {"a:1": None, "a:2": None, "a:3": "no order"}
    for text in ("declined", "ValueError", "secret"):
        assert await ids(workflows, subject="ada", error=text) == []
    assert await ids(workflows, subject="ada", error="NO ORDER") == ["a:3"]


FEW = [
    # What few rows have, and by which index those are read.
    ("status", "{PENDING}", "workflow_status_live"),
    ("function", "rare", "workflow_status_function"),
    ("prefix", "rare:", "workflow_status_p"),  # its own; where the collation is C, the primary key
    ("version", "old", "workflow_status_newest"),
    ("status", "{ERROR,EXHAUSTED}", "workflow_status_failed"),
    ("error", "nowhere", "workflow_status_failed"),
    ("has_parent", "false", "workflow_status_newest"),
    ("parent", "rare:1", "workflow_status_parent"),
    ("attribute", "{customer:7}", "workflow_status_attributes"),
    ("completed_since", "2026-11-22", "workflow_status_completed"),
]
MANY = """
insert into outlast.workflow_status (workflow_id, function, status) values ('a:map', 'a', 'PENDING');
insert into outlast.workflow_status (
  workflow_id, function, version, status, queue, parent, created_at, completed_at, attributes, error)
select
  f.name || ':' || f.name || n, f.name, f.version, f.status, f.name, f.parent,
  '2026-01-01'::timestamptz + n * f.span, '2026-01-02'::timestamptz + n * f.span,
  json_build_object('customer', n), f.error
from (values
  ('rare', 'old', 'ERROR', null, 5, interval '1 s', '{"code": "x"}'::json),
  ('a', 'new', 'SUCCESS', 'a:map', 30000, interval '1 s', null)
) as f (name, version, status, parent, count, span, error), generate_series(1, f.count) n
"""


class Read(NamedTuple):
    """What a statement has read of `workflow_status`."""

    indexes: set[str]
    rows: int
    whole: bool


def read_by(connection: psycopg.Connection[Any], **given: str) -> Read:
    """What `outlast.find_workflows` reads where these filters are given."""
    given = {"most": "51", **given}
    arguments = ", ".join(f"{name} => %({name})s" for name in given)
    with connection.transaction():
        connection.execute(f"select * from outlast.find_workflows({arguments})".encode(), given)
        found = connection.execute(
            """
            select
              (select coalesce(array_agg(i.indexrelid::regclass::text), '{}') from pg_index i
              where i.indrelid = c.oid and pg_stat_get_xact_numscans(i.indexrelid) > 0),
              pg_stat_get_xact_tuples_fetched(c.oid), pg_stat_get_xact_numscans(c.oid) > 0
            from pg_class c where c.oid = 'outlast.workflow_status'::regclass
            """
        ).fetchone()
    assert found is not None
    indexes, rows, whole = found
    return Read({name.removeprefix("outlast.") for name in indexes}, rows, whole)


def test_a_page_is_read_by_an_index_of_its_filter(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(MANY)
        connection.execute("analyze outlast.workflow_status")
        for name, value, index in FEW:
            read = read_by(connection, **{name: value})
            assert any(each.startswith(index) for each in read.indexes), (name, read)
            assert not read.whole, (name, read)
            assert read.rows < 100, (name, read)


def test_a_page_is_read_in_the_order_of_an_index(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(MANY)
        connection.execute("analyze outlast.workflow_status")
        after = {"after_created_at": "2026-01-02", "after_workflow_id": "a:1"}
        common: tuple[dict[str, str], ...] = (
            {}, {"function": "a"}, {"version": "new"}, {"status": "{SUCCESS}"}, {"has_parent": "true"},
            {"has_parent": "false"}, {"prefix": "a:"}, {"parent": "a:map"}, {"queue": "a"},
            {"completed_since": "2026-01-01"},
        )  # fmt: skip
        for given in common:
            for more in ({}, after, {**after, "ascending": "true"}):
                read = read_by(connection, **given, **more)
                assert read.rows < 200, (given, more, read)
                assert not read.whole, (given, more, read)


async def test_the_filters_beside_those_of_columns(database: str, workflows: PostgresWorkflows) -> None:
    day = timedelta(days=1)
    insert(database, "a:1", "SUCCESS", completed_at=START + day, attributes='{"n":42,"b":true}')
    insert(database, "a:12", "PENDING", created_at=START + day)
    insert(database, "b:1", "ERROR", parent="a:1", created_at=START + 2 * day, completed_at=START + 3 * day)
    assert await ids(workflows, prefix="a:1") == ["a:12", "a:1"]
    assert await ids(workflows, prefix="a%") == []
    assert await ids(workflows, has_parent=True) == ["b:1"]
    assert await ids(workflows, has_parent=False) == ["a:12", "a:1"]
    assert await ids(workflows, completed_since=START + day) == ["b:1", "a:1"]
    assert await ids(workflows, completed_until=START + 3 * day) == ["a:1"]
    assert await ids(workflows, ascending=True) == ["a:1", "a:12", "b:1"]
    assert await ids(workflows, attribute=[("n", "42")]) == ["a:1"]
    assert await ids(workflows, attribute=[("b", "true")]) == ["a:1"]
    assert await ids(workflows, attribute=[("n", "42"), ("b", "true")]) == ["a:1"]
    assert await ids(workflows, attribute=[("n", "42"), ("b", "false")]) == []
    after, seen = None, []
    more = True
    while more:
        page, more = await workflows.listing(WORKFLOWS, {"ascending": True}, after, 1)
        seen += [row["workflow_id"] for row in page]
        after = (page[-1]["created_at"], page[-1]["workflow_id"])
    assert seen == ["a:1", "a:12", "b:1"]


async def test_pages_of_workflows_of_one_moment(database: str, workflows: PostgresWorkflows) -> None:
    for number in range(5):
        insert(database, f"a:{number}")
    after, seen = None, []
    more = True
    while more:
        page, more = await workflows.listing(WORKFLOWS, {}, after, 2)
        seen += [row["workflow_id"] for row in page]
        after = (page[-1]["created_at"], page[-1]["workflow_id"])
    assert seen == ["a:4", "a:3", "a:2", "a:1", "a:0"]


async def test_pages_of_steps_end_with_sleeps(database: str, workflows: PostgresWorkflows) -> None:
    insert(database, "a:1")
    with psycopg.connect(database, autocommit=True) as connection:
        for step_id, order in [("1", 2), ("2.1", 1), ("3", None), ("2.2", 10), ("4", None)]:
            connection.execute(
                "insert into outlast.operation_outputs (workflow_id, step_id, name, output, completion_order)"
                " values ('a:1', %s, 'charge', '12345678901234567890123', %s)",
                [step_id, order],
            )
    in_order = ["2.1", "1", "2.2", "3", "4"]
    assert [row["step_id"] for row in (await workflows.listing(STEPS, OF_A)).rows] == in_order
    after, seen = None, []
    more = True
    while more:
        page, more = await workflows.listing(STEPS, OF_A, after, 2)
        assert 1 <= len(page) <= 2
        seen += [row["step_id"] for row in page]
        after = (page[-1]["place"], page[-1]["step_id"])
    assert seen == in_order
    assert (await workflows.listing(STEPS, OF_A, after, 2)) == ([], False)
    assert (await workflows.listing(STEPS, OF_A)).rows[0]["output"] == "12345678901234567890123"


async def test_show_gives_json_as_text(database: str, workflows: PostgresWorkflows) -> None:
    recorded = '{"big": 12345678901234567890123, "twice": 1, "twice": 2}'
    insert(database, "a:1", input=recorded, attributes='{"customer":42}')
    row = await workflows.show("a:1")
    assert row is not None
    assert (row["input"], row["attributes"], row["output"]) == (recorded, '{"customer":42}', None)
    assert row["created_at"] == START
    assert await workflows.show("a:2") is None


SLOW = """
create or replace function outlast.error_told(error json, whole boolean, out code text, out message text)
language plpgsql as $$
begin
  perform pg_sleep(30);
end
$$;
"""


async def test_a_search_that_takes_too_long_is_given_up_once(
    database: str, workflows: PostgresWorkflows, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(database, "a:1", status="ERROR", error='{"code": "workflow_error", "message": "m"}')
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SLOW.encode())
        monkeypatch.setattr("outlast.store.workflows.SEARCH_S", 0.2)
        async with asyncio.timeout(10):
            with pytest.raises(TookTooLong):
                await workflows.listing(WORKFLOWS, {"error": "nowhere"}, None, 10)
        # What the server gave up it has left, and the connection bears the limit no more.
        busy = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'"
        busy += " and backend_type = 'client backend'"  # autovacuum comes when it likes
        assert connection.execute(busy).fetchone() == (1,)
    assert await workflows.listing(WORKFLOWS, {"prefix": "b:"}) == ([], False)
