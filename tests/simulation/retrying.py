"""Retry and rewind in simulated time: at any moment, while instances are killed, frozen and cut off.

Steps fail some times before they succeed. Somebody retries and rewinds whatever there is, at moments that are
drawn, and what has failed until all has succeeded. Held at every statement: a success never changes; a
failure is final until somebody retries it, which raises generation and epoch; no step begins whose success
is recorded.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

from outlast import Queue, context, map_, saga, sleep, start, step, workflow
from outlast.core.errors import OutlastError
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable, Unreachable
from outlast.core.records import DeclaredQueue
from outlast.core.status import LIVE, Status
from outlast.core.verbs import RETRY, REWIND
from outlast.engine import function_host
from outlast.engine.operations import mapping, starting
from outlast.functions.queues import declared_queues
from outlast.testing.rows import Workflow as Row
from outlast.testing.silence import quietly
from outlast.testing.stores import MemoryStore
from tests.simulation import mapping as maps
from tests.simulation.network import Weather
from tests.simulation.plans import Plan
from tests.simulation.scenario import Instance
from tests.simulation.world import Stuck, simulated_time

FAULTS = ("kill", "kill", "freeze", "cut", "partition", "restart", "stop", "cancel", "cancel")
ACTS = ("retry", "retry", "rewind")
LASTS_S = 6.0
CYCLES_MAX = 600_000
here: list[Retrying] = []
narrow = Queue("narrow", concurrency=1)


class Refused(Exception):
    """A step's own."""


@step
async def work(name: str, fails: int) -> str:
    return here[0].work(context().workflow_id, str(context().step_id), name, fails)


@step
async def undo(name: Any) -> None:
    here[0].undone[str(name)] += 1


@workflow
async def row(items: list[Any]) -> list[str]:
    got = []
    for name, fails, nap_s in items:
        if nap_s:
            await sleep(nap_s)
        got.append(await work(name, fails))
    return got


@workflow(queue=narrow)
async def queued(items: list[Any]) -> list[str]:
    return await row(items)


@workflow
async def beside(items: list[Any]) -> list[str]:
    calls = [asyncio.ensure_future(row(items[place : place + 2])) for place in range(0, len(items), 2)]
    got = await asyncio.gather(*calls, return_exceptions=True)
    for each in got:
        if isinstance(each, BaseException):
            raise each
    return [name for part in got if isinstance(part, list) for name in part]


@workflow
async def cleans(items: list[Any]) -> list[str]:
    try:
        return await row(items)
    except Refused:
        await work("cleanup", 0)
        raise


@workflow
async def undoes(items: list[Any]) -> list[str]:
    got = await row(items[:1])
    async with saga() as s:
        for name, fails, _ in items[1:]:
            got.append(await s.do(work, name, fails, undo=undo))
    return got


@workflow
async def parent(items: list[Any]) -> list[str]:
    handles = [await start(row, [each]) for each in items]
    return [(await each.result())[0] for each in handles]


@workflow
async def mapped(items: list[Any]) -> list[str]:
    return [each[0] for each in await map_(row_of_one, items, concurrency=2)]


@workflow
async def row_of_one(given: list[Any]) -> list[str]:
    return await row([given])


