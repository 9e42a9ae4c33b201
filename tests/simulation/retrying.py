"""Retry and rewind in simulated time: at any moment, while instances are killed, frozen and cut off.

Steps fail some times before they succeed. Somebody retries and rewinds whatever there is, at moments that are
drawn, and what has failed until all has succeeded. Undoing is cut short, too: its workflow is killed, or its
instance dies, so often perhaps that nobody tries again. Held at every statement: a success never changes; a
failure is final until somebody retries it, which raises generation and epoch; no step begins whose success is
recorded. In the end: what counts as done was not undone since, and no undo of it has begun.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from outlast import Queue, context, map_, saga, sleep, start, step, workflow
from outlast.core.errors import OutlastError
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable, Unreachable
from outlast.core.status import LIVE, Status
from outlast.core.verbs import KILL, RETRY, REWIND, UNDO
from outlast.sdk import sagas
from outlast.testing.database import Database
from outlast.testing.rows import RowRefused
from outlast.testing.rows import Workflow as Row
from outlast.testing.stores import MemoryStore
from tests.simulation.keeping import Keeping, some_refusals
from tests.simulation.mapping import small_blocks
from tests.simulation.plans import Plan
from tests.simulation.runs import Offered, Run, Runs, a_plan, here
from tests.simulation.scenario import Instance

FAULTS = ("kill", "kill", "freeze", "cut", "partition", "restart", "stop", "cancel", "cancel")
ACTS = ("retry", "retry", "rewind")
TRAPS = ("", "", "fails", "lasts", "killed", "killed", "dies", "dies")
LASTS_S = 6.0
FIRST = "first "
"""How names begin of what is undone and survived."""

narrow = Queue("narrow", concurrency=1)


class Refused(Exception):
    """A step's own."""


@step
async def work(name: str, fails: int) -> str:
    return here[0].work(context().workflow_id, str(context().step_id), name, fails)


@step
async def undo(_: Any, name: str, fails: int) -> None:
    await here[0].take_back(context().workflow_id, name)


@step
async def linger() -> None:
    await here[0].linger(context().workflow_id)


@workflow
async def row(items: list[Any]) -> list[str]:
    got = []
    for name, fails, nap_s in items:
        if nap_s:
            await sleep(nap_s)
        got.append(await work(name, fails))
    return got


@workflow(queue=narrow)
async def queued(items: list[Any]) -> list[str]:
    return await row(items)


@workflow
async def beside(items: list[Any]) -> list[str]:
    calls = [asyncio.ensure_future(row(items[place : place + 2])) for place in range(0, len(items), 2)]
    got = await asyncio.gather(*calls, return_exceptions=True)
    for each in got:
        if isinstance(each, BaseException):
            raise each
    return [name for part in got if isinstance(part, list) for name in part]


@workflow
async def cleans(items: list[Any]) -> list[str]:
    try:
        return await row(items)
    except Refused:
        await work("cleanup", 0)
        raise


@workflow
async def undoes(items: list[Any]) -> list[str]:
    got = await row(items[:1])
    async with saga() as s:
        for name, fails, _ in items[1:]:
            got.append(await s.do(work, name, fails, undo=undo))
        await linger()
    return got


@workflow
async def survives(items: list[Any]) -> list[str]:
    """What its first saga has done is undone, and done in another way by the second one."""
    try:
        async with saga() as s:
            for name, _, _ in items:
                await s.do(work, f"{FIRST}{name}", 0, undo=undo)
            raise Refused("survived")
    except Refused:
        pass
    return await undoes(items)


@workflow
async def nested(items: list[Any]) -> list[str]:
    """A saga in another one: what it could not undo stands while that undoes."""
    async with saga() as s:
        got = [await s.do(work, name, fails, undo=undo) for name, fails, _ in items[:1]]
        return got + await undoes(items[1:])


@workflow
async def both_undo(items: list[Any]) -> list[str]:
    """A child and the items of a map."""
    child = await start(undoes, items[:2])
    got = await map_(undoes, [items[place : place + 3] for place in range(2, len(items), 3)])
    return [*await child.result(), *(name for each in got for name in each)]


@workflow
async def parent(items: list[Any]) -> list[str]:
    handles = [await start(row, [each]) for each in items]
    return [(await each.result())[0] for each in handles]


@workflow
async def mapped(items: list[Any]) -> list[str]:
    return [each[0] for each in await map_(row_of_one, items, concurrency=2)]


@workflow
async def row_of_one(given: list[Any]) -> list[str]:
    return await row([given])


