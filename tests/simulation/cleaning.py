"""Ended workflows are removed while others run, wait, recover and are cancelled, and while faults happen."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

from outlast.core.status import LIVE
from outlast.engine.instances import cleaning
from outlast.testing.catalog import GivenCatalog
from outlast.testing.database import Database
from outlast.testing.rows import Record, Workflow
from tests.quiet import quietly
from tests.simulation.plans import Plan, plan_of
from tests.simulation.programs import interpret
from tests.simulation.scenario import UNIX_S, Outcome, Scenario

KINDS = ("", ":mail", ":events", ":saga")
DEFAULT_S = 0.5
"""Shorter than what the function says, which counts."""


class Kept(GivenCatalog):
    """The programs' function says for how long it keeps what has ended."""

    def __init__(self, keep_s: float) -> None:
        super().__init__()
        self.add("interpret", interpret.definition)
        self.keep_s: float | None = keep_s

    def retentions(self) -> dict[str, float | None]:
        """See core.ports.Catalog."""
        return {"interpret": self.keep_s}


class Watched(Database):
    """Remembers what was removed, and says what must not have been."""

    scenario: Cleaning

    def remove(self, workflow_id: str) -> None:
        """See Database."""
        scenario, row, why = self.scenario, self.workflows[workflow_id], ""
        if row.status in LIVE:
            why = f"it was {row.status}"
        elif row.updated_at + scenario.kept_s > self.now():
            why = f"it had ended {self.now() - row.updated_at} s before"
        elif row.new.parent in self.workflows:
            why = f"{row.new.parent} started it, and is there"
        elif any(target == workflow_id for target, _ in self.waits):
            why = "somebody waits for it"
        if why:
            scenario.world.violation(f"{workflow_id} was removed, but {why}")
        records = {key: each for key, each in self.records.items() if key[0] == workflow_id}
        letters = [each for each in self.letters if each.workflow_id == workflow_id]
        scenario.reused = scenario.reused or workflow_id in scenario.removed
        scenario.removed[workflow_id] = (row, records)
        super().remove(workflow_id)
        for each in letters:  # kept for the checks: an id that is used again has other messages
            scenario.letters.append((each, workflow_id))


class Cleaning(Scenario):
    """A schedule whose workflows are removed soon after they ended."""

    keep_s = DEFAULT_S

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self.kept_s = random.Random(plan.seed).choice([1.5, 4.0, 12.0])
        self.removed: dict[str, tuple[Workflow, dict[tuple[str, str], Record]]] = {}
        self.letters: list[tuple[object, str]] = []
        self.reused = False
        """Whether a client came again so late that its key was new again: what it finds is another's."""
        super().__init__(plan, trace)
        self.catalog: GivenCatalog = Kept(self.kept_s)

    def _make_database(self) -> Database:
        database = Watched(lambda: UNIX_S + self.world.now, self.world.chance, self.limits)
        database.scenario = self
        return database

    def is_gone(self, workflow_id: str) -> bool:
        """See Scenario."""
        return workflow_id in self.removed

    def over(self) -> bool:
        """See Scenario."""
        self.reused = self.reused or not self.removed.keys().isdisjoint(self.database.workflows)
        return self.reused or super().over()

    def run(self) -> Outcome:
        """See Scenario. Where a key was used again only the removals themselves were looked at."""
        outcome = super().run()
        if self.reused:
            return replace(
                outcome, violations=[each for each in outcome.violations if " was removed, but " in each]
            )
        return outcome

    def _check_rest(self) -> None:
        """In the end all goes; put back, it is what the other checks look at."""
        if self.reused:
            return
        if not self.living():
            self.begin_instance()  # the last one had nothing left to do
        thawed = max(each.frozen_until for each in self.instances)
        ends = max(self.world.now, thawed) + 2 * self.kept_s + 4 * cleaning.REST_S_MAX
        self.world.run(
            lambda: self.world.now > ends or not self.database.workflows, self.world.cycles + 60_000
        )
        for workflow_id, row in self.database.workflows.items():
            if row.status not in LIVE:
                self.world.violation(f"{workflow_id} ended as {row.status}, and is not removed")
        self._keep_all()
        super()._check_rest()

    def _keep_all(self) -> None:
        self.keep_s = 0.0
        assert isinstance(self.catalog, Kept)
        self.catalog.keep_s = None
        for workflow_id, (row, records) in self.removed.items():
            self.database.workflows[workflow_id] = row
            self.database.records.update(records)
        for letter, workflow_id in self.letters:
            letter.workflow_id = workflow_id  # type: ignore[attr-defined]


def draw(seed: int) -> Plan:
    """A schedule of one of the kinds."""
    return plan_of(f"{seed}{KINDS[seed % len(KINDS)]}")


def play(seed: int) -> tuple[Outcome, int]:
    """Run a schedule; what came out, and how many workflows were removed."""
    return _played(draw(seed))


def _played(plan: Plan, trace: Callable[[str], None] | None = None) -> tuple[Outcome, int]:
    def played() -> tuple[Outcome, int]:
        scenario = Cleaning(plan, trace)
        return scenario.run(), len(scenario.removed)

    return quietly(played)


RUNS = SimpleNamespace(draw=draw, run=lambda *given: _played(*given)[0])
"""As runs.Runs, for campaigns."""
