"""Deploys in simulated time: versions, and wrong code beside right code, under kills, freezes and cuts.

Workflows begin as version 1. Once each has a record, instances of other code come: with both versions, with a
wrong version 1 (its first call is another one), and without version 1. New workflows begin as version 2
meanwhile. In the end the right code is there. Held at every moment: nothing fails; nothing runs as another
version than the one it began as; what wrong code calls never runs. In the end all have ended well.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from outlast import context, sleep, step, workflow
from outlast.core.errors import OutlastError
from outlast.core.records import NewWorkflow
from outlast.core.status import LIVE, Status
from outlast.core.versions import FIRST, number_of
from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.silence import quietly
from tests.simulation import mapping as maps
from tests.simulation.network import Weather
from tests.simulation.plans import Plan
from tests.simulation.scenario import Instance
from tests.simulation.world import Stuck, simulated_time

FAULTS = ("kill", "kill", "freeze", "cut", "partition", "restart", "stop")
KINDS = ("right", "wrong", "wrong", "without")
"""The code of instances that come with the deploy."""

LASTS_S = 8.0
CYCLES_MAX = 400_000
here: list[Versioning] = []


@step
async def work(name: str) -> str:
    return name.upper()


@step
async def other(name: str) -> str:
    here[0].world.violation(f"what wrong code calls has run: {name}")
    return name


def row_of(version: int, *, wrong: bool = False) -> WorkflowDefinition:
    """One code of one version."""

    @workflow(version=version)
    async def row(items: list[Any]) -> list[str]:
        here[0].ran(context().workflow_id, version)
        if wrong:
            await other("wrong")
        got = [f"version {version}"]
        for name, nap_s in items:
            got.append(await work(name))
            if nap_s:
                await sleep(nap_s)
        return got

    return row.definition


ONE, TWO, WRONG = row_of(1), row_of(2), row_of(1, wrong=True)
CODES = {
    "first": {1: ONE},
    "right": {1: ONE, 2: TWO},
    "wrong": {1: WRONG, 2: TWO},
    "without": {2: TWO},
}


class Catalog(maps.Catalog):
    """See core.ports.Catalog: one kind of code."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._codes = CODES[kind]

    def workflow(self, function: str) -> WorkflowDefinition | None:
        return self._codes[max(self._codes)] if function == "row" else None

    def of_version(self, function: str, version: str | None) -> WorkflowDefinition | None:
        return self.workflow(function) if version is None else self._codes.get(number_of(version) or FIRST)

    def version(self, function: str) -> str:
        return f"code {self._kind}"

    def name_of(self, definition: WorkflowDefinition) -> str | None:
        return "row"

    def workflow_names(self) -> list[str]:
        return ["row"]


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed: when each workflow comes (after the start, or the deploy), and its items."""

    plan: Plan
    before: tuple[tuple[float, list[Any]], ...]
    after: tuple[tuple[float, list[Any]], ...]


def draw(seed: int) -> Drawn:
    """Workflows of both versions, and everything at once."""
    chance = random.Random(seed)
    weather = Weather(
        mishap=chance.choice([0.0, 0.0, 0.02, 0.1]),
        conflict=0.0,
        latency_s=chance.choice([0.0002, 0.002]),
        slow=chance.choice([0.0, 0.05]),
        sessions=chance.random() < 0.5,
        ties=chance.choice([0.0, 0.3]),
    )
    faults = sorted(
        (chance.uniform(0, LASTS_S), chance.choice(FAULTS)) for _ in range(chance.choice([0, 1, 3, 6]))
    )
    plan = Plan(f"{seed}:versions", seed, chance.choice([1, 2, 3]), [], weather, faults)
    before = tuple((chance.choice([0.0, 0.3]), _items(chance)) for _ in range(chance.choice([1, 2, 4])))
    after = tuple((chance.uniform(0, LASTS_S), _items(chance)) for _ in range(chance.choice([0, 1, 3])))
    return Drawn(plan, before, after)


def _items(chance: random.Random) -> list[Any]:
    return [[f"s{place}", chance.choice([0.0, 0.05, 0.6, 3.0])] for place in range(chance.choice([2, 3, 5]))]


class Versioning(maps.Mapping):
    """A run with a deploy."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None = None) -> None:
        calls = tuple((after_s, "row", {"items": items}) for after_s, items in (*drawn.before, *drawn.after))
        super().__init__(maps.Drawn(drawn.plan, calls), trace)
        self.drawn = drawn
        self.phase = "before"
        self.kinds: dict[str, str] = {}
        self.held: Counter[str] = Counter()
        self.numbers = {f"w{number}": 1 if number < len(drawn.before) else 2 for number in range(len(calls))}
        self.network.when_executed = self._look

    def begin_instance(self) -> None:
        """See Scenario: its code is that of the moment."""
        kind = {"before": "first", "after": "right"}.get(self.phase) or self.world.chance.choice(KINDS)
        super().begin_instance()
        self.kinds[self.instances[-1].name] = kind

    async def _open(self, instance: Instance) -> None:
        self.catalog = Catalog(self.kinds[instance.name])
        await super()._open(instance)

    def ran(self, workflow_id: str, version: int) -> None:
        """A body begins."""
        if self.numbers[workflow_id] != version:
            self.world.violation(f"{workflow_id} is of version {self.numbers[workflow_id]}, ran as {version}")

    def _look(self) -> None:
        for workflow_id, row in self.database.workflows.items():
            if row.status not in LIVE and row.status != Status.SUCCESS:
                self.world.violation(f"{workflow_id} ended as {row.status}: {row.error}")
            if row.held is not None:
                self.held[json.loads(row.held)["reason"]] += 1

    def over(self) -> bool:
        """Whether the right code is there, and all has ended."""
        return self.phase == "after" and super().over()

    def _deploy(self) -> None:
        """Once all that began before has a record, other code comes."""
        begun = {workflow_id for workflow_id, _ in self.database.records}
        if not all(f"w{number}" in begun for number in range(len(self.drawn.before))):
            self.world.at(0.05, self._deploy)
            return
        self.phase = "deploy"
        for each in self.living():
            self.fault("stop" if self.world.chance.random() < 0.8 else "kill", each)
        for number, (after_s, _) in enumerate(self.drawn.after, len(self.drawn.before)):
            self.world.at(after_s, partial(self._call_anew, number))
        self.world.at(LASTS_S, self._mend)

    def _mend(self) -> None:
        """The right code comes, and what isn't right goes."""
        self.phase = "after"
        self.begin_instance()
        for each in self.living():
            if self.kinds[each.name] != "right":
                self.fault("stop", each)

    def _call_anew(self, number: int) -> None:
        self._enter(f"w{number}", "row", self._drawn.calls[number][2])

    def _enter(self, workflow_id: str, function: str, arguments: dict[str, Any]) -> None:
        again = partial(self.world.at, 0.2, partial(self._enter, workflow_id, function, arguments))
        number = self.numbers[workflow_id]
        living = [each for each in self.living() if max(CODES[self.kinds[each.name]]) == number]
        if workflow_id in self.database.workflows:
            self._calls -= 1
            return
        if living:
            instance = self.world.chance.choice(living)
            # As SQL starts it, without a version, or as a call.
            version = self.world.chance.choice([None, str(number)])
            new = NewWorkflow(workflow_id, function, json.dumps(arguments), version=version)
            instance.spawn(self._start(instance, new), instance.calls)
        again()

    async def _start(self, instance: Instance, new: NewWorkflow) -> None:
        definition = instance.engine._catalog.workflow(new.function)
        assert definition is not None
        try:
            await instance.engine.starts.start_new(new, definition, None)
        except OutlastError as error:
            self.world.note(f"start of {new.workflow_id}: {error!r}")

    def play(self) -> None:
        """Let it happen, and look all the time."""
        world = self.world
        with simulated_time(world):
            for _ in range(self.plan.instances):
                self.begin_instance()
            for after_s, kind in self.plan.faults:
                world.at(after_s, partial(self._planned, kind))
            for number, (after_s, items) in enumerate(self.drawn.before):
                world.at(after_s, partial(self._enter, f"w{number}", "row", {"items": items}))
            self._deploy()
            try:
                world.run(self.over, CYCLES_MAX)
                self.network.calm()
                self._check_rest()
            except Stuck as error:
                world.violation(f"{error}: {self._state()}")
        for number, (_, items) in enumerate((*self.drawn.before, *self.drawn.after)):
            self._check_items(f"w{number}", items)

    def _check_items(self, workflow_id: str, items: list[Any]) -> None:
        row = self.database.workflows.get(workflow_id)
        found = None if row is None else json.loads(row.output or "null")
        number = self.numbers[workflow_id]
        expected = [f"version {number}", *(name.upper() for name, _ in items)]
        if found != expected:
            self.world.violation(f"{workflow_id} returned {found}, not {expected}: {row}")
        elif row is not None and row.new.version != str(number):
            self.world.violation(f"{workflow_id} bears the version {row.new.version}, not {number}")


@dataclass(frozen=True)
class Played:
    """What came out of a run."""

    violations: list[str]
    faults: dict[str, int]
    held: Counter[str]
    kinds: set[str]


def run(drawn: Drawn, trace: Callable[[str], None] | None = None) -> Played:
    """Let a run happen."""

    def played() -> Played:
        scenario = Versioning(drawn, trace)
        here[:] = [scenario]
        scenario.play()
        here.clear()
        kinds = set(scenario.kinds.values())
        return Played(list(scenario.world.violations), scenario.faults, scenario.held, kinds)

    return quietly(played)


def play(seed: int, trace: Callable[[str], None] | None = None) -> list[str]:
    """What was wrong in the run of a seed."""
    return run(draw(seed), trace).violations
