"""Work that comes by SQL is noticed at once where sessions are real: by LISTEN, and else by the next tick."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import psycopg
import pytest

from outlast import receive, workflow
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

NEVER_S = 3600.0
"""A tick that no test lives to see."""


@workflow
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow
async def hears() -> Any:
    return await receive("topic", timeout=NEVER_S)


def bench_on(url: str, **options: Any) -> AbstractAsyncContextManager[Bench]:
    return engine_on(url, greet, hears, **{"tick_s": NEVER_S, **options})


async def start(bench: Bench, key: str) -> str:
    query = "select outlast.start('greet', '{\"name\": \"Ada\"}', %s) as id"
    return str((await bench.rows(query, key))[0]["id"])


async def test_a_start_is_noticed_without_a_tick(database: str) -> None:
    async with bench_on(database) as bench:
        for key in ("one", "two"):
            assert await bench.result(await start(bench, key)) == "hello Ada"


async def test_a_message_wakes_what_waits_for_it(database: str) -> None:
    async with bench_on(database, moment_s=0.0) as bench:
        workflow_id = await bench.start(hears)
        await bench.suspended(workflow_id)
        await bench.rows("select outlast.send(%s, '7', 'topic')", workflow_id)
        assert await bench.result(workflow_id) == 7


async def test_whoever_may_not_tell_is_found_by_the_look_that_another_causes(database: str) -> None:
    async with bench_on(database) as bench, await psycopg.AsyncConnection.connect(database) as first:
        await first.execute("select outlast.start('greet', '{\"name\": \"Bob\"}', 'first')")
        # It waits for no lock, and commits before the one who tells.
        second = await start(bench, "second")
        assert (await bench.row(second))["status"] == "ENQUEUED"
        await first.commit()
        assert await bench.result(second) == "hello Ada"
        assert await bench.result("greet:first") == "hello Bob"


async def test_whoever_commits_after_it_is_found_by_the_look_after_that(database: str) -> None:
    async with bench_on(database) as bench, await psycopg.AsyncConnection.connect(database) as late:
        teller = await psycopg.AsyncConnection.connect(database)
        async with teller:
            await teller.execute("select outlast.start('greet', '{\"name\": \"Bob\"}', 'first')")
            await late.execute("select outlast.start('greet', '{\"name\": \"Eve\"}', 'late')")
        await late.commit()
        assert await bench.result("greet:late") == "hello Eve"


async def test_nobody_is_told_of_what_is_rolled_back(database: str) -> None:
    async with bench_on(database) as bench, await psycopg.AsyncConnection.connect(database) as listener:
        await listener.execute("listen outlast_due")
        await listener.commit()
        async with await psycopg.AsyncConnection.connect(database) as other:
            await other.execute("select outlast.start('greet', '{\"name\": \"Bob\"}', 'first')")
            await other.rollback()
        await start(bench, "second")
        heard = [each async for each in listener.notifies(timeout=10, stop_after=1)]
        assert [each.payload for each in heard] == [""]


async def test_without_sessions_the_tick_finds_it(database: str) -> None:
    async with bench_on(database, sessions=False, tick_s=0.05) as bench:
        assert await bench.result(await start(bench, "one")) == "hello Ada"
