"""How many workflows of a user sleep and are stored: counted out of indexes, up to the limits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest

from outlast.store.connections import Database
from outlast.store.pool import Pool
from outlast.store.queries import load
from outlast.store.workflows import PostgresWorkflows

ROWS = """
insert into outlast.workflow_status (workflow_id, function, status, subject, owner, claimable_at)
select
  concat('a:', s, ':', n), 'a', case when n % 10 < 8 then 'SUCCESS' else 'PENDING' end, s,
  case when n % 10 = 8 then 'an instance' end, case when n % 10 = 9 then now() end
from generate_series(1, 1000) n, unnest(array['ada', 'eve', null]) s
"""


@pytest.fixture
async def workflows(database: str) -> AsyncIterator[PostgresWorkflows]:
    """The store of a database where each of two users has 1,000 workflows: 100 run and 100 sleep."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ROWS)
        connection.execute("vacuum analyze outlast.workflow_status")
    pool = Pool(Database.at(database, "tests"), 2)
    yield PostgresWorkflows(pool)
    await pool.close()


async def test_a_users_workflows_are_counted(workflows: PostgresWorkflows) -> None:
    assert await workflows.counts("ada", 1_000, 10_000) == (100, 1_000)
    assert await workflows.counts("ada", 7, 9) == (7, 9)
    assert await workflows.counts("nobody", 7, 9) == (0, 0)


async def test_they_are_counted_out_of_indexes(workflows: PostgresWorkflows, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        query = b"explain " + load("workflows.sql")["counts"].as_bytes(connection)
        parameters = {"subject": "ada", "sleeping_max": 10_000, "stored_max": 1_000_000}
        rows = connection.execute(query, parameters).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "workflow_status_sleeping" in plan, plan
    assert "workflow_status_subject" in plan, plan
    assert "Seq Scan" not in plan, plan
