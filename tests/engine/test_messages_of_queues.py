"""Messages of Supabase Queues, in memory and in virtual time; with pgmq's own SQL see tests/queues."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from outlast import step, workflow
from outlast.core.claims import ASIDE_MAX_S, Consumed, SetAside, aside_s
from outlast.core.observations import MessageSetAside
from outlast.core.ports import MessageRefused
from outlast.engine.instances.consuming import LOOK_LIMIT_S, TRIES_A_SECOND
from outlast.testing.pgmq import QueuedMessage, SupabaseQueue
from outlast.testing.rows import RowRefused
from tests.engine.harness import Bench, engine_on
from tests.engine.memory import Memory

LATE_S = 9.0
"""Later than two beats, and sooner than a look is given up."""

LOCK_S = 0.3
"""So long the store waits for a lock."""


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


def slow_down(bench: Bench, queue: str, takes_s: Callable[[], float]) -> None:
    """Let each look at this queue take so long, as where a trigger waits for something outside."""
    queues: Any = bench.store.message_queues

    def slowly(consume: Callable[..., Any]) -> Callable[..., Any]:
        async def consume_slowly(name: str, *args: Any) -> Any:
            if name == queue:
                await asyncio.sleep(takes_s())
            return await consume(name, *args)

        return consume_slowly

    queues.consume, queues.consume_front = slowly(queues.consume), slowly(queues.consume_front)


async def test_a_slow_queue_rarely_keeps_others_waiting(database: str) -> None:
    if not isinstance(database, Memory):
        pytest.skip("ten minutes, in virtual time alone")
    waited_s: list[float] = []

    @workflow(queue="pgmq:orders")
    async def takes(sent_s: float) -> None:
        waited_s.append(asyncio.get_running_loop().time() - sent_s)

    @workflow(queue="pgmq:slow")
    async def takes_slowly(number: int) -> int:
        return number

    memory = database.database
    slow, orders = (memory.message_queues.setdefault(each, SupabaseQueue()) for each in ("slow", "orders"))
    async with engine_on(database, takes, takes_slowly) as bench:
        slow_down(bench, "slow", lambda: 30.0)
        for number in range(20):
            slow.send(f'{{"number": {number}}}', memory.date())
        for _ in range(600):
            orders.send(f'{{"sent_s": {memory.now()}}}', memory.date())
            await asyncio.sleep(1.0)
        await asyncio.sleep(200.0)
        assert (len(waited_s), len(slow.messages)) == (600, 0)
        assert max(waited_s) < LOOK_LIMIT_S + 1.0
        assert sum(each > 1.0 for each in waited_s) < 60  # one in ten, and ever fewer
        for number in range(20):
            assert await bench.result(f"pgmq:slow:{number + 1}") == number


async def test_looks_beside_each_other_take_no_more_than_there_is_room_for(database: str) -> None:
    if not isinstance(database, Memory):
        pytest.skip("a queue that is slow, in virtual time alone")
    go = asyncio.Event()

    @step
    async def holds() -> None:
        await go.wait()

    @workflow(queue="pgmq:orders")
    async def takes(number: int) -> None:
        await holds()

    @workflow(queue="pgmq:slow")
    async def takes_slowly(number: int) -> None:
        await holds()

    memory = database.database
    tables = [memory.message_queues.setdefault(each, SupabaseQueue()) for each in ("slow", "orders")]
    seconds = iter([LOOK_LIMIT_S + 1.0])
    async with engine_on(database, takes, takes_slowly, workflows_max=16, claim_batch=4) as bench:
        slow_down(bench, "slow", lambda: next(seconds, 2.0))
        tables[0].send('{"number": 0}', memory.date())
        await bench.until(lambda: not tables[0].messages)
        for table in tables:
            for number in range(30):
                table.send(f'{{"number": {number}}}', memory.date())
        await asyncio.sleep(60.0)
        assert len(bench.live) == 12
        go.set()
        await asyncio.sleep(200.0)
        assert not any(each.messages for each in tables)


async def test_messages_that_need_a_lock_are_tried_without_others_waiting(database: str) -> None:
    """Each takes as long as the store waits for a lock. A good one is behind twenty of them."""
    if not isinstance(database, Memory):
        pytest.skip("locks that are waited for, in virtual time alone")
    locked, memory = 20, database.database

    @workflow(queue="pgmq:orders")
    async def takes(number: int) -> int:
        return number

    table = memory.message_queues["orders"] = SupabaseQueue()
    async with engine_on(database, takes) as bench:
        queues: Any = bench.store.message_queues
        consume = queues.consume

        def front() -> QueuedMessage | None:
            return next((each for each in table.messages.values() if each.visible_at <= memory.now()), None)

        async def refuse_locked(*args: Any) -> Any:
            if (message := front()) is not None and message.msg_id <= locked:
                await asyncio.sleep(LOCK_S)
                raise MessageRefused("lock timeout", "see who holds it")
            return await consume(*args)

        async def set_locked_aside(*args: Any) -> Any:
            message = next(iter(table.read(memory.now(), 0.0, 1)), None)
            if message is None or message.msg_id > locked:
                return await consume(args[0], args[1], 1, *args[2:4])
            await asyncio.sleep(LOCK_S)
            aside = SetAside(message.msg_id, message.read_ct, "lock timeout", "see who holds it", held=True)
            message.visible_at = memory.now() + aside_s(aside)
            return Consumed([], wait=False, aside=aside)

        queues.consume, queues.consume_front = refuse_locked, set_locked_aside
        for number in range(locked + 1):
            table.send(f'{{"number": {number}}}', memory.date())
        # They come back meanwhile, and are in front again. With a pause after each it takes a minute.
        await asyncio.sleep(45.0)
        assert f"pgmq:orders:{locked + 1}" in memory.workflows
        assert await bench.result(f"pgmq:orders:{locked + 1}") == locked
