"""Pages of workflows and of steps: every row once, in order, with recorded JSON as it was recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from outlast.core.listing import Filters
from outlast.core.status import Status
from outlast.store.connections import Database
from outlast.store.pool import Pool
from outlast.store.workflows import PostgresWorkflows

START = datetime(2026, 11, 22, 10, 0, 0, 123456, UTC)


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
    return [row["workflow_id"] for row in await workflows.page(Filters(**filters))]


async def test_each_filter(database: str, workflows: PostgresWorkflows) -> None:
    insert(database, "a:1", "SUCCESS", queue="mail", attributes='{"customer":42,"note":"x"}')
    insert(database, "a:2", created_at=START + timedelta(days=1))
    insert(database, "b:1/1", "ERROR", parent="a:2", created_at=START + timedelta(days=2))
    assert await ids(workflows) == ["b:1/1", "a:2", "a:1"]
    assert await ids(workflows, function="a") == ["a:2", "a:1"]
    assert await ids(workflows, statuses=[Status.ERROR, Status.PENDING]) == ["b:1/1", "a:2"]
    assert await ids(workflows, queue="mail") == ["a:1"]
    assert await ids(workflows, parent="a:2") == ["b:1/1"]
    assert await ids(workflows, since=START + timedelta(days=1)) == ["b:1/1", "a:2"]
    assert await ids(workflows, until=START + timedelta(days=1)) == ["a:1"]
    assert await ids(workflows, attribute=("customer", "42")) == ["a:1"]
    assert await ids(workflows, attribute=("note", "y")) == []
    assert await ids(workflows, function="'; drop table x; --") == []


async def test_pages_of_workflows_of_one_moment(database: str, workflows: PostgresWorkflows) -> None:
    for number in range(5):
        insert(database, f"a:{number}")
    after, seen = None, []
    while page := await workflows.page(Filters(after=after, limit=2)):
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
    assert [row["step_id"] for row in await workflows.steps("a:1")] == in_order
    after, seen = None, []
    while page := await workflows.steps("a:1", after, 2):
        assert len(page) <= 2
        seen += [row["step_id"] for row in page]
        after = (page[-1]["place"], page[-1]["step_id"])
    assert seen == in_order
    assert page == []
    assert (await workflows.steps("a:1"))[0]["output"] == "12345678901234567890123"


async def test_show_gives_json_as_text(database: str, workflows: PostgresWorkflows) -> None:
    recorded = '{"big": 12345678901234567890123, "twice": 1, "twice": 2}'
    insert(database, "a:1", input=recorded, attributes='{"customer":42}')
    row = await workflows.show("a:1", None)
    assert row is not None
    assert (row["input"], row["attributes"], row["output"]) == (recorded, '{"customer":42}', None)
    assert row["created_at"] == START
    assert await workflows.show("a:2", None) is None
