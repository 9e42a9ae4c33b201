"""Schedules in which operators pause, resume, fork, settle, kill and delete workflows at any moment."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from outlast.core.errors import OutlastError
from outlast.core.kinds import PATCH
from outlast.core.maps import MAP
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable, Unreachable
from outlast.core.records import StepRecord
from outlast.core.status import LIVE
from outlast.core.verbs import DELETE, FORK, KILL, PAUSE, RESUME, SETTLE, Verb
from outlast.sdk.operations import Step
from outlast.testing.rows import RowRefused, Workflow
from tests.quiet import quietly
from tests.simulation.keeping import Keeping
from tests.simulation.plans import Plan, random_plan
from tests.simulation.scenario import Instance, Outcome
from tests.simulation.traces import Life, Traces

OPERATED = ("pause", "pause", "fork", "fork", "settle", "kill", "delete")
AT_CYCLES = ("pause", "fork")
_REFUSED = (NoSuchRow, NotNow, Unacceptable, Unreachable, OutlastError, RowRefused)


def operated_plan(seed: int) -> Plan:
    """As `random_plan`, with operators in it."""
    chance, plan = random.Random(seed), random_plan(seed)
    acts = [
        (
            chance.expovariate(1 / 0.05) if chance.random() < 0.8 else chance.uniform(0, 8),
            chance.choice(OPERATED),
        )
        for _ in range(chance.randint(1, 6))
    ]
    return replace(plan, name=f"{seed}:operated", faults=sorted([*plan.faults, *acts]))


class OperatedTraces(Traces):
    """What must hold of pauses and forks while they last."""

    def begin_life(self, workflow_id: str) -> Life:
        """See Traces."""
        row = self._database.workflows[workflow_id]
        life = super().begin_life(workflow_id)
        if len(self.lives[workflow_id]) == 1 and row.forked_from in self._database.workflows:
            self._check_copies(workflow_id, str(row.forked_from), life)
        self._check_pause(life)
        return life

    def begin_step(self, life: Life, label: str, seen: int) -> str:
        """See Traces."""
        self._check_pause(life)
        return super().begin_step(life, label, seen)

    def _check_pause(self, life: Life) -> None:
        """Whoever ran it before the pause may not know of that yet. Nobody may run it since."""
        row = self._database.workflows.get(life.workflow_id)
        if row is not None and row.held is not None and row.epoch == life.epoch:
            self.violation(f"{life.workflow_id} is paused, and runs at epoch {life.epoch}")

    def _check_copies(self, fork: str, source: str, life: Life) -> None:
        """Its records are those of what it was made of; none of them depends on one that it hasn't."""
        theirs = self._of(source)
        own = {each: step for each, step in self._of(fork).items() if step.step_id in self._loaded(life)}
        for step_id, step in own.items():
            other = theirs.get(step_id)
            if other is not None and step.completion_order is None:
                other = other._replace(completion_order=None, at_s=None, ended=step.ended, output=step.output)
            if step != other:
                self.violation(f"{fork} has {step}, and {source} {other}")
            for each in theirs.values():
                place = each.completion_order
                came_first = place is not None and place <= (step.called_after or 0)
                if came_first and each.step_id not in own:
                    self.violation(f"{fork} kept {step}, which may depend on {each}")

    def _loaded(self, life: Life) -> set[str]:
        records = life.execution._history.records.values()
        return {each.step_id for each in records if each.kind != PATCH and not each.step_id.startswith(MAP)}

    def _of(self, workflow_id: str) -> dict[str, StepRecord]:
        records = self._database.records.items()
        return {key[1]: each.step for key, each in records if key[0] == workflow_id}


