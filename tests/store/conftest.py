"""The database of a test that runs on Postgres and in memory alike."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from outlast.core.ports import BadData
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore
from outlast.testing.database import Database as MemoryDatabase
from outlast.testing.rows import Limits
from outlast.testing.stores import DirectLink, MemoryConnection, MemoryStore
from tests.databases import SUPABASE_TEMPLATE, new_database
from tests.store.alike import LIMITS, Both

REFUSING = """
create or replace function public.refuse() returns trigger language plpgsql as $$
begin
  if old.workflow_id in (select id from public.refusing) then raise exception 'it stays'; end if;
  return coalesce(new, old);
end
$$;
create or replace trigger refuse before update or delete on outlast.workflow_status for each row
execute function public.refuse();
"""


@pytest.fixture(scope="module")
def untouched(postgres: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database like Supabase's, shared by tests of a file that leave nothing in it."""
    tables = """
    select (select count(*) from outlast.workflow_status), (select count(*) from outlast.bulks),
      (select count(*) from outlast.queues), (select count(*) from outlast.schedules)
    """
    with (
        new_database(postgres, SUPABASE_TEMPLATE) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield connection
        assert connection.execute(tables).fetchone() == (0, 0, 0, 0)


@pytest.fixture(params=["postgres", "memory"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where the database is; None: in memory."""
    return request.getfixturevalue("database") if request.param == "postgres" else None


@pytest.fixture
async def both(url: str | None) -> AsyncIterator[Both]:
    """The stores of instances `a` and `b`."""
    if url is None:
        memory = MemoryDatabase(time.time, random.Random(1), Limits(**LIMITS))  # noqa: TID251

        async def write(connection: MemoryConnection) -> None:
            await connection.write(1)

        async def count_effects() -> int:
            return len(memory.effects)

        async def refuse(*ids: str) -> None:
            memory.refusing = dict.fromkeys(ids, BadData)

        a, b = (MemoryStore(memory, DirectLink(memory), name) for name in "ab")
        yield Both(a, b, write, count_effects, refuse)
        return
    opened = [
        PostgresStore(Database.at(url, "tests"), name, "test", 6, RecoveryLimits(**LIMITS)) for name in "ab"
    ]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("create table effects (number int)")

        async def insert(tx: Any) -> None:
            await tx.execute("insert into effects values (1)")

        async def count_rows() -> int:
            row = await (await connection.execute("select count(*) from effects")).fetchone()
            assert row is not None
            return int(row[0])

        async def refuse_rows(*ids: str) -> None:
            await connection.execute("create table if not exists refusing (id text)")
            await connection.execute("delete from refusing")
            await connection.execute("insert into refusing select unnest(%s::text[])", (list(ids),))
            await connection.execute(REFUSING)

        yield Both(opened[0], opened[1], insert, count_rows, refuse_rows)
    for each in opened:
        await each.close()
