"""Who is claimed beside whom: families of workflows, suspects, and little memory, in every order.

Each workflow may start one child and wait for it. What an instance had claimed when it died is due again,
lost once more; what was lost often is a suspect, which runs alone. A claim takes what there is memory for.
The rule: from every state all can end without a further fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tests.model.checker import Step

SUSPECT_AFTER = 2
LARGE = 3
"""What takes more than all memory."""


class Workflow(NamedTuple):
    """A row, and what runs of it."""

    stands: str = "unborn"
    """`unborn`, `due`, `live` or `ended`."""
    lost: int = 0


class World(NamedTuple):
    """One instance after the other, and the rows."""

    workflows: tuple[Workflow, ...]
    crashes: int


@dataclass(frozen=True)
class Claiming:
    """`children[n]`: which workflow the n-th one starts and waits for. `sizes`: memory holds 2."""

    children: tuple[int | None, ...]
    sizes: tuple[int, ...]
    crashes: int = 4
    waiting_suspect_lets_next_run: bool = True
    waiting_parent_takes_no_memory: bool = True
    large_runs_alone: bool = True

    def start(self) -> World:
        """Whatever is nobody's child is due."""
        born = [Workflow("unborn" if n in self.children else "due") for n in range(len(self.children))]
        return World(tuple(born), self.crashes)

    def steps(self, world: World) -> Iterable[Step[World]]:
        """A claim, a child's start, an end, or the instance's death."""
        for n, each in enumerate(world.workflows):
            if each.stands == "due" and self._may_claim(world, n):
                yield Step(f"{n} is claimed", self._put(world, n, each._replace(stands="live")))
            if each.stands != "live" or self._waits(world, n):
                continue
            child = self.children[n]
            if child is not None and world.workflows[child].stands == "unborn":
                # A child is never turned away for want of room.
                yield Step(f"{n} starts {child}", self._put(world, child, Workflow("live")))
            else:
                yield Step(f"{n} ends", self._put(world, n, each._replace(stands="ended")))
        if world.crashes and any(each.stands == "live" for each in world.workflows):
            lost = [
                Workflow("due", min(SUSPECT_AFTER, each.lost + 1)) if each.stands == "live" else each
                for each in world.workflows
            ]
            yield Step("the instance dies", World(tuple(lost), world.crashes - 1), fault=True)

    def broken(self, before: World, after: World) -> str | None:
        """No more is claimed than fits, beside what only waits; and no suspect beside another that works."""
        claimed = [
            n
            for n, each in enumerate(after.workflows)
            if each.stands == "live" and before.workflows[n].stands == "due"
        ]
        beside = [
            n
            for n, each in enumerate(before.workflows)
            if each.stands == "live" and not self._waits(before, n)
        ]
        for n in claimed:
            used = sum(self.sizes[m] for m in beside)
            if used and used + self.sizes[n] > 2:
                return "what is claimed fits into memory, or runs alone"
            if after.workflows[n].lost >= SUSPECT_AFTER and any(
                before.workflows[m].lost >= SUSPECT_AFTER for m in beside
            ):
                return "a suspect runs alone"
        return None

    def ended(self, world: World) -> bool:
        """Whether all have ended."""
        return all(each.stands in ("ended", "unborn") for each in world.workflows)

    def _waits(self, world: World, n: int) -> bool:
        child = self.children[n]
        return child is not None and world.workflows[child].stands in ("due", "live")

    def _may_claim(self, world: World, n: int) -> bool:
        live = [m for m, each in enumerate(world.workflows) if each.stands == "live"]
        if world.workflows[n].lost >= SUSPECT_AFTER:
            others = [m for m in live if world.workflows[m].lost >= SUSPECT_AFTER]
            if self.waiting_suspect_lets_next_run:
                others = [m for m in others if not self._waits(world, m)]
            if others:
                return False
        if self.waiting_parent_takes_no_memory:
            live = [m for m in live if not self._waits(world, m)]
        used = sum(self.sizes[m] for m in live)
        return used + self.sizes[n] <= 2 or (self.large_runs_alone and not used)

    def _put(self, world: World, n: int, workflow: Workflow) -> World:
        return world._replace(workflows=(*world.workflows[:n], workflow, *world.workflows[n + 1 :]))
