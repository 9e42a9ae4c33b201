"""Rows that refuse to be written, for a time or for as long as anything else goes on, beside everything else.

What a trigger or a check of the project keeps as it is stops nobody else: others are claimed, recovered, told
and woken, and get their messages, within the usual time. What refuses stays whole,
and goes on once it is let go.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from outlast import WorkflowError, context, receive, sleep, start, step, workflow
from outlast.core.observations import LoopFailed, Observation, RowsRefused
from outlast.core.status import LIVE, Status
from outlast.testing.database import Database
from outlast.testing.rows import RowRefused, is_untold
from tests.simulation.keeping import WAYS, Keeping
from tests.simulation.plans import Plan, Refusal
from tests.simulation.runs import Offered, Run, Runs, a_plan, here

FAULTS = ("kill", "kill", "kill", "freeze", "cut", "partition", "restart", "stop", "cancel")
LASTS_S = 8.0
USUAL_S = 20.0
"""After so long without a fault nobody waits for what is due: a lease is 3 s, a pause 2 s at most."""

FOR_EVER = None


@step
async def mark(place: int) -> int:
    here[0].begun(context().workflow_id, place)
    await asyncio.sleep(0.05)
    return place


@workflow
async def worker(rounds: int, pause_s: float, letters: int, children: list[dict[str, Any]]) -> list[Any]:
    """Steps, naps out of memory, messages, and children that it waits for."""
    got: list[Any] = []
    for number in range(rounds):
        got.append(await mark(number))
        await sleep(pause_s)
    got += [await receive("t", timeout=10_000) for _ in range(letters)]
    for handle in [await start(worker, **each) for each in children]:
        try:
            got.append(await handle.result())
        except WorkflowError as error:
            got.append(type(error).__name__)
    return got


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed."""

    plan: Plan
    calls: tuple[tuple[float, str, dict[str, Any]], ...]


def draw(seed: int) -> Drawn:
    """Some workers and their children, of which some refuse, and everything at once."""
    chance = random.Random(seed)
    plan = a_plan(chance, f"{seed}:refusals", FAULTS, LASTS_S, counts=(0, 1, 3, 6))
    calls = tuple(
        (chance.uniform(0, 2.0), "worker", _worker(chance, chance.choice([0, 0, 0, 1, 2])))
        for _ in range(chance.choice([2, 4, 6, 8, 12]))
    )
    refusals = [_refusal(chance) for _ in range(chance.choice([1, 3, 6, 10]))]
    if chance.random() < 0.3:  # a crowd that is due for as long as others are
        refusals += [each._replace(after_s=each.after_s / LASTS_S, lasts_s=FOR_EVER) for each in refusals[:5]]
    return Drawn(replace(plan, refusals=refusals), calls)


def _worker(chance: random.Random, children: int) -> dict[str, Any]:
    return {
        "rounds": chance.choice([1, 2, 4]),
        "pause_s": chance.choice([0.01, 0.5, 2.0]),
        "letters": chance.choice([0, 1, 4]),
        "children": [_worker(chance, 0) for _ in range(children)],
    }


def _refusal(chance: random.Random) -> Refusal:
    lasts_s: float | None = chance.choice([0.05, 1.0, 4.0, 15.0, FOR_EVER, FOR_EVER])
    after_s, place, way = chance.uniform(0, LASTS_S), chance.random(), chance.choice(WAYS)
    return Refusal(after_s, lasts_s, place, running=chance.random() < 0.5, way=way)


