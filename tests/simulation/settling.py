"""Failures that somebody settles by hand, in simulated time: beside each other, before and after retries.

As retrying.py, of whose rules all hold here too: a step that was settled with an output doesn't run again. A
retry keeps what was settled since the failure, and in the end a workflow returns what its records say.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from outlast import workflow
from outlast.core.errors import OutlastError
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable, Unreachable
from outlast.core.records import StepRecord
from outlast.core.verbs import RETRY, SETTLE, Verb
from outlast.testing.rows import RowRefused
from outlast.testing.statements.workflow_verbs import WorkflowVerbs
from tests.simulation import retrying
from tests.simulation.retrying import FAULTS, LASTS_S, Drawn, Retrying, row, work
from tests.simulation.runs import Offered, Runs, a_plan
from tests.simulation.scenario import Instance

BY_HAND = "by hand "


@workflow
async def gathers(items: list[Any]) -> list[str]:
    """All of them fail beside each other."""
    calls = [work(name, fails) for name, fails, _ in items]
    got = await asyncio.gather(*calls, return_exceptions=True)
    for each in got:
        if isinstance(each, BaseException):
            raise each
    return [str(each) for each in got]


@workflow
async def first_fails(items: list[Any]) -> list[str]:
    """The first failure ends it, whatever the others come to."""
    return list(await asyncio.gather(*(work(name, fails) for name, fails, _ in items)))


@workflow
async def one_by_one(items: list[Any]) -> list[str]:
    return await row(items)


CALLED = (gathers, gathers, first_fails, one_by_one)


def draw(seed: int) -> Drawn:
    """Workflows whose steps fail often, and everything at once."""
    chance = random.Random(f"settlements of {seed}")
    plan = a_plan(chance, f"{seed}:settlements", FAULTS, LASTS_S)
    calls = tuple(
        (chance.choice([0.0, 0.3]), chance.choice(CALLED).definition.name, {"items": _items(chance)})
        for _ in range(chance.choice([1, 2, 3]))
    )
    kinds = ["settle", "settle", "settle", "settle", "retry", "rewind"]
    acts = tuple(
        (chance.uniform(0, 2 * LASTS_S), chance.choice(kinds), chance.randrange(len(calls)))
        for _ in range(chance.choice([4, 8, 16]))
    )
    return replace(retrying.draw(seed), plan=plan, calls=calls, acts=acts)


def _items(chance: random.Random) -> list[Any]:
    return [
        [f"s{place}", chance.choice([0, 1, 2, 6]), chance.choice([0.0, 0.0, 0.05])]
        for place in range(chance.choice([1, 2, 4, 6]))
    ]


class Settling(Retrying):
    """A run in which somebody settles."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn, trace)
        self.catalog = Offered(*dict.fromkeys(CALLED))

    def play(self) -> None:
        """Look at what each retry keeps."""
        scenario, act = self, WorkflowVerbs.act

        def watched(
            verbs: WorkflowVerbs, verb: Verb, workflow_id: str, given: Mapping[str, Any], by: str
        ) -> Mapping[str, Any]:
            kept = scenario._kept_by(verb, workflow_id)
            done = act(verbs, verb, workflow_id, given, by)
            for step_id, step in kept.items():
                record = scenario.database.records.get((workflow_id, step_id))
                if record is None or (record.step.output, record.step.error) != (step.output, step.error):
                    scenario.world.violation(f"{verb.name} of {workflow_id} changed {step} to {record}")
            return done

        with patch.object(WorkflowVerbs, "act", watched):
            super().play()

    def _kept_by(self, verb: Verb, workflow_id: str) -> dict[str, StepRecord]:
        """By a retry what was settled since the workflow failed; by hand no success of the step's own."""
        records = self.database.records_of(workflow_id).items()
        if verb is RETRY:
            return {step_id: each.step for step_id, each in records if each.settled and each.since_end}
        if verb is SETTLE:
            return {step_id: each.step for step_id, each in records if each.step.output and not each.settled}
        return {}

    async def _acting(self, instance: Instance, kind: str, workflow_id: str) -> None:
        if kind != "settle":
            await super()._acting(instance, kind, workflow_id)
            return
        records = self.database.records_of(workflow_id)
        failed = sorted(step_id for step_id, each in records.items() if each.step.error is not None)
        chance = self.world.chance
        step_id = chance.choice(failed if failed and chance.random() < 0.8 else sorted(records) or ["1"])
        by_hand: dict[str, Any] = {"error": "it can't be"}
        if chance.random() < 0.8:
            by_hand = {"output": f"{BY_HAND}{chance.randrange(1000)}"}
        try:
            await instance.engine.act(SETTLE, workflow_id, {"step": step_id, **by_hand}, "somebody")
        except (NoSuchRow, NotNow, Unacceptable, Unreachable, OutlastError, RowRefused) as error:
            self.world.note(f"settle {workflow_id}: {error!r}")
            return
        self.acted["settle"] += 1
        self.acted["beside others"] += len(failed) > 1

    def check(self) -> None:
        """Each call returned what is recorded: of each item its own, or what somebody has settled."""
        for _, new in self.calls:
            output = json.loads(self.database.workflows[new.workflow_id].output or "[]")
            names = [name for name, _, _ in json.loads(new.input or "")["items"]]
            recorded = Counter(
                json.loads(each.step.output)
                for each in self.database.records_of(new.workflow_id).values()
                if each.step.name == "work" and each.step.output is not None
            )
            fits = len(output) == len(names) and all(
                found == name.upper() or found.startswith(BY_HAND)
                for found, name in zip(output, names, strict=False)
            )
            if not fits or Counter(output) != recorded:
                self.world.violation(f"{new.workflow_id} returned {output}, and {recorded} is recorded")

    def seen(self) -> Counter[str]:
        """What was done, and what was returned of it."""
        outputs = [each.output or "" for each in self.database.workflows.values()]
        return super().seen() + Counter(returned=sum(each.count(BY_HAND) for each in outputs))


RUNS = Runs(draw, Settling)
