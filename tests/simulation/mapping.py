"""Maps in simulated time: items once each, no more at a time than may, and a parent that is woken.

Instances are killed, frozen and cut off between any two blocks, and parents are cancelled. Blocks are small,
so that each map has several.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

from outlast import MapFailed, context, map_, sleep, start_all, step, workflow
from outlast.core.errors import OutlastError
from outlast.core.records import DeclaredQueue, NewWorkflow
from outlast.core.schedules import Declared
from outlast.core.status import LIVE, Status
from outlast.engine import function_host
from outlast.engine.operations import mapping, starting
from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.silence import quietly
from tests.simulation.network import Weather
from tests.simulation.plans import Plan
from tests.simulation.scenario import Scenario
from tests.simulation.world import Stuck, simulated_time

FAULTS = ("kill", "kill", "kill", "freeze", "freeze", "cut", "partition", "restart", "stop", "cancel")
BLOCK = 3
LASTS_S = 6.0
CYCLES_MAX = 400_000

Item = list[float]
"""What it is (below nothing: it fails), and how long it naps."""


class Refused(Exception):
    """An item's own."""


@step
async def work(number: float) -> float:
    return number * 2


@workflow
async def item(given: Item) -> float:
    number, nap_s = given
    if nap_s:
        await sleep(nap_s)
    if number < 0:
        raise Refused(str(number))
    return await work(number)


@workflow
async def mapper(items: list[Item], concurrency: int, tolerate: Any, on_fail: Any) -> Any:
    try:
        result = await map_(item, items, concurrency=concurrency, tolerate=tolerate, on_fail=on_fail)
    except MapFailed as error:
        return {"failed": error.failed, "ok": error.ok, "total": error.total}
    return {"ok": dict(result.ok), "failed": [key for key, _ in result.failed]}


@workflow
async def outer(maps: list[list[Any]]) -> Any:
    return list(await map_(inner, maps, concurrency=2))


@workflow
async def inner(given: list[Any]) -> Any:
    return await mapper(*given)


@workflow
async def fan(items: list[Item]) -> Any:
    handles = await start_all(item, items)
    ids = [each.workflow_id for each in handles]
    assert ids == [f"{context().workflow_id}/1/{place}" for place in range(len(items))], ids
    return [await each.result() for each in handles]


