"""The server ends a session under a transaction's body: that is not the body's error."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import errors

from outlast import WorkflowFailed, transaction, workflow
from tests.engine.harness import engine_on


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
