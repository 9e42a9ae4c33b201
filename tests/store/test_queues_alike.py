"""What queues let in and begin, on Postgres and in memory: the same, call by call."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

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
    return {**chosen, "key": "key"} if keyed else chosen


async def story(stores: tuple[Any, Any], seed: int) -> list[Any]:
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
            entered = await store.queues.enqueue(new, number)
            told.append(("enters", new.workflow_id, entered.outcome, entered.target))
        elif draw < 0.8:
            # One by one: of several at once only how many they are is defined, not whose turn it is.
            claims = await store.instances.claim_queued(["f"], 1, 1)
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
            assert await story((one, two), seed) == await story((a, b), seed), seed
            await forget(database)


async def forget(url: str) -> None:
    """Make the queue and its workflows unknown."""
    for table in ("workflow_status", "queue_starts", "queues"):
        await rows(url, f"delete from outlast.{table}")
