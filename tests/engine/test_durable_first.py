"""No step begins on what could still be lost."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from outlast import step, workflow
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

BLOCKED = """
select count(*) as n from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()
"""
MANY_CYCLES = 200


async def journal_waits(bench: Bench) -> bool:
    """Whether a record is on its way and can't become durable."""
    (row,) = await bench.rows(BLOCKED)
    return row["n"] > 0


async def test_a_step_waits_until_all_that_the_body_has_seen_is_durable(database: str) -> None:
    release, running = asyncio.Event(), asyncio.Event()
    begun: list[str] = []

    @step
    async def first() -> int:
        running.set()
        await release.wait()
        return 1

    @step
    async def second(number: int) -> int:
        begun.append("second")
        return number + 1

    @step
    async def beside() -> None:
        begun.append("beside")

    @workflow
    async def flow() -> int:
        async def other() -> None:
            await seen.wait()
            await beside()

        seen = asyncio.Event()
        task = asyncio.create_task(other())
        number = await first()
        seen.set()
        number = await second(number)
        await task
        return number

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await running.wait()
        async with await psycopg.AsyncConnection.connect(database) as holder:
            await holder.execute(
                "select 1 from outlast.workflow_status where workflow_id = %s for update", (workflow_id,)
            )
            release.set()
            await bench.until(lambda: journal_waits(bench))
            for _ in range(MANY_CYCLES):
                await asyncio.sleep(0)
            assert begun == []
        assert await bench.result(workflow_id) == 2
        assert sorted(begun) == ["beside", "second"]
