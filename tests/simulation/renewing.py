"""What retried workflows do anew, in simulated time: each time they may find something else to do.

As retrying.py, of whose rules all hold here too. In the end: what a workflow returns came of what it had
found, in its last generation; the same message is sent once, the same child and the same map of a place are
there once.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from outlast import context, map_, send, sleep, start, start_all, step, workflow
from tests.simulation import retrying
from tests.simulation.retrying import FAULTS, LASTS_S, Drawn, Retrying, some_acts, work
from tests.simulation.runs import Offered, Runs, a_plan, here

VALUES = (1, 2, 3)
"""So few that what is found is often what was found before."""

_AGAIN = re.compile(r"[/.]again-[0-9]+(?=/|\Z)")

Given = list[Any]
"""A name, how often its work fails, and how long it naps."""


@step
async def find(name: str) -> int:
    return int(here[0].find(name))


@step
async def yielding(items: list[list[Any]]) -> AsyncIterator[list[Any]]:
    for each in items:
        yield each


@workflow
async def leaf(given: list[Any]) -> list[Any]:
    name, value, fails, nap_s = given
    if nap_s:
        await sleep(nap_s)
    await work(f"leaf {value} of {name}", fails)
    return [name, value]


async def found(items: list[Given]) -> list[list[Any]]:
    """What there is to do: the inputs of `leaf`."""
    return [[name, await find(name), fails, nap_s] for name, fails, nap_s in items]


async def fail(items: list[Given]) -> None:
    """Something comes after it that fails."""
    for name, fails, _ in items:
        await work(f"after {name}", fails)


@workflow
async def sends(items: list[Given]) -> list[Any]:
    told = []
    for name, fails, nap_s in items:
        told.append([name, await find(name)])
        await send(str(context().workflow_id), told[-1], "told")
        if nap_s:
            await sleep(nap_s)
        await work(name, fails)
    return [told, told]


@workflow
async def starts(items: list[Given]) -> list[Any]:
    todo = await found(items)
    handles = [await start(leaf, each) for each in todo]
    await fail(items)
    return [[each[:2] for each in todo], [await each.result() for each in handles]]


@workflow
async def starts_all(items: list[Given]) -> list[Any]:
    todo = await found(items)
    handles = await start_all(leaf, todo)
    await fail(items)
    return [[each[:2] for each in todo], [await each.result() for each in handles]]


@workflow
async def maps(items: list[Given]) -> list[Any]:
    todo = await found(items)
    done = await map_(leaf, todo, concurrency=2)
    await fail(items)
    return [[each[:2] for each in todo], list(done)]


@workflow
async def maps_with_keys(items: list[Given]) -> list[Any]:
    todo = await found(items)
    done = await map_(leaf, todo[: todo[0][1]], concurrency=2, key=lambda each: f"{each[0]} {each[1]}")
    await fail(items)
    return [[each[:2] for each in todo[: todo[0][1]]], list(done)]


@workflow
async def maps_a_generator(items: list[Given]) -> list[Any]:
    todo = await found(items)
    done = await map_(leaf, yielding(todo), concurrency=2)
    await fail(items)
    return [[each[:2] for each in todo], list(done)]


CALLED = (sends, sends, starts, starts_all, starts_all, maps, maps_with_keys, maps_a_generator)


def draw(seed: int) -> Drawn:
    """Workflows of all kinds, and everything at once."""
    chance = random.Random(seed)
    plan = a_plan(chance, f"{seed}:renewals", FAULTS, LASTS_S)
    calls = tuple(
        (chance.choice([0.0, 0.3]), chance.choice(CALLED).definition.name, {"items": _items(chance)})
        for _ in range(chance.choice([1, 1, 2]))
    )
    acts = some_acts(chance, len(calls), ["retry", "rewind", "rewind"], [3, 8, 12])
    return replace(retrying.draw(seed), plan=plan, calls=calls, acts=acts)


def _items(chance: random.Random) -> list[Given]:
    return [
        [f"s{place}", chance.choice([0, 0, 1, 2]), chance.choice([0.0, 0.0, 0.05, 0.6])]
        for place in range(chance.choice([1, 2, 4]))
    ]


class Renewing(Retrying):
    """A run in which what is done anew may be something else."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn, trace)
        self.catalog = Offered(*dict.fromkeys(CALLED), leaf)

    def find(self, name: str) -> int:
        """What is found at this moment."""
        return self.world.chance.choice(VALUES)

    def check(self) -> None:
        """What was done and returned is what was found, and nothing is there twice."""
        for _, new in self.calls:
            told = json.loads(self.database.workflows[new.workflow_id].output or "null")
            if not told or told[0] != told[1]:
                self.world.violation(f"{new.workflow_id} {new.function} found and returned {told}")
            self._check_sent(new.workflow_id, told[0] if new.function == "sends" else [])
        there = Counter(
            (_AGAIN.sub("", workflow_id), row.new.function, row.new.fingerprint)
            for workflow_id, row in self.database.workflows.items()
            if row.new.parent is not None and row.new.queue is None
        )
        for same, count in there.items():
            if count > 1:
                self.world.violation(f"{same} is there {count} times")

    def _check_sent(self, workflow_id: str, told: list[Any]) -> None:
        sent = Counter(each.body for each in self.database.letters if each.workflow_id == workflow_id)
        for body, count in sent.items():
            if count > 1:
                self.world.violation(f"{workflow_id} sent {body} {count} times")
        for each in told:
            if each not in map(json.loads, sent):
                self.world.violation(f"{workflow_id} did not send {each}")

    def seen(self) -> Counter[str]:
        """What was retried, and what was made beside something else."""
        kinds = {True: "another map", False: "another child"}
        made = Counter(
            kinds[row.map is not None]
            for workflow_id, row in self.database.workflows.items()
            if _AGAIN.search(workflow_id) and (row.map is not None or row.new.queue is None)
        )
        keys = (each.key or "" for each in self.database.letters)
        made["another message"] = sum(bool(_AGAIN.search(each)) for each in keys)
        return super().seen() + made


RUNS = Runs(draw, Renewing)
