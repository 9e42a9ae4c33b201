"""Queues in simulated time: at every moment no limit is passed, and nothing waits in vain.

Instances are killed, frozen and cut off, and the database's clock jumps.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from outlast import sleep, step, workflow
from outlast.core.queues import has_door, key_at
from outlast.core.records import DeclaredQueue, NewWorkflow
from outlast.core.status import Status
from outlast.engine.options import EngineOptions
from outlast.testing.rows import Workflow
from outlast.testing.statements.queues import QueueStatements
from tests.simulation.keeping import WAYS, Keeping, some_refusals
from tests.simulation.network import PATIENCE_S
from tests.simulation.plans import LEASE_S, Plan
from tests.simulation.runs import Offered, Run, Runs, a_plan

FAULTS = ("kill", "kill", "freeze", "freeze", "cut", "partition", "restart", "stop", "jump", "jump")
LASTS_S = 10.0
LOOK_EVERY_S = 0.1
ROOM_UNUSED_S = 2 * EngineOptions().tick_s * 1.1 + 1.0
"""Two ticks, by clocks that differ, and the slowest ways to the database."""

SETTLED_S = 3 * LEASE_S
"""After a fault instances come back, find what was lost and make it claimable."""


@step
async def work(length_s: float) -> None:
    """What takes a place."""
    await asyncio.sleep(length_s)


@workflow
async def job(key: str, naps_s: list[float]) -> None:
    """Works, and gives its place back while it sleeps."""
    for nap_s in naps_s:
        await work(nap_s / 4)
        await sleep(nap_s)
    await work(0.01)


@dataclass(frozen=True)
class Call:
    """What somebody starts, when, and whether by SQL."""

    after_s: float
    new: NewWorkflow
    by_sql: bool


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed."""

    plan: Plan
    queues: tuple[DeclaredQueue, ...]
    calls: tuple[Call, ...]


def queues_plan(chance: random.Random, name: str) -> Plan:
    """Weather and faults."""
    return a_plan(chance, name, FAULTS, LASTS_S, counts=(0, 0, 1, 3, 6), instances=(1, 2, 3, 4))


def draw(seed: int) -> Drawn:
    """Queues of all kinds, and everything at once."""
    chance = random.Random(seed)
    plan = replace(queues_plan(chance, f"{seed}:queues"), refusals=some_refusals(seed, LASTS_S))
    queues = tuple(
        DeclaredQueue(f"q{number}", draw_options(chance), ()) for number in range(chance.choice([1, 1, 2, 3]))
    )
    queues = tuple(_debounced(seed, each) for each in queues)
    calls = tuple(
        _call(chance, f"w{number}", chance.choice(queues)) for number in range(chance.randint(5, 40))
    )
    return Drawn(plan, queues, calls)


def _debounced(seed: int, queue: DeclaredQueue) -> DeclaredQueue:
    """Some of them, drawn apart: later calls of a key change the input of the one that waits."""
    chance = random.Random(f"debounce of {queue.name} in {seed}")
    if "exclusive" in queue.options or chance.random() < 0.8:
        return queue
    quiet_s = chance.choice([0.05, 0.5, 2.0])
    return queue._replace(options={**queue.options, "debounce": {"quiet": quiet_s, "at_most": 3 * quiet_s}})


def draw_options(chance: random.Random) -> dict[str, Any]:
    """What a queue is declared with."""
    rate = {"n": chance.randint(1, 4), "per": chance.choice([0.2, 1.0]), "smooth": chance.random() < 0.3}
    drawn: dict[str, Any] = {
        "concurrency": chance.randint(1, 5),
        "per_instance": chance.randint(1, 3),
        "rate": rate,
        "per_key": chance.randint(1, 2),
        "exclusive": True,
        "rate_per_key": {"n": chance.randint(1, 2), "per": 0.5},
        "max_backlog": chance.randint(3, 20),
    }
    return {"key": "key"} | {name: value for name, value in drawn.items() if chance.random() < 0.4}


