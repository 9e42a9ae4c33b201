"""Bulks in simulated time: each workflow once, none left out, whoever is killed at whichever block.

Instances are killed, frozen and cut off between any two blocks; bulks are cancelled and paused. Blocks are
small (`outlast.testing.statements.bulks.BLOCK`), so that each bulk has several.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from outlast import receive, workflow
from outlast.core.errors import OutlastError
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable, Unreachable
from outlast.core.records import DeclaredQueue, NewWorkflow
from outlast.core.schedules import Declared
from outlast.core.status import LIVE, Status
from outlast.core.verbs import BULK, PAUSE, RESUME, Verb
from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.rows import BulkRow
from outlast.testing.silence import quietly
from outlast.testing.statements.bulks import FUNCTION
from tests.simulation.network import Weather
from tests.simulation.plans import Plan
from tests.simulation.scenario import Instance, Scenario
from tests.simulation.world import Stuck, simulated_time

FAULTS = (
    "kill",
    "kill",
    "kill",
    "freeze",
    "cut",
    "partition",
    "restart",
    "stop",
    "bulk cancel",
    "bulk pause",
)
LASTS_S = 4.0
CYCLES_MAX = 400_000
_REFUSED = (NoSuchRow, NotNow, Unacceptable, OutlastError)


@workflow
async def waiter() -> Any:
    return await receive("go")


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed: how many wait, and the bulks, each with when it begins."""

    plan: Plan
    waiters: int
    bulks: tuple[tuple[float, dict[str, Any]], ...]


def draw(seed: int) -> Drawn:
    """Bulks of all kinds, and everything at once."""
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
        (chance.choice([chance.expovariate(2), chance.uniform(0, LASTS_S)]), chance.choice(FAULTS))
        for _ in range(chance.choice([0, 1, 3, 6]))
    )
    plan = Plan(f"{seed}:bulks", seed, chance.choice([1, 2, 3]), [], weather, faults)
    waiters = chance.choice([1, 3, 4, 10, 17])
    bulks = tuple((chance.uniform(0.2, 2.0), _bulk(chance, waiters)) for _ in range(chance.choice([1, 1, 2])))
    return Drawn(plan, waiters, bulks)


def _bulk(chance: random.Random, waiters: int) -> dict[str, Any]:
    verb = chance.choice(["cancel", "cancel", "pause", "set"])
    given: dict[str, Any] = {"verb": verb, "rate": chance.choice([5, 20, 1000])}
    given["filter"] = chance.choice([{"function": "waiter"}, {"prefix": "w"}, {"status": "PENDING"}])
    if verb == "set":
        given["arguments"] = {"attributes": {"seen": "yes"}}
    if chance.random() < 0.3:
        given["expect"] = waiters
    return given


class Catalog:
    """See core.ports.Catalog."""

    def workflow(self, function: str) -> WorkflowDefinition | None:
        return waiter.definition if function == "waiter" else None

    def version(self, function: str) -> str:
        return "v1"

    def name_of(self, definition: WorkflowDefinition) -> str:
        return "waiter"

    def of_version(self, function: str, version: str | None) -> WorkflowDefinition | None:
        return self.workflow(function)

    def workflow_names(self) -> list[str]:
        return ["waiter"]

    def versions(self) -> dict[str, str]:
        return {name: str(self.version(name)) for name in self.workflow_names()}

    def message_queues(self) -> dict[str, list[str]]:
        return {}

    def queues(self) -> tuple[DeclaredQueue, ...]:
        return ()

    def schedules(self) -> list[Declared]:
        return []

    def retentions(self) -> dict[str, float | None]:
        """See core.ports.Catalog."""
        return {}

    def broken_files(self) -> list[str]:
        return []


