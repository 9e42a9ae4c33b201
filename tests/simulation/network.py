"""The way from a process to the database: it takes its time, loses things, or delivers them much later."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from outlast.core.ports import Conflicted, JournalStore, Locked, Unreachable
from outlast.core.records import Batch, Committed
from outlast.testing.database import Database
from outlast.testing.rows import Blocked, Transaction
from tests.simulation.world import CYCLE_S, Process, World

T = TypeVar("T")

REFUSED, REQUEST_LOST, ANSWER_LOST, DELIVERED_LATE, CONFLICT, HELD, UNKNOWN = (
    "refused",
    "request lost",
    "answer lost",
    "delivered late",
    "conflict",
    "row held",
    "unknown error",
)
MISHAPS = (REFUSED, REQUEST_LOST, ANSWER_LOST, DELIVERED_LATE)
CONFLICTING = frozenset({"commit", "effect", "record transaction", "end transaction"})
WRITES = frozenset({"commit"})
"""The journal's, which may meet a row that somebody holds, or an error that nobody knows."""

PATIENCE_S = 35.0
"""After so long a caller gives a statement up, as the store's timeouts do."""

TIED_S_MAX = 0.5
"""So long an answer waits for a timer at most."""

TIED_CYCLES = 3
"""From an answer to what comes of it: its future, its task, the execution that it is for."""


class Unknown(Exception):
    """An error that nobody knows."""


