"""Attributes in simulated time: a body sets and reads its own while operators change them, and instances die.

What a body has read it hands to a step. A step that is begun again, after whatever crash, is handed the same;
and what the body itself has set before is in what it reads.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from outlast import context, sleep, step, workflow
from outlast.core.status import Status
from outlast.core.verbs import SET_WORKFLOW
from tests.simulation.plans import Plan
from tests.simulation.runs import Offered, Run, Runs, a_plan, here
from tests.simulation.scenario import Instance

FAULTS = ("kill", "kill", "kill", "freeze", "cut", "partition", "restart", "stop")
LASTS_S = 3.0


@step
async def note(place: int, found: dict[str, Any]) -> int:
    here[0].note(context().workflow_id, place, found)
    await asyncio.sleep(0.3)  # in which its instance may die
    return place


@workflow
async def reader(rounds: int, pause_s: float) -> int:
    for number in range(rounds):
        await note(2 * number, await context().attributes())
        await context().set_attributes({"own": number})
        await note(2 * number + 1, await context().attributes())
        await sleep(pause_s)
    return rounds


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed: the workflows, and when an operator changes which of them."""

    plan: Plan
    calls: tuple[tuple[float, str, dict[str, Any]], ...]
    changes: tuple[tuple[float, int], ...]


def draw(seed: int) -> Drawn:
    """Some readers, and operators at any moment."""
    chance = random.Random(seed)
    plan = a_plan(chance, f"{seed}:attributes", FAULTS, LASTS_S, early=2, counts=(1, 3, 6))
    count = chance.choice([1, 2, 5])
    calls = tuple(
        (
            chance.uniform(0, 0.5),
            "reader",
            {"rounds": chance.choice([1, 2, 4]), "pause_s": chance.choice([0.01, 0.3, 1.0])},
        )
        for _ in range(count)
    )
    often = chance.choice([3, 10, 20])
    changes = tuple((chance.uniform(0, LASTS_S), chance.randrange(count)) for _ in range(often))
    return Drawn(plan, calls, changes)


class Attributing(Run):
    """A run with readers, and with operators."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn.plan, Offered(reader), trace, drawn.calls)
        self._drawn = drawn
        self.asked += len(drawn.changes)
        self._found: dict[tuple[str, int], dict[str, Any]] = {}
        self._again = 0

    def begin(self) -> None:
        """The calls, and what operators change."""
        super().begin()
        for number, (after_s, place) in enumerate(self._drawn.changes):
            self.world.at(after_s, partial(self.ask, partial(self._change, f"w{place}", number)))

    async def _change(self, workflow_id: str, number: int, instance: Instance) -> None:
        await instance.engine.act(SET_WORKFLOW, workflow_id, {"attributes": {"seen": number}}, "ann")

    def note(self, workflow_id: str, place: int, found: dict[str, Any]) -> None:
        """A step was handed what the body has read."""
        before = self._found.setdefault((workflow_id, place), found)
        self._again += before is not found
        if before != found:
            self.world.violation(f"{workflow_id} has read {before} and then {found} at {place}")
        own = place // 2 if place % 2 else place // 2 - 1
        if found.get("own", -1) != own:
            self.world.violation(f"{workflow_id} has set {own} before {place}, and read {found}")

    def check(self) -> None:
        """All came to their end."""
        for workflow_id, row in self.database.workflows.items():
            if row.status is not Status.SUCCESS:
                self.world.violation(f"{workflow_id} ended as {row.status}")

    def seen(self) -> Counter[str]:
        """How often a step was handed the same again, and how often something from outside was read."""
        outside = sum("seen" in each for each in self._found.values())
        return Counter(again=self._again, outside=outside)


RUNS = Runs(draw, Attributing)
