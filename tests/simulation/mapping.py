"""Maps in simulated time: items once each, no more at a time than may, and a parent that is woken.

Instances are killed, frozen and cut off between any two blocks, and parents are cancelled. Blocks are small,
so that each map has several.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from outlast import MapFailed, context, map_, sleep, start_all, step, workflow
from outlast.core.status import Status
from outlast.engine import function_host
from outlast.engine.operations import mapping, starting
from outlast.testing.rows import Workflow
from tests.simulation.keeping import Keeping, some_refusals
from tests.simulation.network import PATIENCE_S
from tests.simulation.plans import Plan
from tests.simulation.queueing import LOOK_EVERY_S, ROOM_UNUSED_S, SETTLED_S
from tests.simulation.runs import Offered, Run, Runs, a_plan

FAULTS = ("kill", "kill", "kill", "freeze", "freeze", "cut", "partition", "restart", "stop", "cancel")
BLOCK = 3
LASTS_S = 6.0

Item = list[float]
"""What it is (below nothing: it fails), and how long it naps."""


class Refused(Exception):
    """An item's own."""


@step
async def work(number: float) -> float:
    return number * 2


@workflow
async def item(given: Item) -> float:
    number, nap_s = given
    if nap_s:
        await sleep(nap_s)
    if number < 0:
        raise Refused(str(number))
    return await work(number)


@workflow
async def mapper(items: list[Item], concurrency: int, tolerate: Any, on_fail: Any) -> Any:
    try:
        result = await map_(item, items, concurrency=concurrency, tolerate=tolerate, on_fail=on_fail)
    except MapFailed as error:
        return {"failed": error.failed, "ok": error.ok, "total": error.total}
    return {"ok": dict(result.ok), "failed": [key for key, _ in result.failed]}


@workflow
async def outer(maps: list[list[Any]]) -> Any:
    return list(await map_(inner, maps, concurrency=2))


@workflow
async def inner(given: list[Any]) -> Any:
    return await mapper(*given)


