"""A queue with a concurrency, in every order: decisions, ends, crashes, freezes and recoveries.

A decision is three moments: the queue's row is locked, what is owned is counted, and what was chosen is
claimed as the transaction commits. The rules: never more are owned than may, and from every state all can end
without a further fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.checker import Step

PASSED = "no more are owned than the concurrency"
STOLEN = "only whoever owns a workflow ends it"


class Row(NamedTuple):
    """A row of `workflow_status`: `waits`, `owned` or `ended`."""

    stands: str = "waits"
    owner: int | None = None
    epoch: int = 0


class Memory(NamedTuple):
    """What an instance knows. `slots`: how many may begin, as it has counted in the decision under way."""

    locked: bool = False
    slots: int | None = None
    running: frozenset[tuple[int, int]] = frozenset()
    """Workflows and their epochs."""


class World(NamedTuple):
    """What is committed, what the instances know, and how many faults are left."""

    rows: tuple[Row, ...]
    instances: tuple[Memory, ...]
    crashes: int
    freezes: int
    lie: str = ""


@dataclass(frozen=True)
class Queueing:
    """`workflows` of one queue. Each of the last fields takes a guard away where it is false."""

    workflows: int = 3
    instances: int = 2
    concurrency: int = 1
    crashes: int = 1
    freezes: int = 1
    one_decides: bool = True
    counts_under_the_lock: bool = True
    counts_all: bool = True
    fence: bool = True
    places_of_the_lost_are_free: bool = True

    def start(self) -> World:
        """All wait."""
        rows, instances = (Row(),) * self.workflows, (Memory(),) * self.instances
        return World(rows, instances, self.crashes, self.freezes)

    def steps(self, world: World) -> Iterable[Step[World]]:
        """All that can happen next."""
        for me, memory in enumerate(world.instances):
            yield from self._decide(world, me, memory)
            yield from self._end(world, me, memory)
            if world.crashes:
                after = self._recovered(self._remember(world, me, Memory()), me)
                yield Step(
                    f"{me} dies and is recovered", after._replace(crashes=world.crashes - 1), fault=True
                )
            if world.freezes:
                after = self._recovered(world, me)._replace(freezes=world.freezes - 1)
                yield Step(f"{me} is frozen past its lease and recovered", after, fault=True)

    def broken(self, before: World, after: World) -> str | None:
        """The rule that is broken."""
        if sum(each.stands == "owned" for each in after.rows) > self.concurrency:
            return PASSED
        return after.lie or None

    def ended(self, world: World) -> bool:
        """Whether all have ended."""
        return all(each.stands == "ended" for each in world.rows)

    def _decide(self, world: World, me: int, memory: Memory) -> Iterator[Step[World]]:
        if memory.slots is None and (memory.locked or not self.counts_under_the_lock):
            counted = memory._replace(slots=self._slots(world, me))
            yield Step(f"{me} counts (claim_queue)", self._remember(world, me, counted))
        held = self.one_decides and any(each.locked for each in world.instances)
        if not memory.locked and not held and (self.counts_under_the_lock or memory.slots is not None):
            yield Step(f"{me} locks the queue", self._remember(world, me, memory._replace(locked=True)))
        if memory.locked and memory.slots is not None:
            waiting = [n for n, each in enumerate(world.rows) if each.stands == "waits"][
                : max(0, memory.slots)
            ]
            after = world
            running = memory.running
            for n in waiting:
                row = Row("owned", me, world.rows[n].epoch + 1)
                after, running = self._put(after, n, row), running | {(n, row.epoch)}
            yield Step(
                f"{me} claims {waiting} and commits", self._remember(after, me, Memory(running=running))
            )

    def _slots(self, world: World, me: int) -> int:
        return self.concurrency - sum(
            each.stands == "owned" and (self.counts_all or each.owner == me) for each in world.rows
        )

    def _end(self, world: World, me: int, memory: Memory) -> Iterator[Step[World]]:
        for n, epoch in memory.running:
            row = world.rows[n]
            knows = memory._replace(running=memory.running - {(n, epoch)})
            after = self._remember(world, me, knows)
            mine = (row.stands, row.owner, row.epoch) == ("owned", me, epoch)
            if mine or not self.fence:
                after = self._put(after, n, row._replace(stands="ended", owner=None))
                after = after if mine else after._replace(lie=STOLEN)
            yield Step(f"{me} ends {n} at epoch {epoch}", after)

    def _recovered(self, world: World, me: int) -> World:
        """instances.sql, recover: what it owned waits again, an epoch later."""
        if not self.places_of_the_lost_are_free:
            return world
        for n, row in enumerate(world.rows):
            if row.owner == me:
                world = self._put(world, n, Row("waits", None, row.epoch + 1))
        return world

    def _remember(self, world: World, me: int, memory: Memory) -> World:
        return world._replace(instances=(*world.instances[:me], memory, *world.instances[me + 1 :]))

    def _put(self, world: World, n: int, row: Row) -> World:
        return world._replace(rows=(*world.rows[:n], row, *world.rows[n + 1 :]))
