"""A database that takes no writes for a while: nothing fails by it, and all goes on afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from outlast import step, transaction, workflow
from outlast.core.ports import Conflicted, NotNow, TransactionWork, Unreachable
from outlast.core.records import StepRecord
from outlast.core.verbs import PAUSE
from outlast.store.connections import Database
from outlast.store.pool import Pool
from outlast.store.transactions import PostgresTransactions
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres


@step
async def work() -> str:
    return "worked"


@transaction
async def note(tx: Any) -> int:
    await tx.execute("insert into noted values (1)")
    return 1


@transaction
async def brakes_itself(tx: Any) -> None:
    await tx.execute("set transaction read only")
    await tx.execute("insert into noted values (2)")


@workflow
async def works_and_notes() -> list[Any]:
    return [await work(), await note()]


@workflow
async def fails_by_itself() -> None:
    await brakes_itself()


def brake(url: str, value: str) -> None:
    """Say whether the database is read-only. New sessions hear of it: those that are there end."""
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        name = sql.Identifier(connection.info.dbname)
        said = sql.SQL("alter database {} set default_transaction_read_only = {}")
        connection.execute(said.format(name, sql.SQL(value)))
        if value == "on":
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )


async def _refused(bench: Bench, workflow_id: str) -> bool:
    try:
        await bench.store.workflows.act(PAUSE, workflow_id, {}, "me")
    except Unreachable as error:
        return "read-only" in str(error)
    return False


async def test_all_goes_on_when_a_database_takes_writes_again(database: str) -> None:
    async with engine_on(database, works_and_notes) as bench:
        await bench.rows("create table noted (n int)")
        first = await bench.start(works_and_notes)
        assert await bench.result(first) == ["worked", 1]
        brake(database, "on")
        # Each part has a session that can't write, from now on.
        await bench.until(lambda: _refused(bench, first))
        second = asyncio.create_task(bench.start(works_and_notes))
        await bench.until(lambda: _refused(bench, first))
        brake(database, "off")
        assert await bench.result(await second) == ["worked", 1]
        assert await bench.rows("select count(*)::int as n from noted") == [{"n": 2}]
        with pytest.raises(NotNow, match="SUCCESS"):
            await bench.store.workflows.act(PAUSE, first, {}, "me")


@pytest.mark.parametrize("sessions", [True, False])
async def test_a_transaction_is_not_what_fails_where_nothing_can_be_written(
    database: str, sessions: bool
) -> None:
    async def run(tx: Any) -> StepRecord:
        await tx.execute("create table noted (n int)")
        raise AssertionError("it wrote")

    url = make_conninfo(database, options="-c default_transaction_read_only=on")
    pool = Pool(Database.at(url, "outlast/tests", sessions), 1)
    with pytest.raises(Unreachable, match="read-only"):
        await PostgresTransactions(pool, "i").transact(TransactionWork(run, False, None), None)
    await pool.close()


async def test_behind_a_pooler_a_transaction_that_brakes_itself_is_run_again_a_few_times(
    database: str,
) -> None:
    async def run(tx: Any) -> StepRecord:
        await tx.execute("set transaction read only")
        await tx.execute("create table noted (n int)")
        raise AssertionError("it wrote")

    pool = Pool(Database.at(database, "outlast/tests", sessions=False), 1)
    with pytest.raises(Conflicted, match="read-only"):
        await PostgresTransactions(pool, "i").transact(TransactionWork(run, False, None), None)
    await pool.close()


async def test_a_session_that_can_not_write_is_used_once(database: str) -> None:
    pool = Pool(Database.at(make_conninfo(database, options="-c default_transaction_read_only=on"), "t"), 1)
    async with pool.connection() as first:
        assert first.reads_only
    async with pool.connection() as second:
        assert second is not first
        await second.execute("set default_transaction_read_only = off")
    async with pool.connection() as third:
        assert third is second
    await pool.close()


async def test_a_transaction_that_brakes_itself_fails(database: str) -> None:
    async with engine_on(database, fails_by_itself) as bench:
        await bench.rows("create table noted (n int)")
        workflow_id = await bench.start(fails_by_itself)
        failure = await bench.failure(workflow_id)
        assert failure["failure"]["type"] == "ReadOnlySqlTransaction"
