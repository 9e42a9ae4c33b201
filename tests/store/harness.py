"""Stores of instances that a test names, and what the database holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from psycopg import AsyncConnection

from outlast.core.records import Batch, NewWorkflow, StepRecord
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore
from tests.looks import look

WAIT_S = 20.0
BLOCKED = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


@contextlib.asynccontextmanager
async def store_of(url: str, instance: str = "me", **limits: Any) -> AsyncIterator[PostgresStore]:
    """An instance's store."""
    store = PostgresStore(Database.at(url, "tests"), instance, "test", 4, RecoveryLimits(**limits))
    try:
        yield store
    finally:
        await store.close()


async def start(store: PostgresStore, *ids: str, nonce: int = 1) -> None:
    """Start workflows of function `f`."""
    done = await store.journal.commit(Batch(nonce, [NewWorkflow(each, "f", "{}") for each in ids], []))
    assert done.started == set(ids)


def step(number: int, output: str = "1") -> StepRecord:
    """A record."""
    return StepRecord(str(number), "s", output, None, 1, number)


async def rows(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What the database holds."""
    return await look(url, query, *parameters)


async def waits_for_a_lock(url: str, task: asyncio.Task[Any]) -> None:
    """Until a statement of `task` waits for somebody's transaction, or the task is over without."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection, asyncio.timeout(WAIT_S):
        while not task.done():
            if await (await connection.execute(BLOCKED)).fetchone():
                return
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def under_way(url: str, statement: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A transaction of somebody else's that has done `statement`, and commits at the end of the block."""
    async with await AsyncConnection.connect(url) as connection:
        await connection.execute(statement.encode())
        yield connection
