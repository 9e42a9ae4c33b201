"""Work that comes by SQL is noticed at once where sessions are real: by LISTEN, and else by the next tick."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import psycopg
import pytest

from outlast import Queue, receive, workflow
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

NEVER_S = 3600.0
"""A tick that no test lives to see."""


@workflow
async def greet(name: str) -> str:
    return f"hello {name}"


@workflow
async def stays() -> None:
    await asyncio.Event().wait()


@workflow(queue=Queue("q", key="name", exclusive=True, on_busy="replace"))
async def alone(name: str) -> None:
    await asyncio.Event().wait()


@workflow
async def hears() -> Any:
    return await receive("topic", timeout=NEVER_S)


def bench_on(url: str, **options: Any) -> AbstractAsyncContextManager[Bench]:
    return engine_on(url, greet, hears, stays, alone, **{"tick_s": NEVER_S, **options})


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


ENDS = {
    "cancel": "select outlast.cancel(%s) as done",
    "kill": "select status from outlast.cancel_workflow(%s, mode => 'kill')",
    "replace": "select outlast.start('alone', '{\"name\": \"Ada\"}', 'newer') as id where %s <> ''",
}


@pytest.mark.parametrize("sessions", [True, False])
@pytest.mark.parametrize("how", ENDS)
async def test_who_runs_what_is_cancelled_hears_of_it(database: str, how: str, sessions: bool) -> None:
    """By a notification, or else by the next tick: long before it renews its lease."""
    tick_s = NEVER_S if sessions else 0.05
    async with bench_on(database, sessions=sessions, tick_s=tick_s, lease_ttl_s=24 * NEVER_S) as bench:
        begins = "select outlast.start('alone', '{\"name\": \"Ada\"}') as id"
        workflow_id = (await bench.rows(begins))[0]["id"]
        await bench.until(lambda: workflow_id in bench.live)
        await bench.rows(ENDS[how], workflow_id)
        await bench.until(lambda: workflow_id not in bench.live)


async def test_cancels_of_one_commit_notify_once_and_only_where_something_runs(database: str) -> None:
    async with (
        bench_on(database, moment_s=0.0) as bench,
        await psycopg.AsyncConnection.connect(database, autocommit=True) as listener,
        await psycopg.AsyncConnection.connect(database) as other,
    ):
        waits = await bench.start(hears)
        await bench.suspended(waits)
        running = [await bench.start(stays) for _ in range(3)]
        await listener.execute("listen outlast_due")
        await other.execute("select outlast.cancel(%s)", [waits])
        await other.commit()
        for each in running:
            await other.execute("select outlast.cancel(%s)", [each])
        await other.commit()
        await bench.until(lambda: not bench.live)
        await other.execute("notify outlast_due, 'over'")
        await other.commit()
        heard = [each.payload async for each in listener.notifies(timeout=10, stop_after=2)]
        assert heard == ["", "over"]


async def test_without_sessions_the_tick_finds_it(database: str) -> None:
    async with bench_on(database, sessions=False, tick_s=0.05) as bench:
        assert await bench.result(await start(bench, "one")) == "hello Ada"
