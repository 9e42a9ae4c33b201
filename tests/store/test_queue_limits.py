"""Queues under many connections at once: what begins, enters, ends and is given back, never passes a limit.

Each connection looks at the rows after each of its commits, and at the end the log of starts is looked at.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from itertools import count
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from tests.store.harness import rows

CLAIM = "select * from outlast.claim_queue(%s, %s, %s, %s, 1, 3, 1000000000, true, 1000, 1000000000, true)"
ENQUEUE = """
select outcome from outlast.enqueue(
  %s, %s, %s, null, null, null, null, null, 'q', null, %s, %s, null, null, null, null, null)
"""
LOG = """
create table started (at timestamptz, queue text, key text);
create function log_start() returns trigger language plpgsql as
  $$ begin insert into public.started values (new.at, new.queue, new.key); return new; end $$;
create trigger log_start after insert on outlast.queue_starts for each row execute function log_start();
"""
OWNED = """
select owner, queue_key, status, count(*) from outlast.workflow_status
where queue = 'q' and (owner is not null or status in ('PENDING', 'ENQUEUED')) group by 1, 2, 3
"""
END = """
update outlast.workflow_status set status = 'SUCCESS', owner = null, claimable_at = null, completed_at = now()
where workflow_id = %s and epoch = %s and owner = %s
"""
GIVE_BACK = """
update outlast.workflow_status set owner = null, claimable_at = clock_timestamp() + make_interval(secs => %s)
where workflow_id = %s and epoch = %s and owner = %s
"""
CANCEL = """
update outlast.workflow_status
set status = 'CANCELLED', owner = null, epoch = epoch + 1, claimable_at = null, completed_at = now()
where workflow_id in (
  select workflow_id from outlast.workflow_status where status in ('PENDING', 'ENQUEUED')
  order by md5(workflow_id || %s) limit 1)