class Refusing(Keeping, Run):
    """A run in which rows refuse."""

    cycles_max = 60_000

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn.plan, Offered(worker), trace, drawn.calls)
        self._written_to: set[str] = set()
        """Whom messages have been sent to."""
        self._waits: dict[tuple[str, str], float] = {}
        """What is to be done, and since when."""
        self._usual_from = 0.0
        """Since when all has been usual."""
        self._mishaps = 0
        self._seen: Counter[str] = Counter()
        self.network.when_executed = self._look

    def _make_database(self) -> Database:
        # As few as possible at a time, so that those that refuse might keep others out.
        self.limits = replace(self.limits, batch=2, letters=2)
        return super()._make_database()

    # --- what happens -------------------------------------------------------------------------------------

    def fault(self, kind: str, at: Any = None) -> None:
        """As before. For a while nothing is usual then."""
        self._usual_from = self.world.now
        super().fault(kind, at)

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, RowsRefused):
            self._seen["told"] += 1
        elif isinstance(observation, LoopFailed) and observation.error.startswith(RowRefused.__name__):
            self._seen["put aside"] += 1
        super()._observe(observation)

    def begun(self, workflow_id: str, place: int) -> None:
        """A step of that workflow begins."""
        self.check_epoch(workflow_id)
        recorded = [each.step.output for each in self.database.records_of(workflow_id).values()]
        names = [each.step.name for each in self.database.records_of(workflow_id).values()]
        if ("mark", str(place)) in zip(names, recorded, strict=True):
            self.world.violation(f"{workflow_id} runs {place} again, though it was recorded")

    # --- what must hold -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """At every moment."""
        self.check_kept()
        self._write_to_all()
        self._see_whether_all_is_usual()
        open_now = set(self._to_do())
        for key in [each for each in self._waits if each not in open_now]:
            del self._waits[key]
        for what, workflow_id in sorted(open_now):
            if workflow_id in self.kept:
                self._seen[what] += 1
                self._waits.pop((what, workflow_id), None)
                continue
            since = self._waits.setdefault((what, workflow_id), self.world.now)
            since = max(since, self._usual_from, self.let_go_until.get(workflow_id, 0.0))
            if self.world.now - since > USUAL_S:
                refusing = sorted(self.kept)
                self.world.violation(f"{workflow_id} is {what} since {since:.1f}, beside {refusing}")
                self._usual_from = self.world.now
        if self.kept and self._others_are_over():
            for each in list(self.kept):
                self.let_go(each)

    def _write_to_all(self) -> None:
        """Who is new is sent its messages."""
        for workflow_id, row in self.database.workflows.items():
            if workflow_id not in self._written_to:
                self._written_to.add(workflow_id)
                for number in range(json.loads(row.new.input or "{}")["letters"]):
                    self.posting += 1
                    self.world.at(
                        self.world.chance.uniform(0, 6), partial(self.post, workflow_id, "t", number)
                    )

    def _see_whether_all_is_usual(self) -> None:
        mishaps = sum(self.network.mishaps.values())
        now = self.world.now
        troubled = any(
            each.alive and (not each.opened or each.frozen_until > now or each.link.down_until > now)
            for each in self.instances
        )
        if troubled or mishaps != self._mishaps or not self.living():
            self._mishaps, self._usual_from = mishaps, now

    def _to_do(self) -> Iterator[tuple[str, str]]:
        """What somebody has to do soon, and with which workflow."""
        database, now = self.database, self.database.now()
        running = {each.name: each.engine._executor.live for each in self.living()}
        for workflow_id, row in database.workflows.items():
            if is_untold(row):
                yield from self._untold(workflow_id)
            if row.status not in LIVE:
                continue
            if row.owner is None:
                if row.claimable_at is not None and row.claimable_at <= now:
                    yield "due", workflow_id
            elif workflow_id not in running.get(row.owner, ()):
                yield "lost", workflow_id
        for letter in database.letters:
            if letter.waits:
                yield "undelivered", letter.workflow_id
        for target, waiter in database.waits:
            if database.workflows[target].status not in LIVE:
                yield "unwoken", waiter
        for waiter in database.due:
            yield "unwoken", waiter

    def _untold(self, workflow_id: str) -> Iterator[tuple[str, str]]:
        """It is told once all its children are cancelled."""
        rows = self.database.workflows
        children = [each for each in self.kept if rows[each].new.parent == workflow_id]
        live = [each for each in children if rows[each].status in LIVE]
        yield from (("uncancelled", each) for each in live) if live else [("untold", workflow_id)]

    def _others_are_over(self) -> bool:
        """Whether all have ended that have nothing to do with those that refuse."""
        families = {self._line(each)[-1] for each in self.kept}
        rows = self.database.workflows.items()
        live = any(row.status in LIVE and self._line(each)[-1] not in families for each, row in rows)
        return not (live or self.left or self.asked or self.posting or self.to_refuse)

    def over(self) -> bool:
        """See Run."""
        return not self.posting and super().over()

    def check(self) -> None:
        """All did what they are to do, once, but for what was cancelled or could not be recorded."""
        self._check_messages()
        self._check_families()
        for workflow_id, row in self.database.workflows.items():
            if row.owner is not None or row.claimable_at is not None:
                self.world.violation(f"{workflow_id} ended, and {row.owner} owns it, or it's due")
            if row.status is Status.SUCCESS:
                self._check_result(workflow_id, json.loads(row.new.input or ""), json.loads(row.output or ""))
            elif not self._excused(workflow_id) and "not_recordable" not in (row.error or ""):
                self.world.violation(f"{workflow_id} ended as {row.status}: {row.error}")

    def _check_result(self, workflow_id: str, asked: dict[str, Any], got: list[Any]) -> None:
        letters = [
            json.loads(each.body)
            for each in sorted(self.database.letters, key=lambda each: each.number or 0)
            if each.workflow_id == workflow_id and each.number is not None
        ]
        first = [*range(asked["rounds"]), *letters[: asked["letters"]]]
        if got[: len(first)] != first or len(got) != len(first) + len(asked["children"]):
            self.world.violation(f"{workflow_id} returned {got}, and {first} is what it was to do")

    def seen(self) -> Counter[str]:
        """What was to be done with rows that refused, and what instances told of them."""
        return self._seen


RUNS = Runs(draw, Refusing)
