"""Bulks in simulated time: each workflow once, none left out, whoever is killed at whichever block.

Instances are killed, frozen and cut off between any two blocks; bulks are cancelled and paused. Blocks are
small (`outlast.testing.statements.bulks.BLOCK`), so that each bulk has several.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from outlast import receive, workflow
from outlast.core.records import NewWorkflow
from outlast.core.status import LIVE, Status
from outlast.core.verbs import BULK, PAUSE, RESUME, Verb
from outlast.testing.rows import BulkRow
from outlast.testing.statements.bulks import FUNCTION
from tests.simulation.keeping import Keeping, some_refusals
from tests.simulation.network import PATIENCE_S
from tests.simulation.plans import LEASE_S, Plan
from tests.simulation.runs import Offered, Run, Runs, a_plan
from tests.simulation.scenario import UNIX_S, Instance

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
LATE_S = 11.0
"""One that refused its end is asked again so soon, and others far sooner."""

SETTLED_S = 3 * LEASE_S


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
    plan = a_plan(chance, f"{seed}:bulks", FAULTS, LASTS_S, early=2)
    # The first ones by their names are bulks.
    refusals = [each._replace(place=each.place**4) for each in some_refusals(seed, LASTS_S)]
    plan = replace(plan, refusals=refusals)
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


class Bulking(Keeping, Run):
    """A run with bulks."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn.plan, Offered(waiter), trace)
        self._drawn = drawn
        self.asked = drawn.waiters + len(drawn.bulks)
        self._settled_at = 0.0
        self.network.when_executed = self._look

    def begin_instance(self) -> None:
        """As before: instances need a while to settle."""
        self._settled_at = self.world.now + SETTLED_S
        super().begin_instance()

    def _look(self) -> None:
        """At every moment: what refuses is as it was, and no other bulk waits for it."""
        self.check_kept()
        patience_s = LATE_S + (PATIENCE_S if self.plan.weather.mishap else 0.0)
        if not self.helpers():
            self._settled_at = self.world.now
        for bulk_id, bulk in self.database.bulks.items():
            since = max(bulk.next_at - UNIX_S, self._settled_at)
            if not bulk.over and bulk_id not in self.kept and self.world.now - since > patience_s:
                self.world.violation(f"{bulk_id} is due since {since}, beside {sorted(self.kept)}")
                self._settled_at = self.world.now

    def over(self) -> bool:
        """Whether all was asked for, and every bulk has ended."""
        rows = self.database.workflows.values()
        return (
            not self.left
            and not self.asked
            and not self.to_refuse
            and not self.database.refusing
            and not any(row.status in LIVE for row in rows if row.new.function == FUNCTION)
        )

    def fault(self, kind: str, at: Any = None) -> None:
        """As before; some are of bulks."""
        self._settled_at = self.world.now + SETTLED_S
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
            self.asked += 1
            self.ask(lambda each: each.engine.cancel(bulk_id))
            return
        self.asked += 1
        self.ask(partial(self._act, PAUSE, bulk_id))
        self.world.at(self.world.chance.uniform(0, 3), partial(self._resume, bulk_id))

    def _resume(self, bulk_id: str) -> None:
        """Again and again: a pause that got lost may be done after a resume."""
        if self.database.workflows[bulk_id].status in LIVE:
            self.asked += 1
            self.ask(partial(self._act, RESUME, bulk_id))
            self.world.at(3.0, partial(self._resume, bulk_id))

    async def _act(self, verb: Verb, key: str, instance: Instance) -> None:
        await instance.engine.act(verb, key, {}, "ann")

    def begin(self) -> None:
        """Workflows that wait, and bulks."""
        for number in range(self._drawn.waiters):
            new = NewWorkflow(f"w{number:02}", "waiter", "{}")
            self.world.at(self.world.chance.uniform(0, 0.1), partial(self.enter, new))
        for after_s, given in self._drawn.bulks:
            self.world.at(after_s, partial(self.ask, partial(self._begin_bulk, given)))

    async def _begin_bulk(self, given: dict[str, Any], instance: Instance) -> None:
        await instance.engine.act(BULK, "", given, "ann")

    def _check_rest(self) -> None:
        """None: what waits, waits on."""

    def check(self) -> None:
        """Look at each bulk."""
        for bulk_id, bulk in self.database.bulks.items():
            self._check_bulk(bulk_id, bulk)

    def seen(self) -> Counter[str]:
        """How many workflows the bulks had."""
        return Counter(items=sum(len(each.items) for each in self.database.bulks.values()))

    def _check_bulk(self, bulk_id: str, bulk: BulkRow) -> None:
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
        failed = {each.workflow_id for each in bulk.items if each.outcome == "failed"}
        if not failed <= self.refused:
            violation(f"{bulk_id} failed with {failed}, and only {self.refused} refused")
        if (told["total"], told["done"], told["failed"]) != (len(ids), outcomes["done"], len(failed)):
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


RUNS = Runs(draw, Bulking)
