"""What bodies and steps of simulated workflows did in each of their lives, and what must hold of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from outlast.core.status import LIVE
from outlast.testing.database import Database
from tests.simulation.world import World


@dataclass
class Life:
    """One execution of a workflow on one instance. `known`: what was recorded when it began."""

    workflow_id: str
    instance_id: str
    epoch: int
    known: frozenset[str]
    execution: Any
    notes: list[str] = field(default_factory=list)
    shown: int = 0
    """How many notes there were when a step last began: something outside may depend on them."""
    owed: list[tuple[str, list[str]]] = field(default_factory=list)
    """Notes of earlier lives that this one must repeat, and whose they are."""

    def result(self, value: str) -> None:
        """A step's result reached the body."""
        self.decide(f"step {value}")

    def decide(self, text: str) -> None:
        """The body saw which came first, or how long it took. How a stop ends it counts not."""
        if self.execution.stopped is None:
            self.notes.append(text)


class Traces:
    """Those of one simulated world."""

    def __init__(self, world: World, database: Database, *, leases_only: bool) -> None:
        self.lives: dict[str, list[Life]] = {}
        self.executed = 0
        self.begun: set[tuple[str, str]] = set()
        """Steps whose bodies began: the workflow's id and the label."""
        self._world = world
        self._database = database
        self._leases_only = leases_only
        self._numbers = count(1)

    def begin_life(self, workflow_id: str) -> Life:
        """A body begins."""
        process = self._world.running
        assert process is not None
        execution = process.engine._executor.live[workflow_id]  # type: ignore[attr-defined]
        known = frozenset(str(each.output or each.error) for each in execution._history.records.values())
        texts = frozenset(_value(each) for each in known)
        life = Life(workflow_id, process.name, execution.epoch, texts, execution)
        earlier = self.lives.setdefault(workflow_id, [])
        for each in earlier:
            if each.epoch < life.epoch:
                life.owed.append((f"{each.instance_id} epoch {each.epoch}", each.notes[: each.shown]))
        earlier.append(life)
        self._world.note(f"{workflow_id} begins at epoch {life.epoch}, {len(known)} records")
        return life

    def begin_step(self, life: Life, label: str, seen: int) -> str:
        """The body of a step begins, called when there were `seen` notes; its result."""
        self.executed += 1
        self.begun.add((life.workflow_id, label))
        self._world.note(f"{life.workflow_id} runs {label}")
        recorded = self.recorded(life.workflow_id)
        for note in life.notes[:seen]:
            if note.startswith("step ") and note.removeprefix("step ") not in recorded:
                self._world.violation(f"{label} began before {note!r} was durable")
        if any(each.partition("#")[0] == label for each in life.known):
            self._world.violation(f"{life.workflow_id}: {label} ran again, though it was recorded")
        row = self._database.workflows[life.workflow_id]
        if row.epoch == life.epoch:
            life.shown = max(life.shown, seen)
        elif self._leases_only and row.status in LIVE:
            self._world.violation(
                f"{life.workflow_id}: {label} began at epoch {life.epoch}, when it was at {row.epoch}"
            )
        return f"{label}#{next(self._numbers)}"

    async def work(self, life: Life, label: str, seen: int) -> str:
        """A step that takes some time."""
        value = self.begin_step(life, label, seen)
        await asyncio.sleep(self._world.chance.choice([0, 0, 0.0005, 0.001, 0.003, 0.05]))
        return value

    def recorded(self, workflow_id: str) -> set[str]:
        """The results that the database holds of a workflow."""
        return {
            _value(str(record.step.output or record.step.error))
            for key, record in self._database.records.items()
            if key[0] == workflow_id
        }

    def violation(self, what: str) -> None:
        """A program saw what must never happen."""
        self._world.violation(what)

    def check(self) -> None:
        """All that must hold of the lives at the end."""
        for workflow_id, lives in self.lives.items():
            for life in lives:
                for whose, owed in life.owed:
                    common = min(len(owed), len(life.notes))
                    if life.notes[:common] != owed[:common]:
                        now = f"{life.instance_id} epoch {life.epoch} decided {life.notes[:common]}"
                        self._world.violation(f"{workflow_id}: {now}, but {whose} had {owed}")


def _value(text: str) -> str:
    """The `label#number` in the text of an output or an error."""
    document: Any = json.loads(text)
    if isinstance(document, dict):
        document = document.get("message", "")
    return str(document)


_current: list[Traces] = []


def current_traces() -> Traces:
    """Those of the world that runs now."""
    return _current[-1]


@contextmanager
def current(traces: Traces) -> Iterator[None]:
    """Make them the current ones; nothing of them is kept afterwards."""
    _current[:] = [traces]
    try:
        yield
    finally:
        _current.clear()
