"""A simulated world for one test or one run: time, a database, and one process after the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from pydantic_core import to_json

from outlast.core.observations import (
    ArgumentsChanged,
    BodyReads,
    CallUnawaited,
    LoopFailed,
    Observation,
    ScheduleFailed,
    WorkflowHeld,
)
from outlast.core.records import WorkflowState
from outlast.core.status import LIVE, Status
from outlast.core.stops import HandedOver
from outlast.sdk.operations import Operation
from outlast.testing.bounds import Bounds, Counts
from outlast.testing.catalog import GivenCatalog
from outlast.testing.clock import given_time
from outlast.testing.committing import Mishap, PointedStore, Way
from outlast.testing.database import Database
from outlast.testing.doubles import Doubles
from outlast.testing.errors import Deadlock
from outlast.testing.misuse import audited, said_of
from outlast.testing.operations import WatchedOperations
from outlast.testing.outcomes import outcome_in, signals_heard
from outlast.testing.points import Place, Points
from outlast.testing.processes import FOREVER_S, OPTIONS, Process
from outlast.testing.rows import Limits
from outlast.testing.seen import LifeSeen, Seen
from outlast.testing.statements.holds import HoldStatements
from outlast.testing.statements.messages import MessageStatements
from outlast.testing.statements.schedules import ScheduleStatements
from outlast.testing.statements.workflows import WorkflowStatements
from outlast.testing.virtual import Time
from outlast.testing.waiting import waits_of, why_stuck

T = TypeVar("T")

BEGAN_S = 1_767_225_600.0
"""When each world begins: 2026-01-01, in Unix seconds."""

JUMPS_MAX = 200_000
"""After this many jumps of time, a call counts as going round in circles."""

LOOK_EVERY = 64
SETTLE_S = 0.015
LOOK_LATER_S = 0.001
"""How long after a due time to look, so that it is due by any rounding."""

HAND_OVER, CANCEL = "hand over", "cancel"


class Act(NamedTuple):
    """An act at a point of the first life: HAND_OVER or CANCEL."""

    point: int
    what: str


@dataclass(frozen=True)
class Setting:
    """What all worlds of a test have in common."""

    catalog: GivenCatalog
    doubles: Doubles = field(default_factory=Doubles)
    answers: dict[str, Any] = field(default_factory=dict)
    """By topic, the value that is sent to workflows waiting for it."""
    bounds: Bounds = field(default_factory=Bounds)
    seed: int = 0
    connect: Connect | None = None
    """Makes the store of transactions if they run on Postgres."""


class World:
    """A world. Only one thread at a time uses it."""

    def __init__(
        self,
        setting: Setting,
        *,
        targets: list[int] | None = None,
        watch: bool = True,
        closely: bool = True,
        act: Act | None = None,
        mishaps: dict[int, Mishap] | None = None,
        operations: type[WatchedOperations] = WatchedOperations,
    ) -> None:
        """`targets`: at which points processes are killed; `act`: what else is done at one.

        `mishaps`: what goes wrong with which commits, by number.

        `watch`: look for misuse in bodies, which is slow; `closely`: record calls, too.
        """
        self.time = Time(1_000.0)
        self.setting = setting
        self.catalog = setting.catalog
        self.database = Database(self.now_s, random.Random(setting.seed), Limits(letters=100))
        self.seen = Seen()
        self.points = Points(
            self._kill, targets or [], None if act is None else (act.point, partial(self._act, act.what))
        )
        self.recorded_at: list[set[tuple[str, str]]] = []
        """The records that existed at each kill."""
        self.effects_at: list[int] = []
        self.refusals: list[str] = []
        """Texts that the test must fail with, no matter what the workflow does."""
        self.faults: list[str] = []
        self.process: Process | None = None
        self.dead: list[Process] = []
        self.deadlock: Deadlock | None = None
        self.interrupted = False
        self._outcome: BaseException | None = None
        self.other_arguments: list[tuple[str, Place]] = []
        self._closely = closely
        self._options = replace(OPTIONS, watch_bodies=watch)
        self._operations = operations(
            setting.doubles,
            self.seen,
            self.points,
            self.refusals.append,
            setting.connect is not None,
            closely=closely,
            hear=self.hear,
            count=self._count,
        )
        self._counts = Counts(setting.bounds)
        self._way = Way(mishaps or {})
        self._transactions: Any = None
        self._until: Callable[[], bool] = lambda: True
        self._horizon: float | None = None
        self._to_the_end = True
        self._jumps = 0
        self._processes = 0
        self._answered: set[tuple[str, str]] = set()

    def now_s(self) -> float:
        """Unix seconds."""
        return BEGAN_S + self.time.now - 1_000.0

    # --- processes ----------------------------------------------------------------------------------------

    def start_process(self) -> Process:
        """Start a process, if none runs."""
        if self.process is not None:
            return self.process
        self._processes += 1
        name = f"process-{self._processes}"
        if self._processes > 1:
            self.points.next_life()
            self.seen.lives.append(LifeSeen())
        store = PointedStore(self.database, name, self.points, self.seen, self._way)
        if self.setting.connect is not None:
            store.transactions = self._transactions = self.setting.connect(self, name)
        self.process = Process(
            name, self.time, store, self.catalog, self._operations, self.seen.lives[-1], self._observe,
            self._options, self._on_idle, self.hear, closely=self._closely,
        )  # fmt: skip
        self._run(self.process.open())
        return self.process

    def _kill(self) -> None:
        process, self.process = self.process, None
        assert process is not None
        process.kill()
        self.dead.append(process)
        self._lose_connections()
        records = self.database.records.items()
        self.recorded_at.append({key for key, each in records if each.step.completion_order is not None})
        self.effects_at.append(len(self.seen.effects))
        self.database.restart()
        self.database.end_lease(process.name)
        self.time.now += 1.0  # until another one is there

    def _lose_connections(self) -> None:
        transactions, self._transactions = self._transactions, None
        if transactions is not None:
            transactions.lose()

    def _act(self, what: str) -> None:
        """Hand over what runs, as in a deploy whose steps took too long; or cancel it."""
        process = self.process
        if process is None:
            return
        if what == HAND_OVER:
            for execution in process.live:
                execution.stop(HandedOver("the instance shuts down"))
            return
        for workflow_id, row in self.database.workflows.items():
            if row.new.parent is None and row.status in LIVE:  # not the ones that it started
                _ = process.loop.create_task(process.engine.cancel(workflow_id, "the weather"))

    def abandon(self) -> list[Process]:
        """Stop everything; return the processes, which must be buried."""
        left = [*self.dead, *([self.process] if self.process is not None else [])]
        self.process = None
        self.dead.clear()
        self._lose_connections()
        for each in left:
            each.loop.close_files()
        return left

    def over(self) -> bool:
        """Whether every workflow has ended."""
        return all(row.status not in LIVE for row in self.database.workflows.values())

    def end(self) -> None:
        """End and free all processes."""
        process, self.process = self.process, None
        self.interrupted = False
        with self._driving():
            if process is not None:
                self._until, self._horizon = (lambda: False), None
                process.own()
                process.end()
            for each in self.dead:
                each.bury()
        self.dead.clear()
        self._lose_connections()

    # --- driving ------------------------------------------------------------------------------------------

    def ask(self, wish: Callable[[Process], Coroutine[Any, Any, T]]) -> T:
        """Run `wish` on the process's loop and return its result, without letting time pass for it."""
        with self._driving():
            process = self.start_process()
            return self._run(wish(process))

    def drive(
        self, until: Callable[[], bool], horizon_s: float | None = None, *, to_the_end: bool = True
    ) -> None:
        """Let time pass until `until` holds, or for `horizon_s`; a killed process is replaced.

        `to_the_end`: let all of these seconds pass, even if nothing is left to do.

        Raises Deadlock if neither can come.
        """
        horizon = None if horizon_s is None else self.time.now + horizon_s
        self._jumps = 0
        self._to_the_end = to_the_end
        self._counts.bounds_waits = horizon_s is None
        with self._driving(), self._counts.of_one_call():
            while True:
                try:
                    process = self.start_process()
                except ProcessKilled:
                    continue
                self._until, self._horizon, self.deadlock = until, horizon, None
                process.loop.run_forever()
                if self.interrupted or self._outcome is not None:
                    raise KeyboardInterrupt
                if self.process is None:
                    continue  # it was killed
                if self.deadlock is not None:
                    raise self.deadlock
                return

    def settle(self) -> None:
        """Let happen what happens at once, including short pauses of the engine itself."""
        self.drive(lambda: False, SETTLE_S, to_the_end=False)

    def _run(self, coro: Coroutine[Any, Any, T]) -> T:
        process = self.process
        assert process is not None
        task = process.loop.create_task(coro)
        self._until, self._horizon, self.deadlock = task.done, None, None
        task.add_done_callback(lambda _: process.loop.stop())
        process.loop.run_forever()
        if not task.done():
            if self.process is None:
                raise ProcessKilled
            raise self.deadlock or KeyboardInterrupt
        result: T = task.result()
        return result

    @contextmanager
    def _driving(self) -> Iterator[None]:
        with (
            given_time(self.time.monotonic, self.setting.seed),
            audited(self._misused),
            signals_heard(self.hear),
            self._outcome_raised(),
        ):
            if self.process is not None:
                self.process.own()
            yield

    @contextmanager
    def _outcome_raised(self) -> Iterator[None]:
        """If the test has an outcome, raise it, no matter what else happened."""
        try:
            yield
        finally:
            outcome, self._outcome = self._outcome, None
            if outcome is not None:
                outcome.__suppress_context__ = True  # what it did to the workflow doesn't matter
                raise outcome

    def hear(self, error: BaseException | None) -> None:
        """Note an exception: an outcome of the test ends it, even if somebody catches it on the way."""
        if (outcome := outcome_in(error)) is not None:
            self._end_with(outcome)

    def _end_with(self, outcome: BaseException) -> None:
        if self._outcome is None:
            self._outcome = outcome
            if self.process is not None:
                self.process.loop.call_soon_threadsafe(self.process.loop.stop)

    def _count(self, workflow_id: str, step_id: str, operation: Operation) -> None:
        place = self.seen.place_of(workflow_id, step_id)
        endless = self._counts.add(workflow_id, operation.kind, operation.name, self.now_s(), place)
        if endless is not None:
            self._end_with(endless)

    def _on_idle(self, at: float | None) -> bool:
        if self._until() or self.interrupted or self._outcome is not None:
            return False
        if self._look_for_ends():
            return True
        if self._wake_for_a_tick(at):
            return True
        if self._horizon is not None and (at is None or at > self._horizon):
            if self._wake_before_the_horizon(self._horizon):
                return True
            if self._to_the_end:
                self.time.now = max(self.time.now, self._horizon)
            return False
        self._jumps += 1
        if (self.setting.answers and self._answer()) or self._wake_for_what_is_due(at):
            return True
        if self._horizon is not None:
            return True  # that is its limit
        never = at is None or at - self.time.now >= FOREVER_S * 0.9
        if never or self._jumps % LOOK_EVERY == 0 or self._jumps > JUMPS_MAX:
            why = why_stuck(self.process, self.database, self.seen, certain=never or self._jumps > JUMPS_MAX)
            if why is not None:
                self.deadlock = Deadlock(why)
                return False
        return True

    def _look_for_ends(self) -> bool:
        """Look for ends that others write, which an instance does often: here only when there is one."""
        waits = None if self.process is None else self.process.engine._waits
        if waits is None or waits.failing:
            return False
        rows = self.database.workflows
        known = [each for each in waits.that_run_elsewhere() if each in rows]
        ended = [each for each in known if rows[each].status not in LIVE]
        for each in ended:
            waits.moved(each)
        return bool(ended)

    def _wake_for_what_is_due(self, at: float | None) -> bool:
        """Look for what is due, which an instance does regularly: here only when something is."""
        due_at = min(self._dues(), default=FOREVER_S)
        return not (due_at >= FOREVER_S or (at is not None and due_at > at - 0.05)) and self._look_at(due_at)

    def _wake_before_the_horizon(self, horizon: float) -> bool:
        """The same if nothing else happens by then.

        What was due at the last look waits for something else.
        """
        if self.process is None:
            return False
        looked_at = self.process.engine._membership._claimed_at
        due_at = min((each for each in self._dues() if each > looked_at), default=FOREVER_S)
        return due_at + LOOK_LATER_S <= horizon and self._look_at(due_at)

    def _dues(self) -> Iterator[float]:
        """When waiting workflows may be claimed, or are too late for their queue, in the loop's time."""
        for row in self.database.workflows.values():
            if row.claimable_at is not None and row.held is None:
                due_at = self.time.now + row.claimable_at - self.now_s()
                yield due_at
                if row.new.queue is not None and row.status is Status.ENQUEUED:
                    within_s = self.database.queue(row.new.queue).options.get("start_within")
                    if within_s is not None:
                        yield due_at + within_s

    def _look_at(self, due_at: float) -> bool:
        process = self.process
        if process is not None:
            process.loop.call_at(max(due_at, self.time.now) + LOOK_LATER_S, process.engine._due)
        return process is not None

    def _wake_for_a_tick(self, at: float | None) -> bool:
        """The same for schedules, if a test lets any tick."""
        due_s, process = self._next_tick_s(), self.process
        if due_s is None or process is None:
            return False
        due_at = self.time.now + due_s - self.now_s()
        if (self._horizon is not None and due_at > self._horizon) or (at is not None and due_at > at - 0.05):
            return False
        process.loop.call_at(max(due_at, self.time.now) + 0.001, process.engine._schedules_changed)
        return True

    def _next_tick_s(self) -> float | None:
        """When the next schedule must be looked at, if there is one."""
        now_s, process = self.now_s(), self.process
        if process is not None and self.catalog.schedules() != process.engine._ticker.declared:
            return now_s
        statements, times = ScheduleStatements(self.database, ""), []
        for name, row in self.database.schedules.items():
            if row.ticks and statements.is_ready(name, row):
                times.append(now_s)
            elif row.ticks and row.next_at is not None:
                times.append(row.next_at.timestamp())
        return min(times, default=None)

    def _answer(self) -> bool:
        """Send the answers that are waited for; return whether any was sent.

        Time must not jump before they arrive.
        """
        sent = False
        for workflow_id, row in self.database.workflows.items():
            if row.status not in LIVE:
                continue
            for wait in waits_of(self.process, self.database, workflow_id):
                key = f"answer to {wait.step_id}"
                if (
                    wait.topic is None
                    or wait.topic not in self.setting.answers
                    or (workflow_id, key) in self._answered
                ):
                    continue
                self._answered.add((workflow_id, key))
                answer = to_json(self.setting.answers[wait.topic]).decode()
                MessageStatements(self.database).send(workflow_id, answer, wait.topic, key)
                sent = True
        if sent and self.process is not None:
            self.process.engine._delivery.arrived()
        return sent

    def interrupt(self) -> None:
        """Stop, called from another thread: the caller no longer waits."""
        self.interrupted = True
        if self.process is not None:
            self.process.loop.call_soon_threadsafe(self.process.loop.stop)

    # --- what is seen -------------------------------------------------------------------------------------

    def state(self, workflow_id: str) -> WorkflowState | None:
        """The state of a workflow."""
        return WorkflowStatements(self.database).find([workflow_id]).get(workflow_id)

    def ended(self, workflow_id: str) -> bool:
        """Whether it has ended."""
        row = self.database.workflows.get(workflow_id)
        return row is not None and row.status not in LIVE

    def _observe(self, observation: Observation) -> None:
        if isinstance(observation, BodyReads):
            file, _, line = observation.place.rpartition(":")
            self._misused((file, int(line)), said_of(observation.what, observation.instead))
        elif isinstance(observation, CallUnawaited):
            file, _, line = observation.place.rpartition(":")
            name = observation.name
            self._misused(
                (file, int(line)),
                f"calls {name}(…) without `await`: it does nothing; write `await {name}(…)`",
            )
        elif isinstance(observation, WorkflowHeld):
            # No other code will come: what a deploy would fix ends here.
            HoldStatements(self.database, "").end(-1.0)
        elif isinstance(observation, ArgumentsChanged):
            file, _, line = observation.place.rpartition(":")
            self.other_arguments.append((observation.name, (file, int(line))))
        elif isinstance(observation, LoopFailed | ScheduleFailed):
            self.faults.append(str(observation))

    def _misused(self, place: Place, what: str) -> None:
        self.seen.reads.setdefault(place, what)


Connect = Callable[[World, str], Any]
"""Makes the store of transactions of a process, given its name."""


class ProcessKilled(Exception):
    """The process was killed before it answered."""
