"""Ticks that their queue or a row refuses, in simulated time: none is doubled, each refusal is told.

As scheduling.py, of whose rules all hold here too: later ticks come. What schedules start enters queues that
are full, busy, take no more now, find no key in the input, or make one of many. Rows refuse to be written, so
that a tick can't replace what runs: other schedules go on as if nothing were. Some are backfilled meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from outlast import sleep, step, workflow
from outlast.core.queues import key_at
from outlast.core.records import DeclaredQueue
from outlast.core.schedules import Catchup, Declared, Order, Overlap, Policies, Schedule, Ticked, tick_id
from outlast.core.status import LIVE, Status
from outlast.core.timetables import Every, times_within
from outlast.core.verbs import BACKFILL_SCHEDULE
from outlast.testing.rows import RowRefused, ScheduleRow, TickRow
from outlast.testing.statements.schedules import ScheduleStatements
from tests.simulation import scheduling
from tests.simulation.keeping import Keeping, some_refusals
from tests.simulation.runs import Offered, Runs, a_plan
from tests.simulation.scheduling import FAULTS, LASTS_S, Scheduling

LATE_MAX_S = 1.5
"""So late a tick may be where nothing goes wrong but with other schedules."""

KEYS = ("a", "b", "")
"""Keys of inputs; without one there is none to be found."""


@step
async def work(length_s: float) -> None:
    """What takes a place."""
    await asyncio.sleep(length_s)


@workflow
async def job(length_s: float, key: str = "") -> None:
    """What schedules start: it works, and sleeps beside its place."""
    await work(length_s / 2)
    await sleep(length_s / 2)


@dataclass(frozen=True)
class Drawn(scheduling.Drawn):
    """What is drawn of a seed."""

    queue: DeclaredQueue
    backfills: tuple[tuple[float, str], ...]
    """When, and of which schedule."""


def draw(seed: int) -> Drawn:
    """A queue, schedules that start workflows in it, and everything at once."""
    chance = random.Random(f"ticks of {seed}")
    plan = a_plan(
        chance, f"{seed}:ticks", chance.choice([FAULTS, ("kill", "restart", "cut")]), LASTS_S,
        counts=(0, 0, 1, 4), mishap=[0.0, 0.0, 0.05],
    )  # fmt: skip
    # Without a right all fails, and no schedule is told from another.
    refusals = [each._replace(way=RowRefused) for each in some_refusals(seed, LASTS_S)]
    declared = tuple(_schedule(chance, f"s{number}") for number in range(chance.choice([1, 2, 3])))
    queue = DeclaredQueue("q", _options(chance), ("job",))
    backfills = tuple(
        (chance.uniform(0, LASTS_S / 2), each.name) for each in declared if chance.random() < 0.3
    )
    return Drawn(replace(plan, refusals=refusals), declared, queue, backfills)


def _schedule(chance: random.Random, name: str) -> Declared:
    catchup = chance.choice([*Catchup])
    overlap = Overlap.ALLOW if catchup is Catchup.ALL else chance.choice([*Overlap, Overlap.CANCEL])
    policies = Policies(
        catchup, overlap, None, chance.choice([None, None, 5]), chance.choice([0.0, 0.0, 2.0])
    )
    given: dict[str, Any] = {"length_s": chance.choice([0.0, 0.5, 2.5, 7.0])}
    if key := chance.choice(KEYS):
        given["key"] = key
    timetable = Every(chance.choice([1, 1, 2, 3, 7]))
    return Declared(name, "job", "v1", Schedule(timetable, policies, name, json.dumps(given)))


def _options(chance: random.Random) -> dict[str, Any]:
    of_keys = {"key": "key", "exclusive": True}
    return chance.choice(
        [
            {"concurrency": 1, "max_backlog": chance.randint(1, 3)},
            {"drop": {"n": chance.randint(1, 2), "per": chance.choice([1.5, 5.0])}},
            {"key": "key", "concurrency": 2, "max_backlog": 2},
            {**of_keys, "on_busy": chance.choice(["skip", "attach", "replace"])},
            {"key": "key", "debounce": {"quiet": chance.choice([0.5, 2.0]), "at_most": 5.0}},
        ]
    )


class Ticking(Keeping, Scheduling):
    """A run with schedules whose ticks are refused."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn, trace)
        self.catalog = Offered(job, queues=[drawn.queue], schedules=drawn.declared)
        self._backfills = drawn.backfills
        self.asked += len(drawn.backfills)
        self._options = drawn.queue.options
        self._refused: dict[str, dict[datetime, str]] = defaultdict(dict)
        self._entered: list[float] = []
        """When calls came that were not refused for their rate."""
        self._spans: dict[str, tuple[datetime, datetime]] = {}
        self._held: set[str] = set()
        """Schedules of which a row has refused, or one that their ticks replace, or are absorbed by."""
        self.network.when_executed = self.check_kept

    # --- what happens -------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Some schedules are backfilled."""
        super().begin()
        for after_s, name in self._backfills:
            self.world.at(after_s, partial(self._backfill, name))

    def _backfill(self, name: str) -> None:
        """Times before it was made: those are nobody else's."""
        row = self.database.schedules.get(name)
        # It was declared by an instance, before the clock jumped back perhaps.
        if row is None or row.since > self.database.date():
            self.world.at(0.5, partial(self._backfill, name))
            return
        before = row.since - timedelta(seconds=1)
        span = self._spans[name] = before - timedelta(seconds=20), before
        given = {"after": span[0], "until": span[1]}
        ScheduleStatements(self.database, "sql").act(BACKFILL_SCHEDULE, name, given, "ann")
        self.asked -= 1

    def play(self) -> None:
        """What is not committed is not counted."""
        scenario, tick = self, ScheduleStatements.tick

        def counted(statements: ScheduleStatements, orders: Sequence[Order], *_: float) -> list[Ticked]:
            before = deepcopy((scenario.started, scenario._refused, scenario._entered))
            live = {each.name: statements._live(each.name) for each in orders}
            try:
                ticked = tick(statements, orders)
            except RowRefused:
                scenario.started, scenario._refused, scenario._entered = before
                raise
            scenario._check_those_that_run(ticked, live)
            return ticked

        with patch.object(ScheduleStatements, "tick", counted):
            super().play()

    def over(self) -> bool:
        """See Run. All is backfilled."""
        return super().over() and not any(row.backfill for row in self.database.schedules.values())

    def _refuse(self, refusal: Any) -> None:
        super()._refuse(refusal)
        changes_others = "debounce" in self._options or self._options.get("on_busy") == "replace"
        for new in (self.database.workflows[each].new for each in self.kept):
            for name, row in self.database.schedules.items():
                same_key = changes_others and key_at("key", row.schedule.input) == new.queue_key
                if same_key or json.loads(new.tick or "{}").get("schedule") == name:
                    self._held.add(name)

    # --- what must hold -----------------------------------------------------------------------------------

    def ticked(
        self, name: str, row: ScheduleRow, nominal: datetime, result: tuple[str | None, str | None]
    ) -> None:
        """See Scheduling. The rules of the door are looked at as they stood before."""
        super().ticked(name, row, nominal, result)
        workflow_id, refusal = tick_id(name, nominal), result[1]
        own = self.database.workflows.get(workflow_id)
        if refusal is not None:
            self._refused[name][nominal] = refusal
            if own is not None:
                self.world.violation(f"{workflow_id} was refused ({refusal}), and is there")
        reasons = set(self._reasons(row, own))
        if refusal is None and own is not None and reasons:
            self.world.violation(f"{workflow_id} began, and is to be refused: {reasons}")
        if refusal is not None and refusal not in {*reasons, "attached"}:
            self.world.violation(f"{workflow_id} was refused ({refusal}), and only {reasons} are reasons")
        if refusal in (None, "attached"):
            self._entered.append(self.database.now())
        self._check_lateness(name, row, nominal)

    def _check_lateness(self, name: str, row: ScheduleRow, nominal: datetime) -> None:
        """Whether others held it up. Ticks of the past come when they may, and those that wait later."""
        policies = row.schedule.policies
        late_s = (self.database.date() - nominal).total_seconds() - policies.jitter_s
        own = nominal >= row.since and policies.overlap is not Overlap.WAIT
        if own and late_s > LATE_MAX_S and not self.was_away(name):
            self.world.violation(f"{name}: {nominal} came {late_s:.1f} s late, beside {sorted(self.kept)}")

    def _check_those_that_run(self, ticked: list[Ticked], live: Mapping[str, list[str]]) -> None:
        """A tick that is refused takes nobody's place."""
        for each in ticked:
            rows = {name: self.database.workflows[name] for name in live[each.schedule]}
            over = [name for name, row in rows.items() if row.status not in LIVE]
            if over and each.outcome == "skipped":
                self.world.violation(f"{each.schedule} was refused, and {over} were cancelled for it")

    def _reasons(self, row: ScheduleRow, own: Any) -> Iterator[str]:
        """Why the queue does not take it, whose own row is not counted."""
        options, now, key = self._options, self.database.now(), key_at("key", row.schedule.input)
        others = [each for each in self.database.workflows.values() if each is not own]
        if "key" in options and key is None:
            yield "key_missing"
        waiting = sum(each.owner is None and each.claimable_at is not None for each in others)
        if waiting >= options.get("max_backlog", waiting + 1):
            yield "queue_full"
        drop = options.get("drop", {"n": len(self._entered) + 1, "per": 0.0})
        if sum(at >= now - drop["per"] for at in self._entered) >= drop["n"]:
            yield "rate_limited"
        of_key = [each for each in others if each.status in LIVE and each.new.queue_key == key]
        if options.get("on_busy") == "skip" and of_key:
            yield "queue_busy"

    def refusals_of(self, name: str) -> set[datetime]:
        """See Scheduling."""
        return set(self._refused[name])

    def was_away(self, name: str) -> bool:
        """See Scheduling. A row that refuses holds up no other schedule than its own."""
        others = self.faults.keys() - {"row refuses"}
        return bool(others) or bool(self.network.mishaps) or name in self._held

    def check(self) -> None:
        """Each refusal is told once; each tick that was run has one workflow, or is in another one's."""
        for name, refused in self._refused.items():
            told = Counter(each.nominal_at for each in self._skipped(name))
            for nominal, why in refused.items():
                if told[nominal] != 1:
                    self.world.violation(
                        f"{name}: {nominal} was refused ({why}), and told {told[nominal]} times"
                    )
        for name, nominal in self.started:
            workflow_id = tick_id(name, nominal)
            if workflow_id not in self.database.workflows and workflow_id not in self.database.attached:
                self.world.violation(f"{workflow_id} was started, and is not there")
        for workflow_id, row in self.database.workflows.items():
            ends_well = row.status is Status.SUCCESS or self.could_not_be_recorded(workflow_id)
            if not (ends_well or row.status is Status.CANCELLED):
                self.world.violation(f"{workflow_id} ended as {row.status}: {row.error}")
        for name, span in self._spans.items():
            self._check_backfill(name, *span)
        self._leave_backfills_out()
        super().check()

    def _skipped(self, name: str) -> list[TickRow]:
        return [each for each in self.database.ticks if (each.schedule, each.outcome) == (name, "skipped")]

    def _check_backfill(self, name: str, after: datetime, until: datetime) -> None:
        timetable = self.database.schedules[name].schedule.timetable
        due = times_within(timetable, after, until, 0).count
        ran = sum(of == name and after < at <= until for of, at in self.started)
        skipped = sum(after < each.nominal_at <= until for each in self._skipped(name))
        if ran + skipped != due:
            self.world.violation(f"{name}: of {due} times of the past {ran} were run, {skipped} skipped")

    def _leave_backfills_out(self) -> None:
        """They are no ticks of the schedule's own, and run beside each other."""
        for name in self._spans:
            del self.most[name]
        since = {name: row.since for name, row in self.database.schedules.items()}
        for name, at in [each for each in self.started if each[1] < since[each[0]]]:
            if self.started.pop((name, at)) > 1:
                self.world.violation(f"{name}: {at} was started twice")
        ticks = self.database.ticks
        self.database.ticks = [each for each in ticks if each.nominal_at >= since[each.schedule]]

    def seen(self) -> Counter[str]:
        """See Scheduling; and why ticks were refused."""
        return super().seen() + Counter(why for each in self._refused.values() for why in each.values())


RUNS = Runs(draw, Ticking)