_ERRORS: dict[str | None, type[Exception]] = {CONFLICT: Conflicted, HELD: Locked, UNKNOWN: Unknown}


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely what is, for each statement; `latency_s` is a usual way there or back."""

    mishap: float = 0.0
    conflict: float = 0.0
    latency_s: float = 0.0005
    slow: float = 0.02
    ties: float = 0.0
    """How often an answer comes a few cycles before a timer of its process: both are handled together."""
    sessions: bool = True


class Network:
    """All ways to one database. `planned`: mishaps by the numbers of statements, as they are sent."""

    def __init__(
        self, world: World, database: Database, weather: Weather, planned: dict[int, str] | None = None
    ) -> None:
        self.world = world
        self.database = database
        self.weather = weather
        self.sent = 0
        self.mishaps: dict[str, int] = {}
        self._planned = planned or {}
        self._held = random.Random(str(world.chance.getstate()))
        self._calm = False
        self.when_executed: Callable[[], None] = lambda: None
        """Called after each statement."""

    def calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self._calm = True

    def name_held(self, journal: JournalStore) -> None:
        """Let `journal` know at times of which workflows the rows are held."""
        commit = journal.commit

        async def naming(batch: Batch) -> Committed:
            try:
                return await commit(batch)
            except Locked as error:
                share = self._held.choice((0.0, 0.5, 1.0))
                held = {each for each in batch.workflow_ids if self._held.random() < share}
                raise Locked(str(error), held) from error

        journal.commit = naming  # type: ignore[method-assign]

    def link(self, process: Process) -> SimulatedLink:
        """The way of `process`."""
        return SimulatedLink(self, process)

    def delay_s(self) -> float:
        """How long a message is on its way: mostly usual, at times nothing, at times very long."""
        chance, usual = self.world.chance, self.weather.latency_s
        draw = chance.random()
        if draw < 0.2:
            return 0.0
        return chance.expovariate(1 / (usual * 100 if draw > 1 - self.weather.slow else usual))

    def fate(self, what: str) -> str | None:
        """What goes wrong with the statement that is sent now."""
        self.sent += 1
        chance = self.world.chance
        fate = self._planned.get(self.sent)
        if fate is None and not self._calm:
            if chance.random() < self.weather.mishap:
                fate = chance.choice(MISHAPS)
            elif what in CONFLICTING and chance.random() < self.weather.conflict:
                fate = CONFLICT
            elif what in WRITES and self._held.random() < self.weather.conflict / 2:
                fate = self._held.choice((HELD, UNKNOWN))
        if fate is not None:
            self.mishaps[fate] = self.mishaps.get(fate, 0) + 1
        return fate


class SimulatedLink:
    """See outlast.testing.stores.Link."""

    def __init__(self, network: Network, process: Process) -> None:
        self._network = network
        self._world = network.world
        self._database = network.database
        self._process = process
        self._session: int | None = None
        self._transactions: dict[Transaction, None] = {}  # in their order: a set has another in each run
        self._when_lost: Callable[[], None] = lambda: None
        self._when_due: Callable[[], None] = lambda: None
        self.down_until = 0.0

    @property
    def session(self) -> int | None:
        """See Link."""
        if not self._network.weather.sessions:
            return None
        if self._session not in self._database.sessions:
            self._session = self._database.connect()
        return self._session

    def when_lost(self, call: Callable[[], None]) -> None:
        """See Link."""
        self._when_lost = call

    def when_due(self, call: Callable[[], None]) -> None:
        """See Link."""
        self._when_due = call

    def told(self) -> None:
        """A notification came."""
        if self._network.weather.sessions and self._process.alive:
            self._process.loop.call_soon(self._when_due)

    def cut(self) -> None:
        """End the session, and every transaction that is open."""
        self._database.disconnect(self._session)
        if self._process.alive and self._world.chance.random() < 0.8:
            self._process.loop.call_soon(self._when_lost)
        for transaction in list(self._transactions):
            self._end(transaction)

    def partition(self, duration_s: float) -> None:
        """Let nothing through for a while. The database notices nothing of it."""
        self.down_until = self._world.now + duration_s

    def died(self) -> None:
        """The process was killed: what is left of it ends, soon mostly."""
        slow = self._world.chance.random() < 0.1
        self._world.at(self._world.chance.expovariate(1.0) if slow else 0.0, self.cut)

    async def call(self, what: str, statement: Callable[[], T], within: Transaction | None = None) -> T:
        """See Link."""
        world, fate = self._world, self._network.fate(what)
        if self._world.now < self.down_until:
            fate = REQUEST_LOST
        world.note(f"sends {what}{f': {fate}' if fate else ''}")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        sent_to = self._database.started_at
        there_s, back_s = self._network.delay_s(), self._network.delay_s()
        if fate is REFUSED or fate is REQUEST_LOST:
            world.at(there_s, lambda: self._deliver(future, None, Unreachable(fate)))
        else:
            late_s = world.chance.expovariate(1 / 2.0) if fate is DELIVERED_LATE else 0.0
            in_doubt = fate is ANSWER_LOST or fate is DELIVERED_LATE
            world.at(
                there_s + late_s,
                lambda: self._execute(what, statement, within, future, back_s, fate, sent_to),
            )
            world.at(
                there_s + back_s if in_doubt else PATIENCE_S,
                lambda: self._deliver(future, None, Unreachable(fate or "no answer")),
            )
        return await future

    def abandon(self, transaction: Transaction) -> None:
        """See Link."""
        world = self._world
        late_s = world.chance.expovariate(1 / 2.0) if world.chance.random() < 0.1 else 0.0
        world.at(late_s, lambda: self._end(transaction))

    def _end(self, transaction: Transaction) -> None:
        self._transactions.pop(transaction, None)
        self._database.rollback(transaction)

    def _execute(
        self,
        what: str,
        statement: Callable[[], T],
        within: Transaction | None,
        future: asyncio.Future[T],
        back_s: float,
        fate: str | None,
        sent_to: float,
    ) -> None:
        """The statement arrives at the database."""
        if (within is not None and not within.open) or sent_to != self._database.started_at:
            self._deliver(future, None, Unreachable("the connection is gone"))
            return
        result: T | None = None
        error = _ERRORS[fate]("by chance") if fate in _ERRORS else None
        if error is None:
            try:
                result = statement()
            except Blocked:
                self._database.when_released(
                    lambda: self._execute(what, statement, within, future, back_s, fate, sent_to)
                )
                return
            except Exception as refusal:
                error = refusal
        self._world.note(f"database did {what} of {self._process.name}")
        self._network.when_executed()
        in_doubt = fate is ANSWER_LOST or fate is DELIVERED_LATE
        if isinstance(result, Transaction):
            self._transactions[result] = None
            if in_doubt or future.done() or not self._process.alive:
                self._end(result)  # whoever began it knows nothing of it
        if not in_doubt:
            self._world.at(self._tied_s(back_s), lambda: self._deliver(future, result, error))

    def _tied_s(self, back_s: float) -> float:
        """How long the way back takes: by itself two things never happen in one cycle of a loop."""
        chance = self._world.chance
        if chance.random() >= self._network.weather.ties:
            return back_s
        timers = [each for each in self._process.timers_in_s() if each < TIED_S_MAX]
        if not timers:
            return back_s
        return max(0.0, chance.choice(timers) - chance.uniform(0, TIED_CYCLES * CYCLE_S))

    def _deliver(self, future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        """The answer arrives at the process, if there is one."""
        if not self._process.alive or future.done():
            return

        def settle() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._process.loop.call_soon(settle)
