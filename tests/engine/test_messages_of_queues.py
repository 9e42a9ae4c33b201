"""Messages of Supabase Queues, in memory and in virtual time; with pgmq's own SQL see tests/queues."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from outlast import step, workflow
from outlast.core.claims import ASIDE_MAX_S
from outlast.core.observations import MessageSetAside
from outlast.engine.instances.consuming import TRIES_A_SECOND
from outlast.testing.pgmq import SupabaseQueue
from outlast.testing.rows import RowRefused
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


async def test_what_is_refused_is_left_alone_ever_longer_and_told_of_once(database: str) -> None:
    if not isinstance(database, Memory):
        pytest.skip("half an hour, in virtual time alone")

    @workflow(queue="pgmq:orders")
    async def takes(number: int) -> int:
        return number

    table = database.database.message_queues["orders"] = SupabaseQueue()
    database.database.refusing["pgmq:orders:1"] = RowRefused
    pauses: list[int] = []
    async with engine_on(database, takes) as bench:
        queues: Any = bench.store.message_queues
        consume_front = queues.consume_front

        async def noted(*args: Any) -> Any:
            consumed = await consume_front(*args)
            if consumed.aside is not None:
                pauses.append(round(table.messages[1].visible_at - database.database.now()))
            return consumed

        queues.consume_front = noted
        for number in range(3):
            table.send(f'{{"number": {number}}}', database.database.date())
        await bench.until(lambda: len(table.messages) == 1)
        assert await bench.result("pgmq:orders:3") == 2
        await asyncio.sleep(1800.0)
        assert pauses[:9] == [1, 2, 4, 8, 16, 32, 64, 128, 256]
        assert set(pauses[9:]) == {ASIDE_MAX_S}
        told = [each for each in bench.observations if isinstance(each, MessageSetAside)]
        assert [(each.queue, each.message_id) for each in told] == [("orders", 1)]
        database.database.refusing.clear()
        await asyncio.sleep(ASIDE_MAX_S)
        await bench.until(lambda: not table.messages)
        assert await bench.result("pgmq:orders:1") == 0


async def test_where_all_is_refused_tries_are_few_and_what_is_behind_has_its_turn(database: str) -> None:
    if not isinstance(database, Memory):
        pytest.skip("many minutes, in virtual time alone")
    many, tries = 1000, Counter[str]()

    @workflow(queue="pgmq:orders")
    async def takes(number: int) -> int:
        return number

    table = database.database.message_queues["orders"] = SupabaseQueue()

    class Refusing(dict[str, Any]):
        def get(self, workflow_id: str, default: Any = None) -> Any:
            tries[workflow_id] += workflow_id in self
            return super().get(workflow_id, default)

    refused = {f"pgmq:orders:{number}": RowRefused for number in range(1, many + 1)}
    database.database.refusing = Refusing(refused)
    for number in range(1, many + 2):
        table.send(f'{{"number": {number}}}', database.database.date())
    async with engine_on(database, takes) as bench:
        await bench.until(lambda: f"pgmq:orders:{many + 1}" in database.database.workflows)
        # One is tried by itself, and with others where the look begins.
        assert max(tries.values()) <= 2
        assert tries.total() < 1.2 * many
        for _ in range(6):
            tries.clear()
            await asyncio.sleep(20.0)
            # What is due at a look is tried together first.
            assert 0 < tries.total() <= 20 * (TRIES_A_SECOND + 4)
            good = table.send('{"number": 0}', database.database.date()).msg_id
            await asyncio.sleep(2.0)
            assert f"pgmq:orders:{good}" in database.database.workflows
        database.database.refusing.clear()
        await asyncio.sleep(ASIDE_MAX_S)
        await bench.until(lambda: not table.messages)
