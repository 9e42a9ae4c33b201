"""One run of a workflow in its own world, killed at given points, and its outcome."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from outlast.core.callers import Caller
from outlast.core.records import WorkflowState
from outlast.core.status import Status
from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.clock import campaign_time
from outlast.testing.committing import Mishap
from outlast.testing.errors import Deadlock
from outlast.testing.points import Place, Point
from outlast.testing.processes import Process
from outlast.testing.replaying import History, history_of
from outlast.testing.seen import Seen
from outlast.testing.starting import workflow_of_call
from outlast.testing.worlds import CANCEL, HAND_OVER, Act, ProcessKilled, Setting, World

Key = tuple[str, str]
"""The ids of a workflow and a step."""


class RecordSeen(NamedTuple):
    """A record at the end: it must be the same after a crash."""

    kind: str
    name: str
    output: str | None
    error: str | None


@dataclass(frozen=True)
class Subject:
    """The workflow to try with its arguments, in a setting."""

    definition: WorkflowDefinition
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    caller: Caller
    setting: Setting
    before_each: Callable[[], None] | None
    raises: type[Exception] | tuple[type[Exception], ...] | None = None
    """What the workflow should raise; None: it should succeed."""


@dataclass
class Trial:
    """A run and its outcome."""

    targets: list[int]
    act: Act | None
    mishaps: dict[int, Mishap]
    kills: list[Point]
    acted: Point | None
    lives: list[list[Point]]
    """The points of each process."""
    ends: dict[str, tuple[Status, str | None, str | None]]
    """For each workflow: status, output, error."""
    records: dict[Key, RecordSeen]
    recorded_at: list[set[Key]]
    """The records that existed at each kill."""
    effects_at: list[int]
    """How many effects had been begun at each kill."""
    seen: Seen
    history: History
    state: WorkflowState | None
    """The state of the workflow itself, at the end; None if it couldn't be started."""
    deadlock: str | None = None
    faults: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    other_arguments: list[tuple[str, Place]] = field(default_factory=list)
    """Calls of a replay with other arguments than are recorded."""

    @property
    def where(self) -> str:
        """At which points it was killed."""
        told = [f"killed {each.text}" for each in self.kills]
        if self.act is not None and self.acted is not None:
            told.append(f"{'handed over' if self.act.what == HAND_OVER else 'cancelled'} {self.acted.text}")
        told += [f"commit {number} {what}" for number, what in sorted(self.mishaps.items())]
        return " and then ".join(told) or "no crash"

    @property
    def place(self) -> Place | None:
        """The place of the last kill that has one."""
        points = [*self.kills, *([self.acted] if self.acted else [])]
        return next((each.place for each in reversed(points) if each.place), None)


class many_trials:  # noqa: N801 - no generator: what a body raises may refuse to pass one
    """Runs trials one after the other, quietly. At its end the processes in the list are buried."""

    def __enter__(self) -> list[Process]:
        self._graves: list[Process] = []
        self._around = ExitStack()
        self._around.enter_context(quiet())
        self._around.enter_context(campaign_time())
        return self._graves

    def __exit__(self, *_: object) -> None:
        with closing(self._around):
            for each in self._graves:
                each.bury()


def run_trial(
    subject: Subject,
    graves: list[Process],
    targets: list[int] | None = None,
    *,
    watch: bool = False,
    closely: bool = False,
    later_s: float = 0.0,
    act: Act | None = None,
    mishaps: dict[int, Mishap] | None = None,
) -> Trial:
    """Run until every workflow has ended. The processes are left in `graves`, to be buried later.

    `closely`: each call of the body is recorded with its place, which is slow. `later_s`: how much later the
    world begins.
    """
    if subject.before_each is not None:
        subject.before_each()
    subject.setting.doubles.reset()
    world = World(subject.setting, targets=targets, act=act, mishaps=mishaps, watch=watch, closely=closely)
    world.time.now += later_s
    deadlock = workflow_id = None
    try:
        workflow_id = _start(world, subject)
        # Workflows that a cancelled one has started may wait for it for ever.
        cancels = act is not None and act.what == CANCEL
        world.drive(partial(world.ended, workflow_id) if cancels else world.over)
    except Deadlock as error:
        deadlock = str(error)
    finally:
        graves += world.abandon()
    database = world.database
    return Trial(
        targets or [],
        act,
        mishaps or {},
        world.points.kills,
        world.points.acted,
        world.points.lives,
        {each: (row.status, row.output, row.error) for each, row in database.workflows.items()},
        {
            key: RecordSeen(each.step.kind, each.step.name, each.step.output, each.step.error)
            for key, each in database.records.items()
            if each.step.completion_order is not None
        },
        world.recorded_at,
        world.effects_at,
        world.seen,
        history_of(database, world.seen.lives[0].calls),
        None if workflow_id is None else world.state(workflow_id),
        deadlock,
        world.faults,
        world.refusals,
        world.other_arguments,
    )


def _start(world: World, subject: Subject) -> str:
    """Start it as a client does, which calls again with the same key if no answer comes; return its id."""
    new = workflow_of_call(world, subject.definition, subject.args, subject.kwargs, subject.caller, "crash")

    async def start(process: Process) -> None:
        await process.engine.starts.start_new(new, subject.definition, None)

    while True:
        try:
            world.ask(start)
        except ProcessKilled:
            continue
        return new.workflow_id


@contextmanager
def quiet() -> Iterator[None]:
    """Within this there is no garbage collection, no warning, and no unraisable exception."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook
        if collecting:
            gc.enable()
