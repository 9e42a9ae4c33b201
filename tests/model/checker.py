"""An explicit-state model checker: all that can be reached, breadth first, so that traces are shortest.

A model says where it starts, what can happen next, what must hold of each state and of each change, and
what its end is. From every state that end must be reachable by what needs no fault: AG EF end, in CTL.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

State = TypeVar("State", bound=Hashable)
Index = int


class Step(NamedTuple, Generic[State]):
    """Something that can happen: what it is, what becomes of the state, and whether it is a fault."""

    what: str
    state: State
    fault: bool = False


class Model(Protocol[State]):
    """What is checked."""

    def start(self) -> State:
        """The first state."""
        ...

    def steps(self, state: State) -> Iterable[Step[State]]:
        """All that can happen next."""
        ...

    def broken(self, before: State, after: State) -> str | None:
        """The name of a rule that the change, or the state after it, breaks."""
        ...

    def ended(self, state: State) -> bool:
        """Whether nothing more is to come of this state."""
        ...


@dataclass
class Verdict(Generic[State]):
    """What a search found. `broken` names a rule, `trace` is the shortest way to where it is broken."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    complete: bool = False
    """Whether every reachable state was looked at."""
    broken: str | None = None
    trace: list[str] = field(default_factory=list)
    last: State | None = None


UNREACHABLE_END = "from every state the end can be reached"


class Bound(Exception):
    """More states than the search was allowed."""


def check(model: Model[State], states_max: int) -> Verdict[State]:
    """Search all states of `model`; stop at the first rule that breaks. Raises Bound beyond `states_max`."""
    began = time.monotonic()
    search = _Search(model, states_max)
    gc.disable()  # a million tuples without a cycle among them
    try:
        search.run()
    finally:
        gc.enable()
    verdict = search.verdict
    if verdict.broken is None and (stuck := search.stuck()) is not None:
        verdict.broken, verdict.trace = UNREACHABLE_END, search.trace(stuck)
        verdict.last = search.states[stuck]
    verdict.complete = verdict.broken is None
    verdict.seconds = time.monotonic() - began
    return verdict


class _Search(Generic[State]):
    def __init__(self, model: Model[State], states_max: int) -> None:
        self.model = model
        self.states_max = states_max
        self.verdict: Verdict[State] = Verdict()
        self.states: list[State] = []
        self._index: dict[State, Index] = {}
        self._came_by: list[tuple[Index, str]] = []
        self._depths: list[int] = []
        self._before: list[list[Index]] = []
        """Of each state, those that lead to it without a fault."""
        self._ends: list[Index] = []

    def run(self) -> None:
        """Visit all states, nearest first."""
        first = self.model.start()
        queue = deque([self._add(first, -1, "")])
        while queue and self.verdict.broken is None:
            queue.extend(self._visit(queue.popleft()))
        self.verdict.states = len(self.states)
        self.verdict.depth = max(self._depths)

    def _visit(self, here: Index) -> Iterator[Index]:
        """Take every step from a state; give those that nobody saw before."""
        state = self.states[here]
        if self.model.ended(state):
            self._ends.append(here)
        for what, after, fault in self.model.steps(state):
            self.verdict.transitions += 1
            there = self._index.get(after)
            new = there is None
            if there is None:
                there = self._add(after, here, what)
            if not fault:
                self._before[there].append(here)
            if (rule := self.model.broken(state, after)) is not None:
                self.verdict.broken, self.verdict.last = rule, after
                self.verdict.trace = [*self.trace(here), what]
                return
            if new:
                yield there

    def _add(self, state: State, came_from: Index, what: str) -> Index:
        index = len(self.states)
        if index >= self.states_max:
            raise Bound(f"more than {self.states_max:,} states")
        self._index[state] = index
        self.states.append(state)
        self._came_by.append((came_from, what))
        self._depths.append(self._depths[came_from] + 1 if came_from >= 0 else 0)
        self._before.append([])
        return index

    def trace(self, index: Index) -> list[str]:
        """The shortest way to a state."""
        steps: list[str] = []
        while index > 0:
            index, what = self._came_by[index]
            steps.append(what)
        return steps[::-1]

    def stuck(self) -> Index | None:
        """The nearest state from which no end can be reached without a fault."""
        good = bytearray(len(self.states))
        queue = deque(self._ends)
        for index in self._ends:
            good[index] = 1
        while queue:
            for before in self._before[queue.popleft()]:
                if not good[before]:
                    good[before] = 1
                    queue.append(before)
        found = good.find(0)
        return None if found < 0 else found