class Bulking(Scenario):
    """A run with bulks."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None = None) -> None:
        super().__init__(drawn.plan, trace)
        self.memory_bytes = 2**28
        self.catalog = Catalog()
        self._drawn = drawn
        self._tasks = drawn.waiters + len(drawn.bulks)
        """What is asked for until it is done."""

    def over(self) -> bool:
        """Whether all was asked for, and every bulk has ended."""
        rows = self.database.workflows.values()
        return (
            not self.left
            and not self._tasks
            and not any(row.status in LIVE for row in rows if row.new.function == FUNCTION)
        )

    def fault(self, kind: str, at: Any = None) -> None:
        """As before; some are of bulks."""
        if not kind.startswith("bulk"):
            super().fault(kind, at)
            return
        bulks = sorted(self.database.bulks)
        if not bulks:
            return
        self.faults[kind] = self.faults.get(kind, 0) + 1
        bulk_id = self.world.chance.choice(bulks)
        if kind == "bulk cancel":
            self.cancelled.add(bulk_id)
            self._tasks += 1
            self._until_done(lambda each: each.engine.cancel(bulk_id))
            return
        self._tasks += 2
        self._until_done(partial(self._act, PAUSE, bulk_id))
        resume = partial(self._until_done, partial(self._act, RESUME, bulk_id))
        self.world.at(self.world.chance.uniform(0, 3), resume)

    async def _act(self, verb: Verb, key: str, instance: Instance) -> None:
        await instance.engine.act(verb, key, {}, "ann")

    def _until_done(self, work: Callable[[Instance], Any]) -> None:
        """Ask instances until one has answered; a refusal is an answer, too."""
        again = partial(self.world.at, 0.2, partial(self._until_done, work))
        living = self.living()
        if not living:
            again()
            return
        settled = False

        def settle(done: bool) -> None:
            nonlocal settled
            if not settled:
                settled = True
                if done:
                    self._tasks -= 1
                else:
                    again()

        instance = self.world.chance.choice(living)

        async def ask() -> None:
            try:
                await work(instance)
            except (Unreachable, OutlastError) as error:
                settle(isinstance(error, _REFUSED) and not isinstance(error, OutlastError))
            except _REFUSED:
                settle(True)
            else:
                settle(True)

        instance.spawn(ask(), instance.calls)
        self.world.at(8.0, partial(settle, False))

    def play(self) -> None:
        """Let it happen, and look all the time."""
        world = self.world
        with simulated_time(world):
            for _ in range(self.plan.instances):
                self.begin_instance()
            for after_s, kind in self.plan.faults:
                world.at(after_s, partial(self._planned, kind))
            for number in range(self._drawn.waiters):
                new = NewWorkflow(f"w{number:02}", "waiter", "{}")
                start = partial(_start, new)
                world.at(world.chance.uniform(0, 0.1), partial(self._until_done, start))
            for after_s, given in self._drawn.bulks:
                begin = partial(_begin, given)
                world.at(after_s, partial(self._until_done, begin))
            try:
                world.run(self.over, CYCLES_MAX)
            except Stuck as error:
                world.violation(f"{error}: {self._state()}")
            self.network.calm()
        for bulk_id, bulk in self.database.bulks.items():
            self._check(bulk_id, bulk)

    def _check(self, bulk_id: str, bulk: BulkRow) -> None:
        """Each once, as many as it says, and each as the verb leaves it."""
        row, violation = self.database.workflows[bulk_id], self.world.violation
        ids = [each.workflow_id for each in bulk.items]
        outcomes = Counter(each.outcome for each in bulk.items)
        if len(ids) != len(set(ids)) or ids != sorted(ids, key=self._created):
            violation(f"{bulk_id} has {ids}")
        if row.status is Status.CANCELLED and bulk_id in self.cancelled:
            return
        if (
            row.status is Status.ERROR
            and bulk.expect not in (None, len(ids))
            and not any(each.outcome for each in bulk.items)
        ):
            return
        if row.status is not Status.SUCCESS or outcomes[None] or not bulk.over:
            violation(f"{bulk_id} ended as {row.status} with {outcomes}")
            return
        told = json.loads(row.output or "{}")
        if (told["total"], told["done"]) != (len(ids), outcomes["done"]):
            violation(f"{bulk_id} tells {told}, and had {outcomes}")
        # Those that were there before it, and fitted all the time.
        lasting = bulk.filter.get("status") is None
        for workflow_id, each in self.database.workflows.items():
            fits = lasting and each.new.function == "waiter" and each.created_at < row.created_at
            if fits and workflow_id not in ids:
                violation(f"{bulk_id} left {workflow_id} out")
        acts = Counter(
            each.name for each in self.database.acts if each.verb == bulk.verb and each.by == bulk.by
        )
        for item in bulk.items:
            if item.outcome == "done" and not acts[item.workflow_id]:
                violation(f"{bulk_id} says that {item.workflow_id} is done")
        if bulk.verb == "set" and max(acts.values(), default=0) > self._bulks_of("set"):
            violation(f"{bulk_id} was done twice: {acts}")

    def _bulks_of(self, verb: str) -> int:
        return sum(each.verb == verb for each in self.database.bulks.values())

    def _created(self, workflow_id: str) -> tuple[float, str]:
        return self.database.workflows[workflow_id].created_at, workflow_id


async def _start(new: NewWorkflow, instance: Instance) -> None:
    await instance.engine.starts.start_new(new, waiter.definition, None)


async def _begin(given: dict[str, Any], instance: Instance) -> None:
    await instance.engine.act(BULK, "", given, "ann")


@dataclass(frozen=True)
class Played:
    """What came out of a run."""

    violations: list[str]
    faults: dict[str, int]
    blocks: int


def run(drawn: Drawn, trace: Callable[[str], None] | None = None) -> Played:
    """Let a run happen."""

    def played() -> Played:
        scenario = Bulking(drawn, trace)
        scenario.play()
        items = [len(each.items) for each in scenario.database.bulks.values()]
        return Played(list(scenario.world.violations), scenario.faults, sum(items))

    return quietly(played)


def play(seed: int, trace: Callable[[str], None] | None = None) -> list[str]:
    """What was wrong in the run of a seed."""
    return run(draw(seed), trace).violations
