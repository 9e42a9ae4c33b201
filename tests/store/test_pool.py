"""The connections that are shared: no more than allowed, none that is broken, and why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg.conninfo import make_conninfo

from outlast.core.ports import Unreachable
from outlast.store import pool as module
from outlast.store.connections import AsyncConn, Database
from outlast.store.gate import NoConnection
from outlast.store.pool import Pool, PoolBusy

LIMIT_S = 20.0


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    pool = Pool(Database.at(database, "tests"), 2)
    yield pool
    await pool.close()


async def pid(connection: AsyncConn) -> int:
    row = await (await connection.execute("select pg_backend_pid()")).fetchone()
    assert row is not None
    return int(row[0])


async def test_a_connection_is_used_again_and_no_more_are_made_than_allowed(pool: Pool) -> None:
    pids = set()

    async def use() -> None:
        async with pool.connection(LIMIT_S) as connection:
            pids.add(await pid(connection))

    await asyncio.gather(*[use() for _ in range(50)])
    assert 1 <= len(pids) <= 2


async def test_who_waits_too_long_is_told_that_all_are_in_use(pool: Pool) -> None:
    async with pool.connection(), pool.connection():
        with pytest.raises(PoolBusy, match="all 2 connections"):
            async with pool.connection(0.05):
                pass
    async with pool.connection(LIMIT_S) as connection:
        await pid(connection)


async def test_who_is_cancelled_while_waiting_takes_no_place(pool: Pool) -> None:
    async def use() -> None:
        async with pool.connection(LIMIT_S):
            pass

    async with pool.connection(), pool.connection():
        waiting = [asyncio.create_task(use()) for _ in range(5)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
    async with asyncio.timeout(LIMIT_S), pool.connection(), pool.connection():
        pass


async def test_one_that_was_left_in_a_transaction_or_broken_is_not_handed_out(pool: Pool) -> None:
    async with pool.connection() as connection:
        first = await pid(connection)
        await connection.execute("begin")
    async with pool.connection() as connection:
        assert await pid(connection) != first
        second = await pid(connection)
        await connection.close()
    async with pool.connection() as connection:
        assert await pid(connection) not in (first, second)


async def test_what_the_user_of_one_raises_comes_out_and_the_place_is_free(pool: Pool) -> None:
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            async with pool.connection():
                raise ZeroDivisionError
    async with asyncio.timeout(LIMIT_S), pool.connection(), pool.connection():
        pass


async def test_idle_ones_are_closed(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S_MAX", 0.05)
    pool = Pool(Database.at(database, "reaped"), 2)
    async with pool.connection() as one, pool.connection() as two:
        assert await pid(one) != await pid(two)
    async with await Database.at(database, "look").connect() as look, asyncio.timeout(LIMIT_S):
        query = "select from pg_stat_activity where application_name = 'reaped'"
        while await (await look.execute(query)).fetchall():
            await asyncio.sleep(0.01)
    async with pool.connection() as again:
        await pid(again)
    await pool.close()


async def test_the_true_cause_is_told_at_once_and_a_place_is_not_lost(database: str) -> None:
    pool = Pool(Database.at(make_conninfo(database, dbname="nosuch"), "tests"), 1)
    for _ in range(3):
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(NoConnection, match='database "nosuch" does not exist'):
                async with pool.connection(5):
                    pass
    await pool.close()


async def test_after_the_end_there_are_none(database: str) -> None:
    pool = Pool(Database.at(database, "tests"), 1)
    async with pool.connection() as late:
        await pool.close()
    assert late.closed
    with pytest.raises(Unreachable):
        async with pool.connection():
            pass
    await pool.close()