WORKFLOWS = {
    each.definition.name: each.definition
    for each in (row, queued, beside, cleans, undoes, parent, mapped, row_of_one)
}
CALLED = ("row", "queued", "beside", "cleans", "undoes", "parent", "mapped")


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed: each call is a function and its items; each act when, which, and of what."""

    plan: Plan
    calls: tuple[tuple[float, str, list[Any]], ...]
    acts: tuple[tuple[float, str, int], ...]


def draw(seed: int) -> Drawn:
    """Workflows of all kinds, and everything at once."""
    chance = random.Random(seed)
    weather = Weather(
        mishap=chance.choice([0.0, 0.0, 0.02, 0.1]),
        conflict=chance.choice([0.0, 0.05]),
        latency_s=chance.choice([0.0002, 0.002]),
        slow=chance.choice([0.0, 0.05]),
        sessions=chance.random() < 0.5,
        ties=chance.choice([0.0, 0.3]),
    )
    faults = sorted(
        (chance.uniform(0, LASTS_S), chance.choice(FAULTS)) for _ in range(chance.choice([0, 1, 3, 6]))
    )
    plan = Plan(f"{seed}:retries", seed, chance.choice([1, 2, 3]), [], weather, faults)
    calls = tuple(
        (chance.choice([0.0, 0.3]), chance.choice(CALLED), _items(chance))
        for _ in range(chance.choice([1, 2, 3]))
    )
    acts = tuple(
        (
            chance.uniform(0, LASTS_S),
            chance.choice(["retry", "retry", "rewind"]),
            chance.randrange(len(calls)),
        )
        for _ in range(chance.choice([0, 3, 8]))
    )
    return Drawn(plan, calls, acts)


def _items(chance: random.Random) -> list[Any]:
    return [
        [f"s{place}", chance.choice([0, 0, 0, 1, 2]), chance.choice([0.0, 0.0, 0.05, 0.6])]
        for place in range(chance.choice([1, 2, 4, 6]))
    ]


class Catalog(maps.Catalog):
    """See core.ports.Catalog."""

    def workflow(self, function: str) -> Any:
        return WORKFLOWS.get(function)

    def name_of(self, definition: Any) -> str | None:
        return next((name for name, each in WORKFLOWS.items() if each is definition), None)

    def of_version(self, function: str, version: str | None) -> Any:
        return self.workflow(function)

    def workflow_names(self) -> list[str]:
        return list(WORKFLOWS)

    def queues(self) -> Any:
        return tuple[DeclaredQueue, ...](declared_queues(WORKFLOWS).values())


class Retrying(maps.Mapping):
    """A run in which somebody retries."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None = None) -> None:
        calls = tuple((after_s, function, {"items": items}) for after_s, function, items in drawn.calls)
        super().__init__(maps.Drawn(drawn.plan, calls), trace)
        self.catalog = Catalog()
        self.undone: Counter[str] = Counter()
        self.acted: Counter[str] = Counter()
        self.calls = drawn.calls
        self._acts = drawn.acts
        self._tries: Counter[tuple[str, str]] = Counter()
        self._ends: dict[str, tuple[Any, ...]] = {}
        self.network.when_executed = self._look_at_ends

    def work(self, workflow_id: str, step_id: str, name: str, fails: int) -> str:
        """A step runs: it fails so many times."""
        record = self.database.records.get((workflow_id, step_id))
        # A frozen instance that woke up may run what another has recorded meanwhile: that is at least once.
        owner = self.database.workflows[workflow_id].owner
        running = self.world.running
        if record is not None and record.step.error is None and running is not None and owner == running.name:
            self.world.violation(f"{workflow_id} {step_id} {name} runs though it is recorded")
        self._tries[workflow_id, name] += 1
        if self._tries[workflow_id, name] <= fails:
            raise Refused(name)
        return name.upper()

    def _look_at_ends(self) -> None:
        for workflow_id, each in self.database.workflows.items():
            before = self._ends.get(workflow_id)
            now = (each.status, each.output, each.error, each.epoch, each.generation)
            if before is not None and now != before:
                self._check_change(workflow_id, before, each)
            if each.status not in LIVE:
                self._ends[workflow_id] = now
            else:
                self._ends.pop(workflow_id, None)

    def _check_change(self, workflow_id: str, before: tuple[Any, ...], now: Row) -> None:
        status, _, _, epoch, generation = before
        if status == Status.SUCCESS:
            self.world.violation(f"the success of {workflow_id} changed: {before} to {now}")
        elif now.map is None and (now.generation <= generation or now.epoch <= epoch):
            self.world.violation(
                f"the failure of {workflow_id} changed though nobody retried it: {before} to {now}"
            )

    def over(self) -> bool:
        """Whether all have called, and all that was started has ended well."""
        rows = [self.database.workflows.get(f"w{number}") for number in range(len(self.calls))]
        done = all(each is not None and each.status == Status.SUCCESS for each in rows)
        live = any(each.status in LIVE for each in self.database.workflows.values())
        return not self.left and not self._calls and done and not live

    def _act(self, kind: str, number: int, *, last: bool = False) -> None:
        living = self.living()
        if living:
            instance = self.world.chance.choice(living)
            instance.spawn(self._acting(instance, kind, f"w{number}"), instance.calls)
        if last:
            self.world.at(1.0, partial(self._act, kind, number, last=last))

    async def _acting(self, instance: Instance, kind: str, workflow_id: str) -> None:
        workflows: Any = MemoryStore(self.database, instance.link, instance.name).workflows
        records = sorted(step_id for of, step_id in self.database.records if of == workflow_id)
        to = self.world.chance.choice(records or ["1"])
        verb, given = (RETRY, {}) if kind == "retry" else (REWIND, {"to": to})
        try:
            await workflows.act(verb, workflow_id, given, "somebody")
        except (NoSuchRow, NotNow, Unacceptable, Unreachable, OutlastError) as error:
            self.world.note(f"{kind} {workflow_id}: {error!r}")
            return
        self.acted[kind] += 1
        instance.engine.look()

    def play(self) -> None:
        """Let it happen, and look all the time."""
        world = self.world
        with simulated_time(world):
            for _ in range(self.plan.instances):
                self.begin_instance()
            for after_s, kind in self.plan.faults:
                world.at(after_s, partial(self._planned, kind))
            for number, (after_s, function, items) in enumerate(self.calls):
                world.at(after_s, partial(self._enter, f"w{number}", function, {"items": items}))
                world.at(LASTS_S, partial(self._act, "retry", number, last=True))
            for after_s, kind, number in self._acts:
                world.at(after_s, partial(self._act, kind, number))
            try:
                world.run(self.over, CYCLES_MAX)
                self.network.calm()
                self._check_rest()
            except Stuck as error:
                world.violation(f"{error}: {self._state()}")
        for number, (_, function, items) in enumerate(self.calls):
            self._check_items(f"w{number}", function, items)

    def _check_items(self, workflow_id: str, function: str, items: list[Any]) -> None:
        found = json.loads(self.database.workflows[workflow_id].output or "null")
        expected = [name.upper() for name, _, _ in items]
        if found != expected:
            self.world.violation(f"{workflow_id} {function} returned {found}, not {expected}")


@dataclass(frozen=True)
class Played:
    """What came out of a run."""

    violations: list[str]
    faults: dict[str, int]
    acted: Counter[str]


def run(drawn: Drawn, trace: Callable[[str], None] | None = None) -> Played:
    """Let a run happen."""
    small = [patch.object(each, "BLOCK", maps.BLOCK) for each in (mapping, starting, function_host)]
    # Calls are entered by the catalogue of this file.
    known = patch.object(maps, "WORKFLOWS", WORKFLOWS)

    def played() -> Played:
        scenario = Retrying(drawn, trace)
        here[:] = [scenario]
        scenario.play()
        here.clear()
        return Played(list(scenario.world.violations), scenario.faults, scenario.acted)

    with small[0], small[1], small[2], known:
        return quietly(played)


def play(seed: int, trace: Callable[[str], None] | None = None) -> list[str]:
    """What was wrong in the run of a seed."""
    return run(draw(seed), trace).violations


def calm(seed: int) -> list[str]:
    """The same without any fault."""
    drawn = draw(seed)
    return run(replace(drawn, plan=replace(drawn.plan, faults=[], weather=Weather()))).violations
