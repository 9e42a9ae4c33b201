"""Limits of steps in simulated time: at every moment no limit is passed, and whoever waits gets a place.

Bodies give up steps that have a place, and steps that wait for one, while instances die.
"""

from __future__ import annotations

import asyncio
import math
import random
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outlast import Limit, Rate, sleep, step, workflow
from outlast.core.records import LimitUse
from outlast.core.status import Status
from outlast.testing.rows import LimitRow
from tests.simulation.network import PATIENCE_S
from tests.simulation.plans import LEASE_S, Plan
from tests.simulation.runs import Offered, Run, Runs, a_plan
from tests.simulation.scenario import Instance

FAULTS = ("kill", "kill", "freeze", "cut", "partition", "restart", "stop")
LASTS_S = 4.0
GONE_S = 1.0
"""So soon a place is given back. Where statements get lost they are sent again after a while."""
SETTLED_S = 3 * LEASE_S

LIMITS = {
    "one": Limit("one", concurrency=1),
    "few": Limit("few", concurrency=3),
    "slow": Limit("slow", rate=Rate(2, per=0.5)),
    "both": Limit("both", rate=Rate(3, per=0.3, smooth=True), concurrency=2),
}


async def _work(length_s: float) -> None:
    await asyncio.sleep(length_s)


@step
async def work_on(length_s: float) -> None:
    """What has no limit."""
    await asyncio.sleep(length_s)


_STEPS = {name: step(name=name, limit=limit)(_work) for name, limit in LIMITS.items()}


@workflow
async def job(
    limits: list[str], length_s: float, patience_s: float, works_on_s: float, pause_s: float
) -> None:
    """Each step is given up after a while; then something else is done, and the step again."""
    for name in limits:
        try:
            async with asyncio.timeout(patience_s):
                await _STEPS[name](length_s)
        except TimeoutError:
            await work_on(works_on_s)
            await _STEPS[name](0.1)
        if pause_s:
            await sleep(pause_s)


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed."""

    plan: Plan
    calls: tuple[tuple[float, str, dict[str, Any]], ...]


def draw(seed: int) -> Drawn:
    """Some workflows, all under a few limits."""
    chance = random.Random(seed)
    plan = a_plan(chance, f"{seed}:limits", FAULTS, LASTS_S, early=2)
    names = chance.sample(sorted(LIMITS), chance.choice([1, 2]))
    calls = tuple(
        (
            chance.choice([0.0, chance.uniform(0, 1)]),
            "job",
            {
                "limits": [chance.choice(names) for _ in range(chance.choice([1, 2, 3]))],
                "length_s": chance.choice([0.01, 0.1, 0.4, 20]),
                "patience_s": chance.choice([0.05, 0.3, 60]),
                "works_on_s": chance.choice([0.01, 3]),
                "pause_s": chance.choice([0, 0, 0.01, 0.5]),
            },
        )
        for _ in range(chance.choice([2, 5, 10]))
    )
    return Drawn(plan, calls)


class Limiting(Run):
    """A run with limits."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn.plan, Offered(job), trace, drawn.calls)
        self._begun: dict[str, dict[LimitUse, float]] = {name: {} for name in LIMITS}
        self._given_up = 0
        self._gone_since: dict[LimitUse, float] = {}
        self._settled_at = 0.0
        self.network.when_executed = self._look

    def fault(self, kind: str, at: Any = None) -> None:
        """As before: what failed is tried again, ever more seldom."""
        self._settled_at = self.world.now + SETTLED_S
        super().fault(kind, at)

    def begin(self) -> None:
        """The calls, and a look for places that nobody uses now and then."""
        super().begin()
        self.world.at(0.0, self._look_for_gone)

    def _look_for_gone(self) -> None:
        """A step that was given up has a place no longer than it takes to say so."""
        gone = {
            use for row in self.database.step_limits.values() for use in row.uses if self._is_gone(use, row)
        }
        self._gone_since = {use: self._gone_since.get(use, self.world.now) for use in gone}
        for use, since in self._gone_since.items():
            patience_s = GONE_S + (PATIENCE_S if self.plan.weather.mishap else 0.0)
            if self.world.now - max(since, self._settled_at) > patience_s:
                self.world.violation(f"{use} has a place, and was given up at {since}")
        if not self.over():
            self.world.at(0.05, self._look_for_gone)

    def _is_gone(self, use: LimitUse, row: LimitRow) -> bool:
        owner = next((each for each in self.living() if self._owns(each, use)), None)
        if owner is None or use in row.given_up or not self._holds(use):
            return False
        execution = owner.engine._executor.live.get(use.workflow_id)
        return execution is not None and use.step_id not in execution.calls

    def _owns(self, instance: Instance, use: LimitUse) -> bool:
        row, now = self.database.workflows[use.workflow_id], self.world.now
        return row.owner == instance.name and max(instance.frozen_until, instance.link.down_until) <= now

    def _look(self) -> None:
        """At every moment."""
        for name, row in self.database.step_limits.items():
            limit, held = LIMITS[name].options, sum(map(self._holds, row.uses.keys() - row.given_up))
            if held > limit.get("concurrency", math.inf):
                self.world.violation(f"{held} steps hold places under {limit}")
            for use, at in row.uses.items():
                if at > 0 and use not in self._begun[name]:
                    self._begun[name][use] = at
                    self._check_rate(name, at)
            self._given_up = max(self._given_up, len(row.given_up))

    def _holds(self, use: LimitUse) -> bool:
        row = self.database.workflows.get(use.workflow_id)
        runs = row is not None and row.owner is not None and row.epoch == use.epoch
        return runs and (use.workflow_id, use.step_id) not in self.database.records

    def _check_rate(self, name: str, at: float) -> None:
        rate = LIMITS[name].options.get("rate")
        if rate is None:
            return
        n, per = (1, rate["per"] / rate["n"]) if rate.get("smooth") else (rate["n"], rate["per"])
        times = sorted(self._begun[name].values())
        if (within := len(times) - bisect_left(times, at - per + 1e-5)) > n:
            self.world.violation(f"{within} steps began within {per} s under {rate}")

    def check(self) -> None:
        """All came to their end."""
        for workflow_id, row in self.database.workflows.items():
            if row.status is not Status.SUCCESS:
                self.world.violation(f"{workflow_id} ended as {row.status}")

    def seen(self) -> Counter[str]:
        """How many steps were given up."""
        return Counter({"given up": self._given_up})


RUNS = Runs(draw, Limiting)
