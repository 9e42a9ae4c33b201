"""What messages become, with pgmq on Postgres and in memory: the same, look by look."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import dict_row

from outlast.core.claims import Consumed, SetAside
from outlast.core.ports import MessageRefused
from outlast.core.records import DeclaredQueue
from outlast.core.verbs import PAUSE_QUEUE, RESUME_QUEUE, SET_QUEUE
from outlast.store.pgmq import WAITING_MAX
from outlast.testing.database import Database
from outlast.testing.pgmq import QueuedMessage, SupabaseQueue
from outlast.testing.rows import Limits, RowRefused
from outlast.testing.stores import DirectLink, MemoryStore
from tests.store.harness import store_of

LONG_S = 600.0
QUEUE = "pgmq:orders"
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"key": "key"},
    {"concurrency": 2},
    {"concurrency": 2, "max_backlog": 4},
    {"key": "key", "max_backlog": 5, "per_key": 1},
)


class InMemory:
    """What somebody else does with a queue's table."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table = SupabaseQueue()
        database.message_queues["orders"] = self._table
        self._taken: list[QueuedMessage] = []

    async def send(self, body: str, delay_s: float) -> None:
        self._taken.append(self._table.send(body, self._database.date(), delay_s))

    async def bring_back(self, place: int) -> None:
        """As a backup does, what is gone."""
        message = self._taken[place % len(self._taken)]
        if message.msg_id not in self._table.messages:
            message.visible_at = self._database.now()
            self._table.messages[message.msg_id] = message

    async def make_anew(self) -> None:
        self._table.drop()

    async def show_all(self) -> None:
        for each in self._table.messages.values():
            each.visible_at = self._database.now()

    async def left(self) -> int:
        return len(self._table.messages)


class OnPostgres:
    """The same."""

    def __init__(self, connection: AsyncConnection[dict[str, Any]]) -> None:
        self._connection = connection
        self._taken: list[dict[str, Any]] = []

    async def _rows(self, text: bytes, *given: Any) -> list[dict[str, Any]]:
        return await (await self._connection.execute(text, given)).fetchall()

    async def forget(self) -> None:
        """What was in the database before."""
        await self._connection.execute(b"truncate outlast.workflow_status, outlast.queues cascade")
        await self.make_anew()

    async def send(self, body: str, delay_s: float) -> None:
        text = b"select pgmq.send('orders', %s::jsonb, %s::integer) as id"
        try:
            (sent,) = await self._rows(text, body, delay_s)
        except UniqueViolation:  # a message that was brought back has its number
            return await self.send(body, delay_s)
        self._taken += await self._rows(b"select * from pgmq.q_orders where msg_id = %s", sent["id"])

    async def bring_back(self, place: int) -> None:
        message = self._taken[place % len(self._taken)]
        await self._connection.execute(
            b"insert into pgmq.q_orders (msg_id, read_ct, enqueued_at, vt, message)"
            b" overriding system value values (%s, 0, %s, now(), %s::jsonb) on conflict do nothing",
            (message["msg_id"], message["enqueued_at"], json.dumps(message["message"])),
        )

    async def make_anew(self) -> None:
        await self._rows(b"select pgmq.drop_queue('orders')")
        await self._rows(b"select pgmq.create('orders')")

    async def show_all(self) -> None:
        await self._connection.execute(b"update pgmq.q_orders set vt = now()")

    async def left(self) -> int:
        (row,) = await self._rows(b"select queue_length as n from pgmq.metrics('orders')")
        return int(row["n"])


async def story(stores: tuple[Any, Any], others: Any, seed: int) -> list[Any]:
    """What came of messages and looks, drawn from the seed."""
    chance = random.Random(seed)
    options = OPTIONS[seed % len(OPTIONS)]
    told: list[Any] = [options]
    await stores[0].queues.declare([DeclaredQueue(QUEUE, options, ("f",))])
    for number in range(40):
        store, draw = chance.choice(stores), chance.random()
        place, key = chance.randrange(1000), chance.choice("abc")
        if draw < 0.45 or not number:
            body = json.dumps({"key": key, "n": number} if chance.random() < 0.9 else {"n": number})
            await others.send(body, chance.choice([0, 0, 0, LONG_S]))
        elif draw < 0.5:
            await others.bring_back(place)
        elif draw < 0.53:
            await others.make_anew()
        elif draw < 0.56:
            await others.show_all()
        elif draw < 0.64:
            verb, given = chance.choice(
                [
                    (PAUSE_QUEUE, {}),
                    (RESUME_QUEUE, {}),
                    (RESUME_QUEUE, {}),
                    (SET_QUEUE, {"rate": {"n": 1, "per": 1}}),
                ]
            )
            await store.workflows.act(verb, QUEUE, given, "ann")
        else:
            consumed = await store.message_queues.consume("orders", "f", chance.choice([1, 2, 5]), "v1", 60.0)
            told.append((consumed.wait, sorted(map(plain, consumed.workflows)), await others.left()))
    return told


