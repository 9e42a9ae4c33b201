"""The server ends sessions: under a transaction's body, in the pool, and one that nothing uses."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import psycopg
import pytest
from psycopg import errors

from outlast import WorkflowFailed, step, transaction, workflow
from outlast.store.connections import Database, SoleConnection
from tests.engine.harness import WAIT_S, engine_on

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("last_word", [errors.AdminShutdown, errors.CrashShutdown, errors.ConnectionFailure])
async def test_the_servers_last_word_runs_the_body_again(
    database: str, last_word: type[psycopg.Error]
) -> None:
    """The connection may look whole for a moment after it."""
    runs = 0

    @transaction
    async def pay(tx: Any) -> int:
        nonlocal runs
        runs += 1
        await tx.execute("create table if not exists paid ()")
        if runs == 1:
            raise last_word("terminating connection")
        return runs

    @workflow
    async def buy() -> int:
        return await pay()

    async with engine_on(database, buy) as bench:
        assert await bench.run(buy) == 2


async def test_a_statement_that_was_cancelled_is_the_bodys_error(database: str) -> None:
    @transaction
    async def pay(tx: Any) -> None:
        await tx.execute("set local statement_timeout = 10")
        await tx.execute("select pg_sleep(20)")

    @workflow
    async def buy() -> None:
        await pay()

    async with engine_on(database, buy) as bench:
        with pytest.raises(WorkflowFailed):
            await bench.run(buy)


async def test_the_end_of_an_unused_connection_is_told_once_and_other_news_is_not(database: str) -> None:
    ended = asyncio.Queue[None]()
    sole = SoleConnection(Database.at(database, "tests"), "news")
    sole.when_ended(lambda: ended.put_nowait(None))
    told = asyncio.Queue[None]()
    sole.when_notified(lambda: told.put_nowait(None))
    async with (
        asyncio.timeout(WAIT_S),
        await psycopg.AsyncConnection.connect(database, autocommit=True) as other,
    ):
        async with sole.use(WAIT_S) as connection:
            pid = connection.info.backend_pid
        await other.execute("notify news")
        await told.get()
        async with sole.use(WAIT_S) as same:  # and while it is used
            assert same.info.backend_pid == pid
            await other.execute("notify news")
            while told.empty():
                await same.execute("select 1")
        assert ended.empty()

        await other.execute("select pg_terminate_backend(%s)", (pid,))
        await ended.get()
        assert connection.closed
        async with sole.use(WAIT_S) as fresh:
            assert fresh.info.backend_pid != pid
        await told.get()
        await other.execute("notify news")
        await told.get()
        await sole.close()
        assert ended.empty()


async def test_a_pool_full_of_dead_connections_fails_nobody(database: str) -> None:
    """All sessions of an instance are ended at once, again and again, between and under its transactions."""
    width, rounds = 20, 5
    ready, go = asyncio.Semaphore(0), asyncio.Event()

    @transaction
    async def pay(tx: Any, key: str) -> str:
        await tx.execute("insert into paid (key) values (%s)", (key,))
        return key

    @step
    async def pause() -> None:
        ready.release()
        await go.wait()

    @workflow
    async def buy(key: str) -> list[str]:
        first = await pay(f"{key}-1")
        await pause()
        return [first, await pay(f"{key}-2")]

    async with engine_on(database, buy) as bench:
        await bench.rows("create table paid (key text primary key)")
        end_all = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tests'"
        end_all += " and datname = current_database() and pid <> pg_backend_pid()"
        for each in range(rounds):
            go.clear()
            ids = [await bench.start(buy, f"{each}-{n}") for n in range(width)]
            for _ in range(width):
                await asyncio.wait_for(ready.acquire(), WAIT_S)
            assert len(await bench.rows(end_all)) >= 3  # the pool's, the journal's and the lease's
            go.set()
            ended = [await bench.result(workflow_id) for workflow_id in ids]
            assert ended == [[f"{each}-{n}-1", f"{each}-{n}-2"] for n in range(width)]
        (paid,) = await bench.rows("select count(*) from paid")
        assert paid["count"] == 2 * width * rounds


async def test_readers_get_none_of_the_dead_connections_of_a_pool(database: str) -> None:
    """There are more of them than tries."""

    @workflow
    async def nothing() -> None: ...

    async with engine_on(database, nothing) as bench:
        workflow_id = await bench.start(nothing)
        await bench.result(workflow_id)
        pool = bench.store._pool
        for _ in range(3):
            assert pool.size > 3
            async with AsyncExitStack() as held:
                borrowed = [await held.enter_async_context(pool.connection()) for _ in range(pool.size)]
                pids = [each.info.backend_pid for each in borrowed]
            await bench.rows("select pg_terminate_backend(pid) from unnest(%s::int[]) pid", pids)

            async def ended(pids: list[int] = pids) -> bool:
                return not await bench.rows("select from pg_stat_activity where pid = any(%s)", pids)

            await bench.until(ended)
            assert set((await bench.store.workflows.states([workflow_id])).found) == {workflow_id}
