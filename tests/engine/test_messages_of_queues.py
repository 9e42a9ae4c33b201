"""Messages of Supabase Queues, in memory and in virtual time; with pgmq's own SQL see tests/queues."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import step, workflow
from outlast.testing.pgmq import SupabaseQueue
from tests.engine.harness import engine_on
from tests.engine.memory import Memory

LATE_S = 9.0
"""Later than two beats, and sooner than a look is given up."""


async def test_what_was_given_back_before_its_answer_came_is_not_run(database: str) -> None:
    """Beats find rows that nobody knows, and let them be claimed again. Then the answer comes."""
    if not isinstance(database, Memory):
        pytest.skip("in virtual time alone: the answer takes longer than two beats")
    begun: list[int] = []

    @step
    async def works(number: int) -> int:
        begun.append(number)
        await asyncio.sleep(LATE_S)
        return number

    @workflow(queue="pgmq:orders")
    async def takes(number: int) -> int:
        return await works(number)

    table = database.database.message_queues["orders"] = SupabaseQueue()
    async with engine_on(database, takes) as bench:
        queues: Any = bench.store.message_queues
        consume = queues.consume

        async def late(*args: Any) -> Any:
            consumed = await consume(*args)
            if consumed.workflows:
                await asyncio.sleep(LATE_S)
            return consumed

        queues.consume = late
        table.send('{"number": 7}', database.database.date())
        await bench.until(lambda: not table.messages)
        assert await bench.result("pgmq:orders:1") == 7
        assert begun == [7]
