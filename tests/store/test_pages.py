"""Pages of workflows and of steps: every row once, in order, with recorded JSON as it was recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from outlast.core.resources import STEPS, WORKFLOWS
from outlast.core.status import Status
from outlast.store.connections import Database
from outlast.store.pool import Pool
from outlast.store.queries import load
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
    assert await ids(workflows, attribute=("customer", "42")) == ["a:1"]
    assert await ids(workflows, attribute=("note", "y")) == []
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


async def test_a_page_is_read_in_the_order_of_an_index(database: str, workflows: PostgresWorkflows) -> None:
    parameters = dict.fromkeys(
        ("subject", "function", "version", "status", "queue", "parent", "since", "until", "attribute",
         "attribute_value", "after_created_at", "after_workflow_id", "error")
    )  # fmt: skip
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "insert into outlast.workflow_status (workflow_id, function, status, created_at, error) "
            "select 'a:' || n, 'a', 'ERROR', now() - n * interval '1 s', %s::json "
            "from generate_series(1, 3000) n",
            [FAILED],
        )
        connection.execute("analyze outlast.workflow_status")
        for given in ({}, {"error": "nowhere"}, {"after_created_at": START, "after_workflow_id": "a:1"}):
            query = b"explain " + load("workflows.sql")["workflows"].as_bytes(connection)
            rows = connection.execute(query, {**parameters, "limit": 51, **given}).fetchall()
            plan = "\n".join(row[0] for row in rows)
            assert "workflow_status_created" in plan, plan
            assert "Sort" not in plan, plan


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