WORKFLOWS = {each.definition.name: each.definition for each in (item, mapper, outer, inner, fan)}


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed: each call is a function and its arguments."""

    plan: Plan
    calls: tuple[tuple[float, str, dict[str, Any]], ...]


def draw(seed: int) -> Drawn:
    """Maps of all kinds, and everything at once."""
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
        (chance.choice([chance.expovariate(5), chance.uniform(0, LASTS_S)]), chance.choice(FAULTS))
        for _ in range(chance.choice([0, 1, 3, 6]))
    )
    plan = Plan(f"{seed}:maps", seed, chance.choice([1, 2, 3]), [], weather, faults)
    calls = tuple((chance.choice([0.0, 0.3]), *_call(chance)) for _ in range(chance.choice([1, 1, 2])))
    return Drawn(plan, calls)


def _call(chance: random.Random) -> tuple[str, dict[str, Any]]:
    kind = chance.choice(["mapper", "mapper", "outer", "fan"])
    if kind == "mapper":
        return kind, dict(zip(("items", "concurrency", "tolerate", "on_fail"), _map(chance), strict=True))
    if kind == "outer":
        return kind, {"maps": [_map(chance) for _ in range(chance.randint(1, 4))]}
    return kind, {"items": [[abs(number), nap_s] for number, nap_s in _items(chance)]}


def _map(chance: random.Random) -> list[Any]:
    return [
        _items(chance),
        chance.randint(1, 5),
        chance.choice([0, 0, 1, 0.3, 1.0]),
        chance.choice(["drain", "cancel"]),
    ]


def _items(chance: random.Random) -> list[Item]:
    fails = chance.choice([0.0, 0.0, 0.15])
    return [
        [float(place + 1) * (-1 if chance.random() < fails else 1), chance.choice([0.0, 0.0, 0.05, 0.6])]
        for place in range(chance.choice([0, 1, 3, 4, 8, 13]))
    ]


class Catalog:
    """See core.ports.Catalog."""

    def workflow(self, function: str) -> WorkflowDefinition | None:
        return WORKFLOWS.get(function)

    def version(self, function: str) -> str:
        return "v1"

    def name_of(self, definition: WorkflowDefinition) -> str | None:
        return next((name for name, each in WORKFLOWS.items() if each is definition), None)

    def of_version(self, function: str, version: str | None) -> WorkflowDefinition | None:
        return self.workflow(function)

    def workflow_names(self) -> list[str]:
        return list(WORKFLOWS)

    def versions(self) -> dict[str, str]:
        return {name: str(self.version(name)) for name in self.workflow_names()}

    def message_queues(self) -> dict[str, list[str]]:
        return {}

    def queues(self) -> tuple[DeclaredQueue, ...]:
        return ()

    def schedules(self) -> list[Declared]:
        return []

    def retentions(self) -> dict[str, float | None]:
        return {}

    def broken_files(self) -> list[str]:
        return []


class Mapping(Scenario):
    """A run with maps."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None = None) -> None:
        super().__init__(drawn.plan, trace)
        self.memory_bytes = 2**28
        self.catalog = Catalog()
        self._drawn = drawn
        self._calls = len(drawn.calls)
        self.network.when_executed = self._look

    def over(self) -> bool:
        """Whether all have called, and all that was started has ended."""
        live = any(row.status in LIVE for row in self.database.workflows.values())
        return not self.left and not self._calls and not live

    def fault(self, kind: str, at: Any = None) -> None:
        """As before; a cancel is of a call."""
        if kind != "cancel":
            super().fault(kind, at)
            return
        living = self.living()
        if living:
            self.faults[kind] = self.faults.get(kind, 0) + 1
            instance = self.world.chance.choice(living)
            workflow_id = f"w{self.world.chance.randrange(len(self._drawn.calls))}"
            instance.spawn(self._cancel(instance, workflow_id), instance.calls)

    def _enter(self, workflow_id: str, function: str, arguments: dict[str, Any]) -> None:
        again = partial(self.world.at, 0.2, partial(self._enter, workflow_id, function, arguments))
        living = self.living()
        if not living:
            again()
            return
        settled = False

        def settle(entered: bool) -> None:
            nonlocal settled
            if not settled:
                settled = True
                if entered:
                    self._calls -= 1
                else:
                    again()

        instance = self.world.chance.choice(living)

        async def start() -> None:
            new = NewWorkflow(workflow_id, function, json.dumps(arguments))
            try:
                await instance.engine.starts.start_new(new, WORKFLOWS[function], None)
            except OutlastError:
                settle(False)
            else:
                settle(True)

        instance.spawn(start(), instance.calls)
        self.world.at(8.0, partial(settle, False))

    def _look(self) -> None:
        """At every moment: no more of a map's items run than may."""
        running = Counter(
            row.new.queue
            for row in self.database.workflows.values()
            if row.owner is not None and row.new.queue
        )
        for map_id, number in running.items():
            most = self.database.queue(str(map_id)).options.get("concurrency", 0)
            if number > most:
                self.world.violation(f"{number} items of {map_id} run, {most} may")

    def play(self) -> None:
        """Let it happen, and look all the time."""
        world = self.world
        with simulated_time(world):
            for _ in range(self.plan.instances):
                self.begin_instance()
            for after_s, kind in self.plan.faults:
                world.at(after_s, partial(self._planned, kind))
            for number, (after_s, function, arguments) in enumerate(self._drawn.calls):
                world.at(after_s, partial(self._enter, f"w{number}", function, arguments))
            try:
                world.run(self.over, CYCLES_MAX)
                self.network.calm()
                self._check_rest()
            except Stuck as error:
                world.violation(f"{error}: {self._state()}")
        for number, (_, function, arguments) in enumerate(self._drawn.calls):
            self._check_call(f"w{number}", function, arguments)
        for name in self.database.queues:
            if "/map." in name:
                world.violation(f"the queue of {name} is left over")

    def _check_call(self, workflow_id: str, function: str, arguments: dict[str, Any]) -> None:
        row = self.database.workflows.get(workflow_id)
        if row is not None and row.status == Status.CANCELLED and workflow_id in self.cancelled:
            return
        if row is None or row.status != Status.SUCCESS:
            self.world.violation(f"{workflow_id} {function} ended as {row}")
            return
        found = json.loads(row.output or "null")
        if function == "mapper":
            self._check_map(f"{workflow_id}/map.1", found, *arguments.values())
        elif function == "outer":
            for place, each in enumerate(arguments["maps"]):
                self._check_map(f"{workflow_id}/map.1/{place}/map.1", found[place], *each)
        elif found != [2 * each for each, _ in arguments["items"]]:
            self.world.violation(f"{workflow_id} fan returned {found}")

    def _check_map(
        self, map_id: str, found: Any, items: Sequence[Item], concurrency: int, tolerate: float, on_fail: str
    ) -> None:
        bad = [str(place) for place, (number, _) in enumerate(items) if number < 0]
        tolerated = tolerate if isinstance(tolerate, int) else int(tolerate * len(items))
        if len(bad) <= tolerated:
            good = {str(place): 2 * number for place, (number, _) in enumerate(items) if number >= 0}
            if (found["ok"], [str(each) for each in found["failed"]]) != (good, sorted(bad)):
                self.world.violation(f"{map_id} gave {found}, and not {good}, {bad}")
        elif isinstance(found["failed"], list):
            self.world.violation(f"{map_id} gave {found}, with {bad} and only {tolerated} tolerated")
        elif not tolerated < found["failed"] <= len(items) or found["ok"] + found["failed"] > found["total"]:
            self.world.violation(f"{map_id} failed as {found}, with {bad} and {tolerated} tolerated")
        elif on_fail == "drain" and found["failed"] > len(bad):
            self.world.violation(f"{map_id} failed as {found}, and only {bad} may")


@dataclass(frozen=True)
class Played:
    """What came out of a run."""

    violations: list[str]
    faults: dict[str, int]
    statements: int


def run(drawn: Drawn, trace: Callable[[str], None] | None = None) -> Played:
    """Let a run happen."""
    small = [patch.object(each, "BLOCK", BLOCK) for each in (mapping, starting, function_host)]

    def played() -> Played:
        scenario = Mapping(drawn, trace)
        scenario.play()
        return Played(list(scenario.world.violations), scenario.faults, scenario.network.sent)

    with small[0], small[1], small[2]:
        return quietly(played)


def play(seed: int, trace: Callable[[str], None] | None = None) -> list[str]:
    """What was wrong in the run of a seed."""
    return run(draw(seed), trace).violations


def calm(seed: int) -> list[str]:
    """The same without any fault."""
    drawn = draw(seed)
    return run(replace(drawn, plan=replace(drawn.plan, faults=[], weather=Weather()))).violations