@workflow
async def fan(items: list[Item]) -> Any:
    handles = await start_all(item, items)
    ids = [each.workflow_id for each in handles]
    assert ids == [f"{context().workflow_id}/1/{place}" for place in range(len(items))], ids
    return [await each.result() for each in handles]


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a seed: each call is a function and its arguments."""

    plan: Plan
    calls: tuple[tuple[float, str, dict[str, Any]], ...]


def draw(seed: int) -> Drawn:
    """Maps of all kinds, and everything at once."""
    chance = random.Random(seed)
    plan = a_plan(chance, f"{seed}:maps", FAULTS, LASTS_S, early=5)
    plan = replace(plan, refusals=some_refusals(seed, LASTS_S))
    calls = tuple((chance.choice([0.0, 0.3]), *_call(chance)) for _ in range(chance.choice([1, 1, 2])))
    return Drawn(plan, calls)


def _call(chance: random.Random) -> tuple[str, dict[str, Any]]:
    kind = chance.choice(["mapper", "mapper", "outer", "fan"])
    if kind == "mapper":
        return kind, dict(zip(("items", "concurrency", "tolerate", "on_fail"), _map(chance), strict=True))
    if kind == "outer":
        return kind, {"maps": [_map(chance) for _ in range(chance.randint(1, 4))]}
    return kind, {"items": [[abs(number), nap_s] for number, nap_s in _items(chance)]}


def _map(chance: random.Random) -> list[Any]:
    return [
        _items(chance),
        chance.randint(1, 5),
        chance.choice([0, 0, 1, 0.3, 1.0]),
        chance.choice(["drain", "cancel"]),
    ]


def _items(chance: random.Random) -> list[Item]:
    fails = chance.choice([0.0, 0.0, 0.15])
    return [
        [float(place + 1) * (-1 if chance.random() < fails else 1), chance.choice([0.0, 0.0, 0.05, 0.6])]
        for place in range(chance.choice([0, 1, 3, 4, 8, 13]))
    ]


@contextmanager
def small_blocks() -> Iterator[None]:
    """So that each map has several of them."""
    with ExitStack() as stack:
        for each in (mapping, starting, function_host):
            stack.enter_context(patch.object(each, "BLOCK", BLOCK))
        yield


class Mapping(Keeping, Run):
    """A run with maps."""

    def __init__(self, drawn: Drawn, trace: Callable[[str], None] | None) -> None:
        super().__init__(drawn.plan, Offered(item, mapper, outer, inner, fan), trace, drawn.calls)
        self._drawn = drawn
        self._unused_since: dict[str, float] = {}
        self._settled_at = 0.0
        self.network.when_executed = self._look

    def fault(self, kind: str, at: Any = None) -> None:
        """As before: instances need a while to settle."""
        self._settled_at = self.world.now + SETTLED_S
        super().fault(kind, at)

    def begin_instance(self) -> None:
        """As before."""
        self._settled_at = self.world.now + SETTLED_S
        super().begin_instance()

    def begin(self) -> None:
        """The calls, and a look for items that wait in vain now and then."""
        super().begin()
        self.world.at(0.0, self._look_for_room)

    def _look(self) -> None:
        """At every moment: no more of a map's items run than may, and what refuses is as it was."""
        self.check_kept()
        running = Counter(
            row.new.queue
            for row in self.database.workflows.values()
            if row.owner is not None and row.new.queue
        )
        for map_id, number in running.items():
            most = self.database.queue(str(map_id)).options.get("concurrency", 0)
            if number > most:
                self.world.violation(f"{number} items of {map_id} run, {most} may")

    def _look_for_room(self) -> None:
        """Whether an item waits for too long, though its map has room and some instance, too."""
        rows = self.database.workflows.items()
        waiting = {str(row.new.queue): each for each, row in rows if self._may_begin(row)}
        idle = self.helpers(5)
        for name in [each for each in self._unused_since if each not in waiting or not idle]:
            del self._unused_since[name]
        for name, workflow_id in waiting.items() if idle else ():
            since = max(self._unused_since.setdefault(name, self.world.now), self._settled_at)
            if self.world.now - since > ROOM_UNUSED_S + (PATIENCE_S if self.plan.weather.mishap else 0.0):
                self.world.violation(f"{workflow_id} waits since {since}, and there is room")
                self._settled_at = self.world.now
        if not self.over():
            self.world.at(LOOK_EVERY_S, self._look_for_room)

    def _may_begin(self, row: Workflow) -> bool:
        workflow_id, name, now = row.new.workflow_id, row.new.queue, self.database.now()
        if name is None or row.owner is not None or row.claimable_at is None or row.claimable_at > now:
            return False
        if self.is_passed_by(workflow_id) or self.database.is_locked(workflow_id):
            return False
        options, rows = self.database.queue(name).options, self.database.workflows.values()
        places = sum(each.owner is not None and each.new.queue == name for each in rows)
        stopped = "rate" in options and row.status is Status.ENQUEUED
        return not stopped and places < options.get("concurrency", 0)

    def play(self) -> None:
        """Blocks are small."""
        with small_blocks():
            super().play()

    def over(self) -> bool:
        """As before, and no queue of a map is left: if that stays, the run doesn't end."""
        return super().over() and not any("/map." in name for name in self.database.queues)

    def check(self) -> None:
        """Each call returned what it should."""
        failed = {each for each in self.database.workflows if self.could_not_be_recorded(each)}
        for number, (_, function, arguments) in enumerate(self._drawn.calls):
            # Who could not be recorded has failed, and with it perhaps who waits for it.
            if not any(each.partition("/")[0] == f"w{number}" for each in failed):
                self._check_call(f"w{number}", function, arguments)

    def _check_call(self, workflow_id: str, function: str, arguments: dict[str, Any]) -> None:
        row = self.database.workflows.get(workflow_id)
        if row is not None and row.status == Status.CANCELLED and workflow_id in self.cancelled:
            return
        if row is None or row.status != Status.SUCCESS:
            self.world.violation(f"{workflow_id} {function} ended as {row}")
            return
        found = json.loads(row.output or "null")
        if function == "mapper":
            self._check_map(f"{workflow_id}/map.1", found, *arguments.values())
        elif function == "outer":
            for place, each in enumerate(arguments["maps"]):
                self._check_map(f"{workflow_id}/map.1/{place}/map.1", found[place], *each)
        elif found != [2 * each for each, _ in arguments["items"]]:
            self.world.violation(f"{workflow_id} fan returned {found}")

    def _check_map(
        self, map_id: str, found: Any, items: Sequence[Item], concurrency: int, tolerate: float, on_fail: str
    ) -> None:
        bad = [str(place) for place, (number, _) in enumerate(items) if number < 0]
        tolerated = tolerate if isinstance(tolerate, int) else int(tolerate * len(items))
        if len(bad) <= tolerated:
            good = {str(place): 2 * number for place, (number, _) in enumerate(items) if number >= 0}
            failed = found["failed"] if isinstance(found["failed"], list) else []
            if (found["ok"], [str(each) for each in failed]) != (good, sorted(bad)):
                self.world.violation(f"{map_id} gave {found}, and not {good}, {bad}")
        elif isinstance(found["failed"], list):
            self.world.violation(f"{map_id} gave {found}, with {bad} and only {tolerated} tolerated")
        elif not tolerated < found["failed"] <= len(items) or found["ok"] + found["failed"] > found["total"]:
            self.world.violation(f"{map_id} failed as {found}, with {bad} and {tolerated} tolerated")
        elif on_fail == "drain" and found["failed"] > len(bad):
            self.world.violation(f"{map_id} failed as {found}, and only {bad} may")


RUNS = Runs(draw, Mapping)