CALLED = (row, queued, beside, cleans, undoes, survives, nested, both_undo, parent, mapped)


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed: calls, and acts: when, which, and of what."""

    plan: Plan
    calls: tuple[tuple[float, str, dict[str, Any]], ...]
    acts: tuple[tuple[float, str, int], ...]
    traps: tuple[str, ...]
    """What happens to one undo after the other as it begins."""
    cancelled: tuple[bool, ...]
    """Of one workflow after the other that has done all of its saga whether it is cancelled then."""
    attempts_max: int
    """So often a workflow may be lost."""
    undo_within_s: float
    """So long an undo is tried."""


def some_acts(
    chance: random.Random, calls: int, verbs: list[str], numbers: list[int]
) -> tuple[tuple[float, str, int], ...]:
    """Verbs that are done to some of so many calls: when, which, and to which call."""
    return tuple(
        (chance.uniform(0, LASTS_S), chance.choice(verbs), chance.randrange(calls))
        for _ in range(chance.choice(numbers))
    )


def draw(seed: int) -> Drawn:
    """Workflows of all kinds, and everything at once."""
    chance = random.Random(seed)
    plan = a_plan(chance, f"{seed}:retries", FAULTS, LASTS_S)
    plan = replace(plan, refusals=some_refusals(seed, LASTS_S))
    calls = tuple(
        (chance.choice([0.0, 0.3]), chance.choice(CALLED).definition.name, {"items": _items(chance)})
        for _ in range(chance.choice([1, 2, 3]))
    )
    acts = some_acts(chance, len(calls), ["retry", "retry", "rewind"], [0, 3, 8])
    traps = tuple(chance.choice(TRAPS) for _ in range(chance.choice([0, 4, 12])))
    cancelled = tuple(chance.random() < 0.5 for _ in range(chance.choice([0, 3])))
    return Drawn(
        plan, calls, acts, traps, cancelled, chance.choice([0, 1, 10]), chance.choice([0.0, 86400.0])
    )


def _items(chance: random.Random) -> list[Any]:
    return [
        [f"s{place}", chance.choice([0, 0, 0, 1, 2]), chance.choice([0.0, 0.0, 0.05, 0.6])]
        for place in range(chance.choice([1, 2, 4, 6]))
    ]


class Retrying(Keeping, Run):
    """A run in which somebody retries."""

    cycles_max = 600_000
    refusable = frozenset(Status) - {Status.SUCCESS}

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        self._drawn = drawn
        super().__init__(drawn.plan, Offered(*CALLED, row_of_one), trace, drawn.calls)
        self._traps, self._cancelled = iter(drawn.traps), iter(drawn.cancelled)
        self._done: dict[tuple[str, str], bool] = {}
        """Of each step of a workflow whether it is done, by what was done last."""
        self.acted: Counter[str] = Counter()
        self._tries: Counter[tuple[str, str]] = Counter()
        self._ends: dict[str, tuple[Any, ...]] = {}
        self.network.when_executed = self._look_at_ends

    def _make_database(self) -> Database:
        self.limits = replace(self.limits, attempts_max=self._drawn.attempts_max)
        return super()._make_database()

    async def take_back(self, workflow_id: str, name: str) -> None:
        """An undo begins. One of a life before a retry is nobody's: it comes as late as any effect may."""
        instance, workflow = self.world.running, self.database.workflows[workflow_id]
        assert isinstance(instance, Instance)
        life = instance.engine._executor.live.get(workflow_id)
        if life is None or life.generation != workflow.generation:
            return
        self._done[workflow_id, name] = False
        trap = next(self._traps, "")
        self.acted[f"undo {trap}"] += 1
        if trap == "fails":
            raise Refused(name)
        if trap == "lasts":
            await asyncio.sleep(1.0)
        elif trap == "killed":
            self.world.at(0.0, partial(self._end, workflow_id, KILL))
            await asyncio.sleep(1.0)
        elif trap == "dies":
            self.world.at(0.0, partial(self._die, instance))
            await asyncio.sleep(1.0)

    def _die(self, instance: Instance) -> None:
        if instance.alive:
            self.kill(instance)

    async def linger(self, workflow_id: str) -> None:
        """A saga is about to be left; its workflow may be cancelled now."""
        if next(self._cancelled, False):
            self.acted["cancelled in a saga"] += 1
            self.world.at(0.0, partial(self._end, workflow_id, UNDO))
            await asyncio.sleep(1.0)

    def _end(self, workflow_id: str, mode: str) -> None:
        for instance in self.living()[:1]:
            instance.spawn(self._ending(instance, workflow_id, mode), instance.calls)

    async def _ending(self, instance: Instance, workflow_id: str, mode: str) -> None:
        try:
            await instance.engine.cancel(workflow_id, "somebody", None, mode)
        except (NotNow, Unreachable, OutlastError, RowRefused) as error:
            self.world.note(f"cancel {workflow_id}: {error!r}")

    def work(self, workflow_id: str, step_id: str, name: str, fails: int) -> str:
        """A step runs: it fails so many times."""
        record = self.database.records.get((workflow_id, step_id))
        # A frozen instance that woke up may run what another has recorded meanwhile: that is at least once.
        owner = self.database.workflows[workflow_id].owner
        running = self.world.running
        if record is not None and record.step.error is None and running is not None and owner == running.name:
            self.world.violation(f"{workflow_id} {step_id} {name} runs though it is recorded")
        self._tries[workflow_id, name] += 1
        if self._tries[workflow_id, name] <= fails:
            raise Refused(name)
        if running is not None and owner == running.name:
            self._done[workflow_id, name] = True
        return name.upper()

    def _look_at_ends(self) -> None:
        self.check_kept()
        for workflow_id, each in self.database.workflows.items():
            before = self._ends.get(workflow_id)
            now = (each.status, each.output, each.error, each.epoch, each.generation)
            if before is not None and now != before:
                self._check_change(workflow_id, before, each)
            if each.status not in LIVE:
                self._ends[workflow_id] = now
            else:
                self._ends.pop(workflow_id, None)

    def _check_change(self, workflow_id: str, before: tuple[Any, ...], now: Row) -> None:
        status, _, _, epoch, generation = before
        if status == Status.SUCCESS:
            self.world.violation(f"the success of {workflow_id} changed: {before} to {now}")
        elif now.map is None and (now.generation <= generation or now.epoch <= epoch):
            self.world.violation(
                f"the failure of {workflow_id} changed though nobody retried it: {before} to {now}"
            )

    def over(self) -> bool:
        """Whether all have called, and all that was started has ended well."""
        rows = [self.database.workflows.get(new.workflow_id) for _, new in self.calls]
        return super().over() and all(each is not None and each.status == Status.SUCCESS for each in rows)

    def _act(self, kind: str, number: int, *, last: bool = False) -> None:
        living = self.living()
        if living:
            instance = self.world.chance.choice(living)
            instance.spawn(self._acting(instance, kind, f"w{number}"), instance.calls)
        if last:
            self.world.at(1.0, partial(self._act, kind, number, last=last))

    async def _acting(self, instance: Instance, kind: str, workflow_id: str) -> None:
        workflows: Any = MemoryStore(self.database, instance.link, instance.name).workflows
        records = sorted(step_id for of, step_id in self.database.records if of == workflow_id)
        to = self.world.chance.choice(records or ["1"])
        verb, given = (RETRY, {}) if kind == "retry" else (REWIND, {"to": to})
        try:
            await workflows.act(verb, workflow_id, given, "somebody")
        except (NoSuchRow, NotNow, Unacceptable, Unreachable, OutlastError, RowRefused) as error:
            self.world.note(f"{kind} {workflow_id}: {error!r}")
            return
        self.acted[kind] += 1
        instance.engine.look()

    def begin(self) -> None:
        """Calls, and somebody who retries; in the end whatever has failed."""
        super().begin()
        for number in range(len(self.calls)):
            self.world.at(LASTS_S, partial(self._act, "retry", number, last=True))
        for after_s, kind, number in self._drawn.acts:
            self.world.at(after_s, partial(self._act, kind, number))

    def play(self) -> None:
        """Blocks are small."""
        within_s, sagas.UNDO_WITHIN_S = sagas.UNDO_WITHIN_S, self._drawn.undo_within_s
        try:
            with small_blocks():
                super().play()
        finally:
            sagas.UNDO_WITHIN_S = within_s

    def check(self) -> None:
        """Each call returned what it should."""
        for number, (_, function, arguments) in enumerate(self._drawn.calls):
            self._check_items(f"w{number}", function, arguments["items"])
        for (workflow_id, name), done in self._done.items():
            if done == name.startswith(FIRST):
                found = "done" if done else "undone"
                self.world.violation(f"{workflow_id} has succeeded, but {name} is {found}")

    def seen(self) -> Counter[str]:
        """What was retried."""
        return self.acted

    def _check_items(self, workflow_id: str, function: str, items: list[Any]) -> None:
        found = json.loads(self.database.workflows[workflow_id].output or "null")
        expected = [name.upper() for name, _, _ in items]
        if found != expected:
            self.world.violation(f"{workflow_id} {function} returned {found}, not {expected}")


RUNS = Runs(draw, Retrying)
