"""Runs in which rows refuse to be written: what refuses stays whole, and goes on once it is let go."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from outlast.core.ports import BadData
from outlast.core.status import LIVE
from outlast.engine.journal import ASIDE_MAX_S
from outlast.store.refusals import PAUSE_MAX_S, PAUSE_S
from outlast.testing.rows import RowRefused, Workflow
from tests.simulation.plans import Refusal
from tests.simulation.scenario import WORKFLOWS_MAX, Instance, Scenario

WAYS: tuple[type[Exception], ...] = (BadData, RowRefused)
"""As a trigger or a check says it, and as a missing right, which may be that of all."""

LASTS_S = (0.05, 1.0, 4.0, 15.0, 30.0)


def some_refusals(seed: int, within_s: float, counts: Sequence[int] = (0, 0, 1, 3, 6)) -> list[Refusal]:
    """Some rows, drawn apart: a seed's other draws are what they are without."""
    chance = random.Random(f"refusals of {seed}")
    return [
        Refusal(
            chance.choice([chance.expovariate(1.0), chance.uniform(0, within_s)]),
            chance.choice(LASTS_S),
            chance.random(),
            running=chance.random() < 0.3,
            way=chance.choice(WAYS),
        )
        for _ in range(chance.choice(counts))
    ]


class Keeping(Scenario):
    """A run in which rows refuse, before what else it is. Whoever sets `when_executed` calls `check_kept`."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.kept: dict[str, tuple[Any, ...]] = {}
        """What is in the rows that refuse."""
        self._refused_at: dict[str, float] = {}
        self.let_go_until: dict[str, float] = {}
        """Until when what was let go may be left alone yet."""

    def _refuse(self, refusal: Refusal) -> None:
        super()._refuse(refusal)
        rows = self.database.refusing.keys() & self.database.workflows.keys()
        for each in rows - self.kept.keys():
            self.kept[each] = content_of(self.database.workflows[each])
            self._refused_at[each] = self.world.now

    def let_go(self, workflow_id: str) -> None:
        """See Scenario."""
        if workflow_id not in self.kept:
            return
        self.check_kept()
        super().let_go(workflow_id)
        del self.kept[workflow_id]
        # It is asked again after pauses that double: after as long again as it has refused, at the latest.
        refused_s = self.world.now - self._refused_at.pop(workflow_id)
        pause_s = max(ASIDE_MAX_S, min(PAUSE_MAX_S, refused_s + PAUSE_S))
        self.let_go_until[workflow_id] = self.world.now + pause_s

    def check_kept(self) -> None:
        """What refuses is as it was."""
        rows = self.database.workflows
        for workflow_id, kept in self.kept.items():
            if workflow_id not in rows or content_of(rows[workflow_id]) != kept:
                self.world.violation(f"{workflow_id} refuses, and was written: {rows.get(workflow_id)}")

    def check_epoch(self, workflow_id: str) -> None:
        """A step of it begins: nobody else runs it, as far as leases can tell."""
        process: Any = self.world.running
        epoch, row = process.engine._executor.live[workflow_id].epoch, self.database.workflows[workflow_id]
        if not self.plan.weather.sessions and row.status in LIVE and row.epoch != epoch:
            self.world.violation(f"{workflow_id} runs a step at epoch {epoch}, and is at {row.epoch}")

    def is_passed_by(self, workflow_id: str) -> bool:
        """Whether nobody needs to do anything with it now."""
        return workflow_id in self.kept or self.let_go_until.get(workflow_id, 0.0) > self.world.now

    def helpers(self, room: int = 0) -> list[Instance]:
        """Who might run something, with more room than that. Beside what was lost often nothing runs."""
        often, now = self.limits.suspect_after, self.world.now
        rows = self.database.workflows.values()
        if any(row.status in LIVE and row.recovery_attempts >= often for row in rows):
            return []
        return [
            each
            for each in self.living()
            if each.frozen_until <= now
            and each.link.down_until <= now
            and (not room or len(each.engine._executor.live) + room < WORKFLOWS_MAX)
        ]

    def could_not_be_recorded(self, workflow_id: str) -> bool:
        """Whether it failed since its row refused what it did."""
        row = self.database.workflows[workflow_id]
        refused = {workflow_id, row.batch} & self.refused
        return bool(refused) and "not_recordable" in (row.error or "")


def content_of(row: Workflow) -> tuple[Any, ...]:
    """All of a row that is written."""
    return (
        row.owner, row.status, row.epoch, row.claimable_at, row.recovery_attempts, row.mail, row.awaits,
        row.output, row.error, row.updated_at, row.untold, row.held, row.stop, row.batch, row.new,
        row.generation, row.attributes, dict(row.map or {}),
    )  # fmt: skip