def _call(chance: random.Random, workflow_id: str, queue: DeclaredQueue) -> Call:
    naps_s = [chance.choice([0.0, 0.05, 0.3, 1.0]) for _ in range(chance.randint(0, 3))]
    text = json.dumps({"key": chance.choice("abc"), "naps_s": naps_s})
    new = NewWorkflow(
        workflow_id, "job", text, queue=queue.name,
        priority=chance.choice([0, 0, 0, 1, -1]), delay_s=chance.choice([0.0, 0.0, 0.0, 0.7]),
        queue_key=key_at("key", text), door=has_door(queue.options),
    )  # fmt: skip
    return Call(chance.choice([0.0, chance.uniform(0, LASTS_S / 2)]), new, chance.random() < 0.5)


class Queueing(Keeping, Run):
    """A run with queues."""

    jumps_s = (-5.0, -0.5, 0.5, 4.0, 25.0)
    called: ClassVar[Any] = job

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn.plan, Offered(self.called, queues=drawn.queues), trace)
        self._drawn = drawn
        self._options = {each.name: each.options for each in drawn.queues}
        self.asked = len(drawn.calls)
        self._statuses: dict[str, Status] = {}
        self._ready: dict[str, tuple[float, float]] = {}
        """Of each workflow that waits and is due, its rank; as the last look saw it."""
        self._starts: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._unused_since: dict[str, float] = {}
        self._settled_at = 0.0
        self.network.when_executed = self._look
        # Code has declared them before anybody calls.
        QueueStatements(self.database, "code").declare(drawn.queues)

    def fault(self, kind: str, at: Any = None) -> None:
        """As before: instances need a while to settle."""
        self._settled_at = self.world.now + SETTLED_S
        super().fault(kind, at)

    def begin_instance(self) -> None:
        """As before."""
        self._settled_at = self.world.now + SETTLED_S
        super().begin_instance()

    # --- calls --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Calls, and a look for room now and then."""
        for call in self._drawn.calls:
            self.world.at(call.after_s, partial(self._enter_by_sql if call.by_sql else self.enter, call.new))
        self.world.at(0.0, self._look_for_room)

    def _enter_by_sql(self, new: NewWorkflow) -> None:
        nonce = self.world.chance.getrandbits(60)
        try:
            outcome = QueueStatements(self.database, "sql").enter(new, nonce).outcome
        except WAYS:  # the row that it was to change refuses that
            outcome = "refused"
        self._look()
        if outcome in ("queue_full", "refused"):
            self.world.at(0.2, partial(self._enter_by_sql, new))
        else:
            self.asked -= 1

    # --- what must hold -----------------------------------------------------------------------------------

    def _of(self, queue: str) -> list[tuple[str, Workflow]]:
        return [each for each in self.database.workflows.items() if each[1].new.queue == queue]

    def _look(self) -> None:
        """At every moment."""
        self.check_kept()
        for name, options in self._options.items():
            rows = self._of(name)
            self._check_places(name, options, [row for _, row in rows])
            for workflow_id, row in rows:
                before = self._statuses.get(workflow_id, Status.ENQUEUED)
                self._statuses[workflow_id] = row.status
                if (before, row.status) == (Status.ENQUEUED, Status.PENDING):
                    self._check_start(name, options, workflow_id, row)
        self._ready = {
            workflow_id: _rank(row)
            for workflow_id, row in self.database.workflows.items()
            if self._waits(row) and row.status == Status.ENQUEUED
        }

    def _now(self, queue: str) -> float:
        """By the database's clock, and never before the last decision: the clock may jump back."""
        return max(self.database.now(), self.database.queue(queue).decided_at)

    def _waits(self, row: Workflow) -> bool:
        return row.owner is None and row.claimable_at is not None and row.claimable_at <= self.database.now()

    def _check_places(self, name: str, options: Any, rows: list[Workflow]) -> None:
        owned = [row for row in rows if row.owner is not None]
        begun = Counter(row.new.queue_key for row in rows if row.status == Status.PENDING)
        found = {
            "concurrency": len(owned),
            "per_key": _most(row.new.queue_key for row in owned),
            "per_instance": _most(row.owner for row in owned),
            "max_backlog": sum(row.status == Status.ENQUEUED for row in rows),
        }
        for limit, most in found.items():
            if most > options.get(limit, math.inf):
                self.world.violation(f"{limit} of {name} is {options[limit]}, and there are {most}")
        if "exclusive" in options and max(begun.values(), default=0) > 1:
            self.world.violation(f"{name} is exclusive: {begun}")

    def _check_start(self, name: str, options: Any, workflow_id: str, row: Workflow) -> None:
        key, now = row.new.queue_key or "", self._now(name)
        for limit, of in (("rate", (name,)), ("rate_per_key", (name, key))):
            starts = self._starts[of]
            if (held := _held_until(options.get(limit), starts)) > now:
                self.world.violation(f"{limit} of {of}: {workflow_id} began at {now}, not at {held}")
            starts.append(now)
        mine = self._ready.get(workflow_id)
        if "exclusive" in options and mine is not None:
            rows = self.database.workflows
            earlier = [
                each
                for each, rank in self._ready.items()
                if (rows[each].new.queue, rows[each].new.queue_key) == (name, key)
                and rank < mine
                and rows[each].status == Status.ENQUEUED
            ]
            if earlier:
                self.world.violation(f"{name} is exclusive: {workflow_id} began before {earlier}")

    def _look_for_room(self) -> None:
        """Whether something waits though it might begin, and that for too long."""
        for name, options in self._options.items():
            if self.helpers() and (waits := next(self._might_begin(name, options), None)):
                since = self._unused_since.setdefault(name, self.world.now)
                patience_s = ROOM_UNUSED_S + (PATIENCE_S if self.plan.weather.mishap else 0.0)
                if self.world.now - max(since, self._settled_at) > patience_s:
                    self.world.violation(f"{name} {options}: {waits} waits since {since}, and there is room")
                    self._unused_since.pop(name)
            else:
                self._unused_since.pop(name, None)
        if not self.over():
            self.world.at(LOOK_EVERY_S, self._look_for_room)

    def _might_begin(self, name: str, options: Any) -> Iterator[str]:
        rows = self._of(name)
        owned = [row for _, row in rows if row.owner is not None]
        now = self._now(name)
        if len(owned) >= options.get("concurrency", math.inf):
            return
        places = Counter(row.owner for row in owned)
        share = options.get("per_instance", math.inf)
        if all(places[each.name] >= min(share, 15) for each in self.helpers()):
            return
        for workflow_id, row in rows:
            key = row.new.queue_key or ""
            if not self._waits(row) or self.database.is_locked(workflow_id):
                continue
            if self.is_passed_by(workflow_id):
                continue
            if sum(each.new.queue_key == key for each in owned) >= options.get("per_key", math.inf):
                continue
            if row.status == Status.ENQUEUED:
                if _held_until(options.get("rate"), self._starts[name,]) >= now:
                    continue
                if _held_until(options.get("rate_per_key"), self._starts[name, key]) >= now:
                    continue
                if "exclusive" in options and self._is_taken(key, rows):
                    continue
            yield workflow_id

    def _is_taken(self, key: str, rows: list[tuple[str, Workflow]]) -> bool:
        """Whether one of this key has begun, or the first of those that wait is passed by."""
        of_key = [(each, row) for each, row in rows if row.new.queue_key == key]
        waiting = [
            (*_rank(row), each) for each, row in of_key if row.status is Status.ENQUEUED and self._waits(row)
        ]
        begun = any(row.status is Status.PENDING for _, row in of_key)
        return begun or self.is_passed_by(min(waiting)[-1])

    # --- the whole ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """All have succeeded, or what stands for them has, with the input of the last of them."""
        attached = self.database.attached
        last = {target: new.input for target, new in attached.values()}
        for call in self._drawn.calls:
            workflow_id, _ = attached.get(call.new.workflow_id, (call.new.workflow_id, None))
            row = self.database.workflows.get(workflow_id)
            if row is None or not (row.status is Status.SUCCESS or self.could_not_be_recorded(workflow_id)):
                self.world.violation(f"{workflow_id} ended as {row}")
            elif row.new.input != last.get(workflow_id, row.new.input):
                self.world.violation(f"{workflow_id} ran with {row.new.input}, not with {last[workflow_id]}")


def _rank(row: Workflow) -> tuple[float, float]:
    return (row.claimable_at or 0.0) - row.new.priority, row.created_at


def _most(names: Iterator[str | None]) -> int:
    return max(Counter(names).values(), default=0)


def _held_until(rate: Any, starts: list[float]) -> float:
    """When the next one may begin."""
    if rate is None:
        return -math.inf
    n, per = (1, rate["per"] / rate["n"]) if rate.get("smooth") else (rate["n"], rate["per"])
    return starts[-n] + per if len(starts) >= n else -math.inf


RUNS = Runs(draw, Queueing)
