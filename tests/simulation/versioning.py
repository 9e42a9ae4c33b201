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
from tests.simulation.plans import Plan
from tests.simulation.runs import Offered, Run, Runs, a_plan, here
from tests.simulation.scenario import Instance

FAULTS = ("kill", "kill", "freeze", "cut", "partition", "restart", "stop")
KINDS = ("right", "wrong", "wrong", "without")
"""The code of instances that come with the deploy."""

LASTS_S = 8.0


@step
async def work(name: str) -> str:
    return name.upper()


@step
async def other(name: str) -> str:
    here[0].world.violation(f"what wrong code calls has run: {name}")
    return name


def row_of(version: int, *, wrong: bool = False) -> Any:
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

    return row


ONE, TWO, WRONG = row_of(1), row_of(2), row_of(1, wrong=True)
CODES = {
    "first": {1: ONE},
    "right": {1: ONE, 2: TWO},
    "wrong": {1: WRONG, 2: TWO},
    "without": {2: TWO},
}


class Code(Offered):
    """One kind of code."""

    def __init__(self, kind: str) -> None:
        super().__init__(*CODES[kind].values())
        self._kind = kind

    def version(self, function: str) -> str:
        """See Catalog."""
        return f"code {self._kind}"


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed: when each workflow comes (after the start, or the deploy), and its items."""

    plan: Plan
    before: tuple[tuple[float, list[Any]], ...]
    after: tuple[tuple[float, list[Any]], ...]


def draw(seed: int) -> Drawn:
    """Workflows of both versions, and everything at once."""
    chance = random.Random(seed)
    plan = a_plan(chance, f"{seed}:versions", FAULTS, LASTS_S, conflict=[0.0])
    before = tuple((chance.choice([0.0, 0.3]), _items(chance)) for _ in range(chance.choice([1, 2, 4])))
    after = tuple((chance.uniform(0, LASTS_S), _items(chance)) for _ in range(chance.choice([0, 1, 3])))
    return Drawn(plan, before, after)


def _items(chance: random.Random) -> list[Any]:
    return [[f"s{place}", chance.choice([0.0, 0.05, 0.6, 3.0])] for place in range(chance.choice([2, 3, 5]))]


class Versioning(Run):
    """A run with a deploy."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        calls = [(after_s, "row", {"items": items}) for after_s, items in (*drawn.before, *drawn.after)]
        super().__init__(drawn.plan, Code("first"), trace, calls)
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
        self.catalog = Code(self.kinds[instance.name])
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
            self.world.at(after_s, partial(self.enter, self.calls[number][1]))
        self.world.at(LASTS_S, self._mend)

    def _mend(self) -> None:
        """The right code comes, and what isn't right goes."""
        self.phase = "after"
        self.begin_instance()
        for each in self.living():
            if self.kinds[each.name] != "right":
                self.fault("stop", each)

    def enter(self, new: NewWorkflow) -> None:
        """Somebody starts it where the newest version is its own, until it is there."""
        if new.workflow_id in self.database.workflows:
            self.asked -= 1
            return
        number = self.numbers[new.workflow_id]
        living = [each for each in self.living() if max(CODES[self.kinds[each.name]]) == number]
        if living:
            instance = self.world.chance.choice(living)
            # As SQL starts it, without a version, or as a call.
            version = self.world.chance.choice([None, str(number)])
            instance.spawn(self._start(new._replace(version=version), instance), instance.calls)
        self.world.at(0.2, partial(self.enter, new))

    async def _start(self, new: NewWorkflow, instance: Instance) -> None:
        try:
            await self.start(new, instance)
        except OutlastError as error:
            self.world.note(f"start of {new.workflow_id}: {error!r}")

    def begin(self) -> None:
        """The calls of before, then the deploy."""
        for after_s, new in self.calls[: len(self.drawn.before)]:
            self.world.at(after_s, partial(self.enter, new))
        self._deploy()

    def check(self) -> None:
        """Each ran as the version it began as."""
        for number, (_, items) in enumerate((*self.drawn.before, *self.drawn.after)):
            self._check_items(f"w{number}", items)

    def seen(self) -> Counter[str]:
        """Why something was held, and which code there was."""
        return self.held + Counter(f"{each} code" for each in self.kinds.values())

    def _check_items(self, workflow_id: str, items: list[Any]) -> None:
        row = self.database.workflows.get(workflow_id)
        found = None if row is None else json.loads(row.output or "null")
        number = self.numbers[workflow_id]
        expected = [f"version {number}", *(name.upper() for name, _ in items)]
        if found != expected:
            self.world.violation(f"{workflow_id} returned {found}, not {expected}: {row}")
        elif row is not None and row.new.version != str(number):
            self.world.violation(f"{workflow_id} bears the version {row.new.version}, not {number}")


RUNS = Runs(draw, Versioning)
