"""Answers of the database that would take too much memory are cut; what is left out can be asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from outlast.core.claims import ClaimedWorkflow
from outlast.core.resources import EVENTS, STEPS, WORKFLOWS
from outlast.store.connections import Database
from outlast.store.pool import Pool
from outlast.store.workflows import LOOK_BYTES_MAX, PAGE_BYTES_MAX, PostgresWorkflows

MIB = 2**20
RETURNED = """
insert into outlast.workflow_status (workflow_id, function, status, output)
select 'f:' || n, 'f', 'SUCCESS', to_json(repeat('a', %s)) from generate_series(1, %s) n
"""
RECORDED = """
insert into outlast.operation_outputs (workflow_id, step_id, name, output, completion_order, attempts, kind)
select 'f:1', n::text, 'publish e', to_json(repeat('a', %s)), n, 0, 'publish' from generate_series(1, %s) n
"""

OF_F = {"workflow_id": "f:1"}


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """One connection: what an answer leaves behind of it is in the next one's way."""
    pool = Pool(Database.at(database, "tests"), 1)
    yield pool
    await pool.close()


@pytest.fixture
def workflows(pool: Pool) -> PostgresWorkflows:
    """The store of an empty database."""
    return PostgresWorkflows(pool)


def run(database: str, *statements: tuple[Any, ...]) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for statement, *parameters in statements:
            connection.execute(statement, parameters)


@pytest.mark.parametrize("query", ["ended", "states"])
async def test_what_workflows_returned_comes_in_parts(
    database: str, workflows: PostgresWorkflows, query: str
) -> None:
    run(database, (RETURNED, 6 * MIB, 5))
    left = {f"f:{number}" for number in range(1, 6)}
    parts = []
    cut = True
    while cut:
        found, cut = await getattr(workflows, query)([*left, "nobody"])
        assert sum(len(each.output or "") for each in found.values()) <= LOOK_BYTES_MAX
        parts.append(len(found))
        left -= found.keys()
    assert (parts, left) == ([2, 2, 1], set())


async def test_what_is_larger_than_any_part_comes_alone(database: str, workflows: PostgresWorkflows) -> None:
    run(database, (RETURNED, LOOK_BYTES_MAX + 1, 2), (RECORDED, PAGE_BYTES_MAX + 1, 2))
    found, cut = await workflows.ended(["f:1", "f:2"])
    assert (len(found), cut) == (1, True)
    (row,), more = await workflows.listing(STEPS, OF_F, None, 10)
    assert (row["step_id"], more) == ("1", True)
    (row,), more = await workflows.listing(STEPS, OF_F, (row["place"], row["step_id"]), 10)
    assert (row["step_id"], more) == ("2", False)


async def test_a_page_ends_where_it_is_as_large_as_a_page_may_be(
    database: str, workflows: PostgresWorkflows
) -> None:
    run(database, (RETURNED, 1, 1), (RECORDED, MIB, 8))
    rows, more = await workflows.listing(STEPS, OF_F, None, 1000)
    assert ([row["step_id"] for row in rows], more) == (["1", "2", "3"], True)
    rows, more = await workflows.steps_after("f:1", 3, 1000)
    assert ([row["step_id"] for row in rows], more) == (["4", "5", "6"], True)
    rows, more = await workflows.listing(EVENTS, OF_F, (6,), 1000)
    assert ([row["number"] for row in rows], more) == ([7, 8], False)
    rows, more = await workflows.listing(EVENTS, OF_F, (0,), 2)
    assert ([row["number"] for row in rows], more) == ([1, 2], True)


async def test_a_list_ends_so_too(database: str, workflows: PostgresWorkflows) -> None:
    insert = (
        "insert into outlast.workflow_status (workflow_id, function, status, attributes)"
        " select 'f:' || n, 'f', 'SUCCESS', json_build_object('a', repeat('a', %s))"
        " from generate_series(1, 6) n"
    )
    run(database, (insert, MIB))
    after, pages = None, []
    more = True
    while more:
        rows, more = await workflows.listing(WORKFLOWS, {}, after)
        pages.append(len(rows))
        after = (rows[-1]["created_at"], rows[-1]["workflow_id"])
    assert pages == [3, 3]


async def test_a_load_that_is_stopped_leaves_nothing_in_the_way_of_the_next(
    database: str, workflows: PostgresWorkflows
) -> None:
    run(database, (RETURNED, 1, 2), (RECORDED, MIB, 20))

    def claimed() -> ClaimedWorkflow:
        return ClaimedWorkflow("f:1", "f", 1, None)

    for _ in range(3):
        stopped = workflows.load([claimed()], lambda each: each.load_bytes > 3 * MIB)
        assert [each async for each in stopped] == []
    left = workflows.load([claimed(), ClaimedWorkflow("f:2", "f", 1, None)], lambda _: False)
    assert (await anext(left)).workflow_id == "f:1"
    await left.aclose()
    (whole,) = [each async for each in workflows.load([claimed()], lambda _: False)]
    assert len(whole.history.records) == 20
