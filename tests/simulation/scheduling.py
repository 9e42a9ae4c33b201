"""Schedules in simulated time: instances are killed, frozen and cut off, and the database's clock jumps.

At the end each time of each schedule must be accounted for once: run, skipped, missed or waiting.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from outlast import sleep, workflow
from outlast.core.schedules import LATE_S, Catchup, Declared, Overlap, Policies, Schedule
from outlast.core.timetables import Every, times_within
from outlast.testing.rows import ScheduleRow
from outlast.testing.statements.schedules import ScheduleStatements
from tests.simulation.plans import Plan
from tests.simulation.runs import Offered, Run, Runs, a_plan
from tests.simulation.scenario import UNIX_S

FAULTS = ("kill", "kill", "freeze", "freeze", "cut", "partition", "restart", "stop", "jump", "jump")
LASTS_S = 30.0


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
    plan = a_plan(
        chance, f"{seed}:schedules", FAULTS, LASTS_S,
        counts=range(7), instances=[1, 2, 3, 4], mishap=[0.0, 0.02, 0.1],
    )  # fmt: skip
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


class Scheduling(Run):
    """A run with schedules and no clients."""

    jumps_s = (-30.0, -1.5, 1.5, 4.0, 25.0, 90.0)
    roomy = False

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn.plan, Offered(job, schedules=drawn.declared), trace)
        self._declared = drawn.declared
        self.asked = 1  # to start nothing more
        self.started: Counter[tuple[str, datetime]] = Counter()
        self.most: Counter[str] = Counter()

    def begin(self) -> None:
        """Its time is over after a while."""
        self.world.at(LASTS_S, self.end_of_time)

    def end_of_time(self) -> None:
        """Schedules start nothing more; a clock that jumped stays where it is."""
        self.asked -= 1
        for row in self.database.schedules.values():
            row.paused = "over"
            row.revision += 1

    def play(self) -> None:
        """Count what is started."""
        scenario, start = self, ScheduleStatements._start

        def counted(
            statements: ScheduleStatements, name: str, row: ScheduleRow, nominal: datetime, *others: Any
        ) -> Any:
            result = start(statements, name, row, nominal, *others)
            scenario.ticked(name, row, nominal, result)
            scenario.most[name] = max(scenario.most[name], len(statements._live(name)))
            return result

        with patch.object(ScheduleStatements, "_start", counted):
            super().play()

    def ticked(
        self, name: str, row: ScheduleRow, nominal: datetime, result: tuple[str | None, str | None]
    ) -> None:
        """A tick came: the workflow that it has started, or why there is none."""
        if result[1] is None:
            self.started[name, nominal] += 1

    def check(self) -> None:
        """Look at each schedule."""
        for declared in self._declared:
            self._check_ticks(declared)

    def seen(self) -> Counter[str]:
        """How many times were run, and what became of those that were not."""
        return Counter(each.outcome for each in self.database.ticks) + Counter(started=len(self.started))

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
        # Without a next time the last one was decided about, or it waits still.
        until = max([self._last(name), *waits])
        if row.nominal_at is not None:
            until = row.nominal_at - timedelta(microseconds=1)
        due = times_within(declared.schedule.timetable, row.since, until, 0).count
        found = len(ran) + len(skipped) + missed + len(waits)
        if found != due:
            self.world.violation(
                f"{name}: of {due} times {len(ran)} were run, {len(skipped)} skipped, {missed} missed"
            )
        if len({*ran, *skipped, *waits}) != len(ran) + len(skipped) + len(waits):
            self.world.violation(f"{name}: a time was both run and skipped")
        if policies.overlap is Overlap.ALLOW and set(skipped) - self.refusals_of(name):
            self.world.violation(f"{name}: {skipped} were skipped")
        if policies.catchup is Catchup.ALL and missed:
            self.world.violation(f"{name}: {missed} were missed")
        if policies.times is not None and len(ran) + len(skipped) + len(waits) > policies.times:
            self.world.violation(f"{name}: ticked more than {policies.times} times")
        if missed and not self.was_away(name):
            self.world.violation(f"{name}: {missed} were missed, and somebody was always there")

    def _last(self, name: str) -> datetime:
        """The last time that was decided about."""
        times = [at for of, at in self.started if of == name]
        times += [each.nominal_at for each in self.database.ticks if each.schedule == name]
        return max(times, default=datetime.fromtimestamp(UNIX_S, UTC))

    def refusals_of(self, name: str) -> set[datetime]:
        """Times whose ticks the queue did not take."""
        return set()

    def was_away(self, name: str) -> bool:
        """Whether there was a time, longer than a tick may be late, in which perhaps nobody ticked."""
        return bool(self.faults) or bool(self.network.mishaps) or LASTS_S < LATE_S


RUNS = Runs(draw, Scheduling)