class OperatedScenario(Keeping):
    """A running schedule with operators."""

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        super().__init__(plan, trace)
        # A pause raises the epoch of what runs, and who runs it learns of that later.
        self.traces = OperatedTraces(self.world, self.database, leases_only=False)
        self.network.when_executed = self.check_kept
        self.acting = 0
        """What operators have begun and not finished."""

    def over(self) -> bool:
        """See Scenario."""
        return not self.acting and super().over()

    def fault(self, kind: str, at: Instance | None = None) -> None:
        """See Scenario."""
        if kind not in OPERATED:
            super().fault(kind, at)
            return
        rows = self.database.workflows
        targets = sorted(each for each, row in rows.items() if self._may(kind, row))
        if not targets:
            return
        self.faults[kind] = self.faults.get(kind, 0) + 1
        target = self.world.chance.choice(targets)
        self.world.note(f"OPERATE {kind} {target}")
        if kind == "kill":
            self.cancelled.add(target)
            self._do(lambda engine: engine.cancel(target, "ann", None, KILL))
        elif kind == "fork":
            self._fork(target)
        elif kind == "delete":
            if not self._has_paid(target):  # an effect stays, and its record would be gone
                self._act(DELETE, target, {})
        else:
            self._pause(target, settles=kind == "settle")

    def _may(self, kind: str, row: Workflow) -> bool:
        """Whose parent would fail of it is not killed; clients ask for what is no fork until it is there."""
        if kind == "kill":
            return row.new.parent is None
        return kind != "delete" or (row.forked_from is not None and row.status not in LIVE)

    def _has_paid(self, target: str) -> bool:
        return any(
            each.step.name == "pay" and target in self._line(key[0])
            for key, each in self.database.records.items()
        )

    # --- what they do -------------------------------------------------------------------------------------

    def _fork(self, target: str) -> None:
        chance = self.world.chance
        steps = sorted(key[1] for key in self.database.records if key[0] == target)
        place = chance.choice(["start", "failed", *steps])
        arguments = {"from": place, "children": chance.choice(["reuse", "reuse", "new"])}
        key = f"fork {self.world.cycles}"  # asked for again it is made once
        self._act(FORK, target, {**arguments, "idempotency_key": key})

    def _pause(self, target: str, *, settles: bool) -> None:
        running = self._running(target) if settles else {}
        self._act(PAUSE, target, {"why": "a look"})
        self.acting += 1
        pause_s = self.world.chance.choice([0.001, 0.05, 0.5, 4.0])
        if running:
            self.world.at(pause_s / 2, lambda: self._settle(target, running))
        self.world.at(pause_s, lambda: self._resume(target))

    def _running(self, target: str) -> dict[str, str]:
        """The steps that run, with their labels: what their bodies were handed before is durable."""
        for instance in self.living():
            execution = instance.engine._executor.live.get(target)
            if execution is not None and execution.epoch == self.database.workflows[target].epoch:
                return {
                    call.step_id: call.operation.args[1]
                    for call in execution.calls.values()
                    if call.running and isinstance(call.operation, Step) and call.operation.name == "work"
                }
        return {}

    def _settle(self, target: str, running: dict[str, str]) -> None:
        row = self.database.workflows.get(target)
        if row is None or row.held is None:
            return
        for step_id, label in sorted(running.items())[:1]:
            if (target, step_id) not in self.database.records:
                output = f"{label}#{next(self.traces._numbers)}"
                self._act(SETTLE, target, {"step": step_id, "output": output, "name": "work"})

    def _resume(self, target: str) -> None:
        """Again and again, while it lives: a pause may come late."""
        row = self.database.workflows.get(target)
        if row is None or row.status not in LIVE:
            self.acting -= 1
            return
        if row.held is not None:
            self._act(RESUME, target, {})
        self.world.at(0.5, lambda: self._resume(target))

    def _act(self, verb: Verb, target: str, arguments: dict[str, Any]) -> None:
        self._do(lambda engine: engine.act(verb, target, arguments, "ann"))

    def _do(self, call: Callable[[Any], Any]) -> None:
        """By some instance. What fails is not tried again: it may have been done."""
        living = self.living()
        if not living:
            return
        instance = self.world.chance.choice(living)

        async def done() -> None:
            try:
                await call(instance.engine)
            except _REFUSED as error:
                self.world.note(f"operator: {error!r}")

        instance.spawn(done(), instance.calls)

    # --- what must hold -----------------------------------------------------------------------------------

    def _excused(self, workflow_id: str) -> bool:
        """A fork may have been handed the end of a child that was cancelled with what it was made of."""
        lines, at = set(self._line(workflow_id)), workflow_id
        while (source := self._source(at)) is not None:
            at = source
            lines |= set(self._line(at)) if at in self.database.workflows else {at}
        return bool(self.cancelled & lines)

    def _source(self, workflow_id: str) -> str | None:
        for each in self._line(workflow_id) if workflow_id in self.database.workflows else []:
            if self.database.workflows[each].forked_from is not None:
                return self.database.workflows[each].forked_from
        return None


def simulate_operated(plan: Plan, trace: Callable[[str], None] | None = None) -> Outcome:
    """Run one schedule."""
    return quietly(lambda: OperatedScenario(plan, trace).run())


RUNS = SimpleNamespace(draw=operated_plan, run=simulate_operated)
"""As runs.Runs, for campaigns."""
