"""Schedules in simulated time: instances are killed, frozen and cut off, and the database's clock jumps.

At the end each time of each schedule must be accounted for once: run, skipped, missed or waiting.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from outlast import sleep, workflow
from outlast.core.records import DeclaredQueue
from outlast.core.schedules import LATE_S, Catchup, Declared, Overlap, Policies, Schedule
from outlast.core.status import LIVE
from outlast.core.timetables import Every, times_within
from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.rows import ScheduleRow
from outlast.testing.silence import quietly
from outlast.testing.statements.schedules import ScheduleStatements
from tests.simulation.network import Weather
from tests.simulation.plans import Plan
from tests.simulation.scenario import UNIX_S, Scenario
from tests.simulation.world import Stuck, simulated_time

FAULTS = ("kill", "kill", "freeze", "freeze", "cut", "partition", "restart", "stop", "jump", "jump")
JUMPS_S = (-30.0, -1.5, 1.5, 4.0, 25.0, 90.0)
LASTS_S = 30.0
CYCLES_MAX = 400_000


@workflow
async def job(length_s: float) -> None:
    """What schedules start."""
    await sleep(length_s)


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed."""

    plan: Plan
    declared: tuple[Declared, ...]


def draw(seed: int) -> Drawn:
    """A schedule of everything at once."""
    chance = random.Random(seed)
    weather = Weather(
        mishap=chance.choice([0.0, 0.02, 0.1]),
        conflict=chance.choice([0.0, 0.05]),
        latency_s=chance.choice([0.0002, 0.002]),
        slow=chance.choice([0.0, 0.05]),
        sessions=chance.random() < 0.5,
        ties=chance.choice([0.0, 0.3]),
    )
    count = chance.randint(0, 6)
    faults = sorted((chance.uniform(0, LASTS_S), chance.choice(FAULTS)) for _ in range(count))
    plan = Plan(f"{seed}:schedules", seed, chance.choice([1, 2, 3, 4]), [], weather, faults)
    return Drawn(plan, tuple(_schedule(chance, f"s{n}") for n in range(chance.choice([1, 2, 3]))))


def _schedule(chance: random.Random, name: str) -> Declared:
    catchup = chance.choice([*Catchup])
    overlap = Overlap.ALLOW if catchup is Catchup.ALL else chance.choice([*Overlap])
    times = chance.choice([None, None, 5])
    policies = Policies(catchup, overlap, None, times, chance.choice([0.0, 0.0, 2.0]))
    length_s = chance.choice([0.0, 0.1, 0.5, 2.5, 7.0])
    timetable = Every(chance.choice([1, 2, 3, 7]))
    return Declared(
        name, "job", "v1", Schedule(timetable, policies, name, json.dumps({"length_s": length_s}))
    )


class Catalog:
    """See core.ports.Catalog."""

    def __init__(self, declared: tuple[Declared, ...]) -> None:
        self._declared = declared

    def workflow(self, function: str) -> WorkflowDefinition | None:
        return job.definition if function == "job" else None

    def version(self, function: str) -> str:
        return "v1"

    def name_of(self, definition: WorkflowDefinition) -> str:
        return "job"

    def of_version(self, function: str, version: str | None) -> WorkflowDefinition | None:
        return self.workflow(function)

    def workflow_names(self) -> list[str]:
        return ["job"]

    def versions(self) -> dict[str, str]:
        return {name: str(self.version(name)) for name in self.workflow_names()}

    def message_queues(self) -> dict[str, list[str]]:
        return {}

    def queues(self) -> list[DeclaredQueue]:
        return []

    def schedules(self) -> tuple[Declared, ...]:
        return self._declared

    def retentions(self) -> dict[str, float | None]:
        return {}

    def broken_files(self) -> list[str]:
        return []


