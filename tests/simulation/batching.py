"""Batches in simulated time: each call is in one of them, and has its own part of what that returned."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from outlast import Batch, Queue, sleep, step, workflow
from outlast.core.names import BATCH
from outlast.core.records import DeclaredQueue, NewWorkflow
from outlast.core.status import Status
from tests.simulation.keeping import some_refusals
from tests.simulation.queueing import LASTS_S, Call, Drawn, Queueing, queues_plan
from tests.simulation.runs import Runs


@step
async def answer(calls: list[dict[str, str]]) -> list[str]:
    """What one provider says to many."""
    await asyncio.sleep(0.02)
    return [each["id"] for each in calls]


@workflow(queue=Queue("code", batch=Batch(1000, 1)))
async def batched(calls: list[dict[str, str]]) -> list[str]:
    """Asks, perhaps leaves the memory, and hands each call its own answer."""
    found = await answer(calls)
    if len(calls) % 2:
        await sleep(0.5)
    return found


def draw(seed: int) -> Drawn:
    """One queue with batches, calls of some keys, and everything at once."""
    chance = random.Random(seed)
    plan = replace(queues_plan(chance, f"{seed}:batches"), refusals=some_refusals(seed, LASTS_S))
    options: dict[str, Any] = {
        "key": "key",
        "batch": {"n": chance.randint(1, 4), "wait": chance.choice([0.1, 1.0])},
    }
    limits = [each for each in ("concurrency", "per_key") if chance.random() < 0.4]
    options |= {each: chance.randint(1, 2) for each in limits}
    queue = DeclaredQueue("q", options, ("batched",))
    calls = tuple(_call(chance, f"w{number}") for number in range(chance.randint(3, 25)))
    return Drawn(plan, (queue,), calls)


def _call(chance: random.Random, workflow_id: str) -> Call:
    key = chance.choice("ab")
    new = NewWorkflow(
        workflow_id, "batched", json.dumps({"key": key, "id": workflow_id}), queue="q", queue_key=key
    )
    return Call(chance.choice([0.0, chance.uniform(0, 5.0)]), new, chance.random() < 0.5)


class Batching(Queueing):
    """A run with batches."""

    called: ClassVar[Any] = batched

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn, trace)
        self.members: dict[str, str] = {}
        """In which batch each call was seen."""

    def _look(self) -> None:
        super()._look()
        found = defaultdict(list)
        for workflow_id, row in self.database.workflows.items():
            if row.batch is None:
                continue
            found[row.batch].append(row)
            if self.members.setdefault(workflow_id, row.batch) != row.batch:
                self.world.violation(
                    f"{workflow_id} was in {self.members[workflow_id]}, and is in {row.batch}"
                )
        most = self._options["q"]["batch"]["n"]
        for batch, rows in found.items():
            if len(rows) > most or len({row.new.queue_key for row in rows}) > 1:
                self.world.violation(f"{batch} has {[row.new.queue_key for row in rows]}, of {most} at most")

    def _look_for_room(self) -> None:
        """What waits here may wait for others: at the end all have to be over."""

    def check(self) -> None:
        """Each call was in one batch, and got its own part."""
        super().check()
        for call in self._drawn.calls:
            row = self.database.workflows[call.new.workflow_id]
            if row.status is Status.SUCCESS and row.output != json.dumps(call.new.workflow_id):
                self.world.violation(f"{call.new.workflow_id} was given {row.output}")
        batches = {each for each in self.database.workflows if each.endswith(BATCH)}
        if batches != set(self.members.values()):
            self.world.violation(
                f"there are the batches {batches}, and members of {set(self.members.values())}"
            )


RUNS = Runs(draw, Batching)
