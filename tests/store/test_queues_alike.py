"""What queues let in and begin, on Postgres and in memory: the same, call by call."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from outlast.core.claims import Room
from outlast.core.records import Batch, DeclaredQueue, Ending, FencedWrite, NewWorkflow
from outlast.core.status import Status
from outlast.testing.database import Database
from outlast.testing.rows import Limits
from outlast.testing.stores import DirectLink, MemoryStore
from tests.store.harness import rows, store_of

LONG_S = 600.0


def options_of(chance: random.Random) -> dict[str, Any]:
    """Limits, of which none depends on how long the test takes."""
    rate: dict[str, Any] = {"n": chance.randint(1, 4), "per": LONG_S}
    plain: dict[str, Any] = {
        "concurrency": chance.randint(1, 4),
        "per_instance": chance.randint(1, 3),
        chance.choice(["rate", "drop"]): rate,
        "max_backlog": chance.randint(2, 9),
    }
    of_keys: dict[str, Any] = {
        "per_key": chance.randint(1, 2),
        "exclusive": True,
        "rate_per_key": {"n": chance.randint(1, 3), "per": LONG_S},
    }
    keyed = chance.random() < 0.7
    drawn = {**plain, **of_keys} if keyed else plain
    chosen = {name: value for name, value in drawn.items() if chance.random() < 0.5}
    if "exclusive" in chosen and chance.random() < 0.7:
        chosen["on_busy"] = chance.choice(["attach", "skip", "replace"])
    if keyed and "exclusive" not in chosen and chance.random() < 0.5:
        chosen["debounce"] = {"quiet": chance.choice([0.0, LONG_S]), "at_most": 10 * LONG_S}
    return {**chosen, "key": "key"} if keyed else chosen


async def story(stores: tuple[Any, Any], seed: int, nobody_asked: Callable[[], Awaitable[None]]) -> list[Any]:
    """What came of calls, claims and ends, drawn from the seed."""
    chance = random.Random(seed)
    options = options_of(chance)
    told: list[Any] = [options]
    owned: list[tuple[Any, Any]] = []
    await stores[0].queues.declare([DeclaredQueue("q", options, ("f",))])
    for number in range(60):
        store, draw = chance.choice(stores), chance.random()
        if draw < 0.5:
            new = NewWorkflow(
                f"w{number}", "f", json.dumps({"key": chance.choice("abc")}), queue="q",
                priority=chance.choice([0, 0, 50, -50]), delay_s=chance.choice([0.0, 0.0, 0.0, LONG_S]),
            )  # fmt: skip
            (entered,) = await store.queues.enqueue([new], number)
            told.append(("enters", new.workflow_id, entered.outcome, entered.target))
        elif draw < 0.8:
            # Places are left to others for a moment only, which depends on how long the test takes.
            await nobody_asked()
            # One by one: of several at once only how many they are is defined, not whose turn it is.
            claims = await store.instances.claim_queued(Room(["f"], 1, 1))
            owned += [(store, each) for each in claims.workflows]
            told.append(("begins", [(each.workflow_id, each.epoch) for each in claims.workflows]))
        elif owned:
            owner, claimed = owned.pop(chance.randrange(len(owned)))
            write = FencedWrite(claimed.workflow_id, claimed.epoch, [], Ending(Status.SUCCESS, output="1"))
            committed = await owner.journal.commit(Batch(1000 + number, [], [write]))
            told.append(("ends", claimed.workflow_id, bool(committed.accepted)))
    return told


@pytest.mark.parametrize("first", range(0, 40, 10))
async def test_both_choose_the_same(database: str, first: int) -> None:
    async with store_of(database, "a") as a, store_of(database, "b") as b:
        for seed in range(first, first + 10):
            memory = Database(time.time, random.Random(1), Limits())  # noqa: TID251
            one, two = (MemoryStore(memory, DirectLink(memory), name) for name in "ab")

            async def in_memory(memory: Database = memory) -> None:
                memory.queue("q").askers.clear()

            async def on_postgres() -> None:
                await rows(database, "update outlast.queues set askers = '{}'")

            expected = await story((one, two), seed, in_memory)
            assert await story((a, b), seed, on_postgres) == expected, seed
            await forget(database)


async def sharing(one: Any, two: Any, let_pass: Callable[[float], Awaitable[None]]) -> list[Any]:
    """How many begin on the first or the second instance, and whether it asks again before the next tick."""
    await one.queues.declare([DeclaredQueue("q", {"concurrency": 4}, ("f",))])
    for number in range(30):
        await one.queues.enqueue([NewWorkflow(f"w{number}", "f", "{}", queue="q")], number)
    told: list[Any] = []
    held: dict[int, list[Any]] = {id(one): [], id(two): []}

    async def asks(store: Any, function: str = "f") -> None:
        claims = await store.instances.claim_queued(Room([function], 9, 1))
        held[id(store)] += claims.workflows
        told.append((len(claims.workflows), claims.again_s is not None))

    async def ends(store: Any, count: int) -> None:
        ended, held[id(store)] = held[id(store)][:count], held[id(store)][count:]
        writes = [FencedWrite(x.workflow_id, x.epoch, [], Ending(Status.SUCCESS, output="1")) for x in ended]
        assert len((await store.journal.commit(Batch(1000 + len(told), [], writes))).accepted) == count

    await asks(one)
    await asks(two)
    await ends(one, 1)
    await asks(one)
    await asks(two)
    await ends(one, 2)
    await asks(one)
    await asks(two)
    await ends(two, 2)
    await asks(one)
    await let_pass(0.2)
    await asks(one)
    await ends(one, 4)
    await asks(one)
    await ends(one, 2)
    await let_pass(3.0)
    await asks(one)
    await asks(two, "g")
    await ends(one, 1)
    await asks(two, "g")
    await asks(one)
    return told


SHARED = [
    (4, False),  # nobody else has asked
    (0, True),  # short of places: the first one holds more than its share
    (0, True),  # it leaves the place that is free
    (1, False),
    (1, True),  # up to its share of two
    (1, False),
    (0, True),  # the second one's two places are left to it
    (2, False),  # but for a moment only
    (2, True),
    (4, False),  # it has not asked for long
    (0, False),  # to who has not the function nothing is left
    (0, False),
    (1, False),
]


async def test_places_are_shared_by_those_who_ask(database: str) -> None:
    now_s = 1_000_000.0
    memory = Database(lambda: now_s, random.Random(1), Limits())

    async def in_memory(length_s: float) -> None:
        nonlocal now_s
        now_s += length_s

    async def on_postgres(length_s: float) -> None:
        await rows(
            database,
            """
            update outlast.queues set left_at = left_at - make_interval(secs => %s), askers = (
              select jsonb_object_agg(a.key, jsonb_build_object('at', (a.value ->> 'at')::float8 - %s))
              from jsonb_each(askers) a)
            """,
            length_s,
            length_s,
        )

    one, two = (MemoryStore(memory, DirectLink(memory), name) for name in "ab")
    assert await sharing(one, two, in_memory) == SHARED
    async with store_of(database, "a") as a, store_of(database, "b") as b:
        assert await sharing(a, b, on_postgres) == SHARED


async def forget(url: str) -> None:
    """Make the queue and its workflows unknown."""
    for table in ("workflow_status", "queue_starts", "queues"):
        await rows(url, f"delete from outlast.{table}")
