"""Parents that leave the memory for their children's ends, in every order of two journals' locks and commits.

Each instance owns a parent and a child, and both parents wait for both children. A commit is some of what
an instance has to write: it locks its own rows one after the other and waits for these; it tells of ends;
it notes waits; it commits, or its connection is cut. A stranger may lock a parent for a while. The rule:
from every state all can end without a further fault. So no wake-up is lost, and nothing stands still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

from tests.model.checker import Step

MEMORY, ASLEEP, AWAKE, ENDED = "memory", "asleep", "awake", "ended"
PARENTS, CHILDREN = (0, 1), (2, 3)
OWNED = ((0, 2), (1, 3))
"""By instance: its parent and its child."""

Pair = tuple[int, int]
"""Who is waited for, and who waits."""


class Commit(NamedTuple):
    """One under way: what is to be locked, what was, and what it has written so far."""

    to_lock: tuple[int, ...]
    own: tuple[int, ...]
    saw: tuple[str, ...]
    """The rows as they were committed when it began."""
    saw_waits: frozenset[Pair]
    told: bool = False
    noted: bool = False
    locked: frozenset[int] = frozenset()
    shared: frozenset[int] = frozenset()
    rows: tuple[tuple[int, str], ...] = ()
    waits: frozenset[Pair] = frozenset()
    over: frozenset[Pair] = frozenset()
    due: frozenset[Pair] = frozenset()


class World(NamedTuple):
    """What is committed, what is under way, and how many connections may be cut yet."""

    rows: tuple[str, ...] = (MEMORY,) * 4
    waits: frozenset[Pair] = frozenset()
    due: frozenset[Pair] = frozenset()
    commits: tuple[Commit | None, ...] = (None, None)
    cuts: int = 1
    held: int | None = None
    """The row that a stranger holds."""
    strangers: int = 1


@dataclass(frozen=True)
class Waiting:
    """Each field takes a guard away where it is false."""

    notes_under_the_lock: bool = True
    looks_again: bool = True
    tells_by_a_fresh_snapshot: bool = True
    keeps_the_locked: bool = True
    notes_last: bool = True
    cuts: int = 1

    def start(self) -> World:
        """All are in memory."""
        return World(cuts=self.cuts)

    def steps(self, world: World) -> Iterable[Step[World]]:
        """All that can happen next."""
        for me, commit in enumerate(world.commits):
            if commit is None:
                yield from self._begin(world, me)
                continue
            if not self.notes_last and not commit.noted:
                yield self._note(world, me, commit)
            elif commit.to_lock:
                yield from self._lock(world, me, commit)
            elif not commit.told:
                yield from self._tell(world, me, commit)
            elif not commit.noted:
                yield self._note(world, me, commit)
            else:
                yield self._commit(world, me, commit)
            if world.cuts:
                after = self._put(world, me, None)._replace(cuts=world.cuts - 1)
                yield Step(f"the connection of {me} is cut", after, fault=True)
        yield from self._claim(world)
        if world.held is not None:
            yield Step(f"a stranger lets {world.held} go", world._replace(held=None))
        for row in PARENTS if world.strangers and world.held is None else ():
            if not self._holders(world, -1, row, shared_too=True):
                after = world._replace(held=row, strangers=world.strangers - 1)
                yield Step(f"a stranger locks {row}", after, fault=True)

    def broken(self, before: World, after: World) -> str | None:
        """All is in the end that must be reachable."""
        return None

    def ended(self, world: World) -> bool:
        """Whether all have ended."""
        return set(world.rows) == {ENDED}

    def _begin(self, world: World, me: int) -> Iterator[Step[World]]:
        mine = [each for each in OWNED[me] if world.rows[each] == MEMORY]
        for count in range(1, len(mine) + 1):
            for own in permutations(mine, count):
                commit = Commit(own, own, world.rows, world.waits)
                yield Step(f"{me} begins to write {own}", self._put(world, me, commit))

    def _lock(self, world: World, me: int, commit: Commit) -> Iterator[Step[World]]:
        """A commit waits for its own rows. A child ends; a parent does if all are known to have ended."""
        row, *later = commit.to_lock
        if self._holders(world, me, row, shared_too=True):
            return
        ends = row in CHILDREN or all(commit.saw[each] == ENDED for each in CHILDREN)
        after = commit._replace(
            to_lock=tuple(later),
            locked=commit.locked | {row},
            rows=(*commit.rows, (row, ENDED if ends else ASLEEP)),
        )
        yield Step(f"{me} locks {row}", self._put(world, me, after))

    def _tell(self, world: World, me: int, commit: Commit) -> Iterator[Step[World]]:
        fresh = self.tells_by_a_fresh_snapshot
        rows = list(world.rows if fresh else commit.saw)
        for row, stands in commit.rows:
            rows[row] = stands
        after = commit._replace(told=True)
        for target, waiter in world.waits if fresh else commit.saw_waits:
            if (target, ENDED) not in commit.rows:
                continue
            if rows[waiter] != ASLEEP:
                after = after._replace(over=after.over | {(target, waiter)})
            elif not self._holders(world, me, waiter, shared_too=True):
                after = after._replace(
                    over=after.over | {(target, waiter)},
                    locked=after.locked | {waiter},
                    rows=(*after.rows, (waiter, AWAKE)),
                )
            elif self.keeps_the_locked:
                after = after._replace(due=after.due | {(target, waiter)})
        yield Step(f"{me} tells", self._put(world, me, after))

    def _note(self, world: World, me: int, commit: Commit) -> Step[World]:
        rows = dict(enumerate(world.rows)) | dict(commit.rows)
        after = commit._replace(noted=True)
        sleeps = any(commit.saw[each] != ENDED for each in CHILDREN)
        for waiter in set(commit.own).intersection(PARENTS) if sleeps else ():
            for target in CHILDREN:
                if commit.saw[target] == ENDED:
                    continue  # it knows, and waits for the other one
                held = self.notes_under_the_lock and self._holders(world, me, target, shared_too=False)
                if held or rows[target] == ENDED:
                    if self.looks_again:
                        after = after._replace(rows=(*after.rows, (waiter, AWAKE)))
                    continue
                shared = after.shared | ({target} if self.notes_under_the_lock else set())
                after = after._replace(waits=after.waits | {(target, waiter)}, shared=shared)
        return Step(f"{me} notes waits", self._put(world, me, after))

    def _commit(self, world: World, me: int, commit: Commit) -> Step[World]:
        rows = dict(enumerate(world.rows)) | dict(commit.rows)
        waits = (world.waits | commit.waits) - commit.over
        after = world._replace(rows=tuple(rows.values()), waits=waits, due=world.due | commit.due)
        return Step(f"{me} commits", self._put(after, me, None))

    def _claim(self, world: World) -> Iterator[Step[World]]:
        for row in PARENTS:
            if not self._holders(world, -1, row, shared_too=True):
                if world.rows[row] == AWAKE:
                    yield Step(f"{row} is claimed", self._stand(world, row, MEMORY))
                due = frozenset(each for each in world.due if each[1] == row)
                if due:
                    after = self._stand(world, row, AWAKE) if world.rows[row] == ASLEEP else world
                    after = after._replace(due=after.due - due, waits=after.waits - due)
                    yield Step(f"a claim sees that {row} is due", after)

    def _holders(self, world: World, me: int, row: int, *, shared_too: bool) -> list[int]:
        """Those other than `me` who hold the row: instances, by their commits, or a stranger."""
        return [-1] * (world.held == row) + [
            other
            for other, commit in enumerate(world.commits)
            if commit is not None
            and other != me
            and (row in commit.locked or (shared_too and row in commit.shared))
        ]

    def _put(self, world: World, me: int, commit: Commit | None) -> World:
        return world._replace(commits=(*world.commits[:me], commit, *world.commits[me + 1 :]))

    def _stand(self, world: World, row: int, stands: str) -> World:
        return world._replace(rows=(*world.rows[:row], stands, *world.rows[row + 1 :]))