"""
HOLD = """
select 1 from outlast.workflow_status where status in ('PENDING', 'ENQUEUED')
order by workflow_id limit 2 for update skip locked
"""
ROUNDS = 25
CLAIMERS = 4
LEVELS = ("read committed", "repeatable read", "serializable")


def options_of(chance: random.Random) -> dict[str, Any]:
    """Limits that go together."""
    drawn: dict[str, Any] = {
        "concurrency": chance.randint(1, 6),
        "per_instance": chance.randint(1, 3),
        "rate": {
            "n": chance.randint(1, 5),
            "per": chance.choice([0.01, 0.05]),
            "smooth": chance.random() < 0.3,
        },
        "drop": {"n": chance.randint(1, 5), "per": 0.05},
        "max_backlog": chance.randint(3, 20),
    }
    del drawn[chance.choice(["rate", "drop"])]
    if keyed := chance.random() < 0.7:
        drawn |= {
            "per_key": chance.randint(1, 2),
            "exclusive": True,
            "rate_per_key": {"n": chance.randint(1, 3), "per": 0.05},
            "weight": {"k1": 0.2, "k2": 3.0},
        }
    chosen = {name: value for name, value in drawn.items() if chance.random() < 0.6}
    return {**chosen, "key": "key"} if keyed else chosen


class Storm:
    """Connections that do to one queue whatever can be done to it, and look at it."""

    def __init__(self, url: str, options: dict[str, Any], level: str, seed: int) -> None:
        self.url = url
        self.options = options
        self.level = level
        self.seed = seed
        self.passed: Counter[str] = Counter()
        self.conflicts = 0
        self.ids = count()
        self.claimed: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self.epochs: set[tuple[str, int]] = set()

    async def connect(self) -> AsyncConnection[Any]:
        level = self.level.replace(" ", "\\ ")
        return await AsyncConnection.connect(
            self.url, autocommit=True, options=f"-c default_transaction_isolation={level}"
        )

    async def run(self) -> None:
        await asyncio.gather(
            *(self.claim(f"i{number}") for number in range(CLAIMERS)),
            *(self.enter(number) for number in range(3)),
            self.meddle(),
        )

    async def do(self, connection: AsyncConnection[Any], query: str, *parameters: Any) -> list[Any] | None:
        """The rows; None if it failed as what comes at the same time may fail above READ COMMITTED."""
        try:
            cursor = await connection.execute(query.encode(), parameters)
            return await cursor.fetchall() if cursor.description else []
        except errors.SerializationFailure:
            assert self.level != "read committed"
            self.conflicts += 1
            return None

    async def claim(self, me: str, rounds: int = ROUNDS, ends: float = 0.5) -> int:
        """Claim, end, give back."""
        chance, got = random.Random(f"{self.seed} {me}"), 0
        async with await self.connect() as connection:
            for _ in range(rounds):
                if found := await self.do(connection, CLAIM, "q", me, ["f"], chance.randint(1, 8)):
                    claimed = [(each["workflow_id"], each["epoch"]) for each in found[0][0]]
                    got += len(claimed)
                    self.passed["claimed twice"] += len(self.epochs & set(claimed))
                    self.epochs |= set(claimed)
                    self.claimed[me] += claimed
                await self.look(connection)
                for workflow_id, epoch in list(self.claimed[me]):
                    draw = chance.random()
                    if draw < ends:
                        done = await self.do(connection, END, workflow_id, epoch, me)
                    elif draw < 0.7:
                        nap_s = chance.choice([0.0, 0.01])
                        done = await self.do(connection, GIVE_BACK, nap_s, workflow_id, epoch, me)
                    else:
                        continue
                    if done is not None:
                        self.claimed[me].remove((workflow_id, epoch))
        return got

    async def enter(self, number: int) -> None:
        """Call, alone and several in one commit."""
        chance = random.Random(f"{self.seed} enter {number}")
        async with await self.connect() as connection:
            for _ in range(ROUNDS):
                try:
                    async with connection.transaction():
                        for _ in range(chance.choice([1, 1, 3])):
                            key = json.dumps({"key": f"k{chance.randint(1, 4)}"})
                            delay_s, priority = chance.choice([0.0, 0.0, 0.02]), chance.choice([0, 0, 5])
                            await connection.execute(
                                ENQUEUE.encode(), (f"w{next(self.ids)}", "f", key, priority, delay_s)
                            )
                except errors.SerializationFailure:
                    assert self.level != "read committed"
                    self.conflicts += 1
                await self.look(connection)

    async def meddle(self) -> None:
        """Cancel, and hold rows in open transactions."""
        chance = random.Random(f"{self.seed} meddle")
        async with await self.connect() as connection:
            for number in range(ROUNDS):
                if chance.random() < 0.5:
                    await self.do(connection, CANCEL, str(number))
                else:
                    async with connection.transaction(force_rollback=True):
                        await self.do(connection, HOLD)
                        await asyncio.sleep(0.01)
                await self.look(connection)

    async def look(self, connection: AsyncConnection[Any]) -> None:
        """What is committed at this moment."""
        found = await self.do(connection, OWNED)
        if found is None:
            return
        owned, keys, owners, begun, waiting = 0, Counter[str](), Counter[str](), Counter[str](), 0
        for owner, key, status, number in found:
            begun[key] += number if status == "PENDING" else 0
            waiting += number if status == "ENQUEUED" else 0
            if owner is not None:
                owned += number
                keys[key] += number
                owners[owner] += number
        limits = {
            "concurrency": owned,
            "per_key": max(keys.values(), default=0),
            "per_instance": max(owners.values(), default=0),
            "max_backlog": waiting,
        }
        for name, most in limits.items():
            self.passed[name] += most > self.options.get(name, most)
        self.passed["exclusive"] += "exclusive" in self.options and max(begun.values(), default=0) > 1

    async def look_at_starts(self) -> None:
        """How many began, and came in, in any window of a rate."""
        log = await rows(self.url, "select extract(epoch from at), queue, key from started order by at")
        of_keys = {
            key: [float(at) for at, queue, each in log if (queue, each) == ("q", key)] for _, _, key in log
        }
        for name, lists in (
            ("rate", [[float(at) for at, queue, _ in log if queue == "q"]]),
            ("rate_per_key", list(of_keys.values())),
            ("drop", [[float(at) for at, queue, _ in log if queue == "q/calls"]]),
        ):
            if (rate := self.options.get(name)) is not None:
                n, per = (1, rate["per"] / rate["n"]) if rate.get("smooth") else (rate["n"], rate["per"])
                for each in lists:
                    self.passed[name] += sum(
                        after - before < per - 1e-6 for before, after in zip(each, each[n:], strict=False)
                    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(8))
async def test_no_limit_is_passed(database: str, seed: int, level: str) -> None:
    options = options_of(random.Random(seed))
    await rows(database, LOG)
    await rows(database, "insert into outlast.queues (name, base) values ('q', %s)", json.dumps(options))
    storm = Storm(database, options, level, seed)
    await storm.run()
    async with asyncio.timeout(60):  # what is left begins too, once nobody is in its way
        while (
            await rows(
                database,
                "select count(*) from outlast.workflow_status where status in ('ENQUEUED', 'PENDING')",
            )
        )[0][0]:
            for number in range(CLAIMERS):
                await storm.claim(f"i{number}", 1, ends=1.0)
    await storm.look_at_starts()
    assert not +storm.passed, (options, storm.conflicts)