def plain(workflow: Any) -> Any:
    """Of a claimed workflow what doesn't depend on when it was: its id may end with a time."""
    timed = workflow.workflow_id.removeprefix(f"{QUEUE}:").partition(":")
    late = round(workflow.deadline_s - workflow.created_s)
    return timed[0], len(timed[2]), workflow.function, workflow.epoch, workflow.version, workflow.queue, late


@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 10, 15))])
async def test_both_take_the_same(queue_database: str, first: int) -> None:
    async with store_of(queue_database, "a") as a, store_of(queue_database, "b") as b:
        for seed in range(first, first + 5):
            memory = Database(time.time, random.Random(1), Limits())  # noqa: TID251
            one, two = (MemoryStore(memory, DirectLink(memory), name) for name in "ab")
            expected = await story((one, two), InMemory(memory), seed)
            async with await AsyncConnection.connect(
                queue_database, autocommit=True, row_factory=dict_row
            ) as connection:
                others = OnPostgres(connection)
                await others.forget()
                assert await story((a, b), others, seed) == expected, seed


NEVER = """
create function outlast.never() returns trigger language plpgsql as $$ begin raise 'never'; end $$;
create trigger never before insert on outlast.workflow_status for each row
when (new.workflow_id = 'pgmq:orders:2') execute function outlast.never()
"""


@pytest.mark.parametrize("on", ["postgres", "memory"])
async def test_both_leave_a_refused_message_as_it_is(request: pytest.FixtureRequest, on: str) -> None:
    """Found by itself it is set aside; it comes again as it was."""
    if on == "memory":
        memory = Database(time.time, random.Random(1), Limits())  # noqa: TID251
        memory.refusing["pgmq:orders:2"] = RowRefused
        await leave_a_refused_one(MemoryStore(memory, DirectLink(memory), "a"), InMemory(memory))
        return
    url = request.getfixturevalue("queue_database")
    async with await AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as connection:
        await connection.execute(NEVER.encode())
        async with store_of(url, "a") as store:
            await leave_a_refused_one(store, OnPostgres(connection))


async def leave_a_refused_one(store: Any, others: Any) -> None:
    queues = store.message_queues

    async def taken(consumed: Any) -> list[str]:
        return [each.workflow_id for each in (await consumed).workflows]

    assert await queues.consume_front("orders", "f") == Consumed([], wait=False)
    assert await queues.set_front_aside("orders", "slow", "wait") is None
    for number in range(4):
        await others.send(json.dumps({"n": number}), 0)
    with pytest.raises(MessageRefused, match=r"never|stays"):
        await queues.consume("orders", "f", 5)
    assert await others.left() == 4
    assert await taken(queues.consume_front("orders", "f", "v1", 60.0)) == ["pgmq:orders:1"]
    with pytest.raises(MessageRefused):
        await queues.consume("orders", "f", 1)
    consumed = await queues.consume_front("orders", "f")
    # What was undone is not counted.
    assert (consumed.workflows, consumed.aside.message_id, consumed.aside.read_count) == ([], 2, 1)
    assert await taken(queues.consume("orders", "f", 1)) == ["pgmq:orders:3"]
    aside = await queues.set_front_aside("orders", "slow", "wait")
    assert aside == SetAside(4, 1, "slow", "wait")
    assert (await taken(queues.consume("orders", "f", 5)), await others.left()) == ([], 2)
    await others.show_all()
    assert (await queues.consume_front("orders", "f")).aside.read_count == 2
    assert await taken(queues.consume("orders", "f", 5)) == ["pgmq:orders:4"]


def test_as_many_wait_in_memory_as_on_postgres() -> None:
    assert Limits().messages_waiting == WAITING_MAX