class Scheduling(Scenario):
    """A run with schedules and no clients."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None = None) -> None:
        super().__init__(drawn.plan, trace)
        self.catalog = Catalog(drawn.declared)
        self._declared = drawn.declared
        self._jumped_s = 0.0
        self._lasts = True
        self.database.now = lambda: UNIX_S + self.world.now + self._jumped_s
        self.started: Counter[tuple[str, datetime]] = Counter()
        self.most: Counter[str] = Counter()

    def fault(self, kind: str, at: Any = None) -> None:
        """As before, and jumps of the database's clock."""
        if kind != "jump":
            super().fault(kind, at)
            return
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self._jumped_s += self.world.chance.choice(JUMPS_S)
        self.world.note(f"JUMP to {self._jumped_s}")

    def over(self) -> bool:
        """Whether its time is over, and all that was started has ended."""
        live = any(row.status in LIVE for row in self.database.workflows.values())
        return not self._lasts and not self.left and not live

    def end_of_time(self) -> None:
        """Schedules start nothing more; a clock that jumped stays where it is."""
        self._lasts = False
        for row in self.database.schedules.values():
            row.paused = "over"
            row.revision += 1

    def play(self) -> None:
        """Let it happen, and look at what came out."""
        world, start = self.world, ScheduleStatements._start
        scenario = self

        def counted(
            statements: ScheduleStatements, name: str, row: ScheduleRow, nominal: datetime, *others: Any
        ) -> Any:
            scenario.started[name, nominal] += 1
            result = start(statements, name, row, nominal, *others)
            live = len(statements._live(name))
            scenario.most[name] = max(scenario.most[name], live)
            return result

        ScheduleStatements._start = counted  # type: ignore[method-assign,assignment]
        try:
            with simulated_time(world):
                for _ in range(self.plan.instances):
                    self.begin_instance()
                for after_s, kind in self.plan.faults:
                    world.at(after_s, lambda kind=kind: self._planned(kind))  # type: ignore[misc]
                world.at(LASTS_S, self.end_of_time)
                try:
                    world.run(self.over, CYCLES_MAX)
                    self.network.calm()
                    self._check_rest()
                except Stuck as error:
                    world.violation(f"{error}: {self._state()}")
        finally:
            ScheduleStatements._start = start  # type: ignore[method-assign]
        for declared in self._declared:
            self._check_ticks(declared)

    def _check_ticks(self, declared: Declared) -> None:
        """Each time is accounted for once, and nothing is lost beyond the policy."""
        name, policies = declared.name, declared.schedule.policies
        row = self.database.schedules.get(name)
        if row is None:
            return
        doubled = [at for (of, at), count in self.started.items() if of == name and count > 1]
        if doubled:
            self.world.violation(f"{name}: {doubled} were started twice")
        if policies.overlap in (Overlap.SKIP, Overlap.WAIT, Overlap.CANCEL) and self.most[name] > 1:
            self.world.violation(f"{name}: {self.most[name]} lived at once under {policies.overlap}")
        ran = {at for of, at in self.started if of == name}
        noted = [each for each in self.database.ticks if each.schedule == name and each.outcome != "late"]
        skipped = [each.nominal_at for each in noted if each.outcome == "skipped"]
        missed = sum(each.ticks for each in noted if each.outcome == "missed")
        waits = [] if row.waiting_at is None else [row.waiting_at]
        until = (row.nominal_at or self._last(name)) - timedelta(microseconds=1)
        if row.ended and row.nominal_at is None:
            until = self._last(name)
        due = times_within(declared.schedule.timetable, row.since, until, 0).count
        found = len(ran) + len(skipped) + missed + len(waits)
        if found != due:
            self.world.violation(
                f"{name}: of {due} times {len(ran)} were run, {len(skipped)} skipped, {missed} missed"
            )
        if len({*ran, *skipped, *waits}) != len(ran) + len(skipped) + len(waits):
            self.world.violation(f"{name}: a time was both run and skipped")
        if policies.overlap is Overlap.ALLOW and skipped:
            self.world.violation(f"{name}: {skipped} were skipped")
        if policies.catchup is Catchup.ALL and missed:
            self.world.violation(f"{name}: {missed} were missed")
        if policies.times is not None and len(ran) + len(skipped) + len(waits) > policies.times:
            self.world.violation(f"{name}: ticked more than {policies.times} times")
        if missed and not self._was_away():
            self.world.violation(f"{name}: {missed} were missed, and somebody was always there")

    def _last(self, name: str) -> datetime:
        """The last time that was decided about."""
        times = [at for of, at in self.started if of == name]
        times += [each.nominal_at for each in self.database.ticks if each.schedule == name]
        return max(times, default=datetime.fromtimestamp(UNIX_S, UTC))

    def _was_away(self) -> bool:
        """Whether there was a time, longer than a tick may be late, in which perhaps nobody ticked."""
        return bool(self.faults) or bool(self.network.mishaps) or LASTS_S < LATE_S


@dataclass(frozen=True)
class Played:
    """What came out of a run."""

    violations: list[str]
    outcomes: set[str]
    """Of ticks that did not go as planned."""
    faults: dict[str, int]
    started: int


def run(drawn: Drawn, trace: Callable[[str], None] | None = None) -> Played:
    """Let a run happen."""

    def played() -> Played:
        scenario = Scheduling(drawn, trace)
        scenario.play()
        outcomes = {each.outcome for each in scenario.database.ticks}
        violations = list(scenario.world.violations)
        return Played(violations, outcomes, scenario.faults, len(scenario.started))

    return quietly(played)


def play(seed: int, trace: Callable[[str], None] | None = None) -> list[str]:
    """What was wrong in the run of a seed."""
    return run(draw(seed), trace).violations


def calm(seed: int) -> list[str]:
    """The same without any fault: nothing is missed."""
    drawn = draw(seed)
    return run(replace(drawn, plan=replace(drawn.plan, faults=[], weather=Weather()))).violations
