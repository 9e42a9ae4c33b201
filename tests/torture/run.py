"""The story of a run: start all, let it warm up, torture, heal, see that everything ended, check it all."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from outlast.store.maps import IDLE_S
from tests.faketime import FAKETIME
from tests.pooler import Pooler, program
from tests.torture.clients import Clients, Told
from tests.torture.faults.field import Fault, Field
from tests.torture.fleet import Fleet, Slot, Way, environment
from tests.torture.oracles.effects import Effects
from tests.torture.oracles.history import History
from tests.torture.oracles.leaks import Census, census, check_sessions, compare
from tests.torture.oracles.liveness import Liveness
from tests.torture.oracles.queues import Limits
from tests.torture.oracles.results import Results
from tests.torture.oracles.sagas import Sagas
from tests.torture.oracles.schedules import Schedules
from tests.torture.oracles.takeover import Takeovers
from tests.torture.oracles.violations import Violations, say
from tests.torture.oracles.window import Windows
from tests.torture.proxy import Proxy
from tests.torture.schedule import Strike, plan
from tests.torture.server import Server
from tests.torture.witness import Witness
from tests.torture.workload import Orders

LOOK_EVERY_S = 3.0
WARM_UP_S = 6.0
HEAL_WITHIN_S = 30.0
END_WITHIN_S = 30.0
ASK_WITHIN_S = (12.0, 45.0)
"""At the end of a short run and of an hour."""
TELL_EVERY_S = 60.0
CLIENTS_AT_ONCE = 250
POOL = 20
"""Server connections behind the pooler."""


@dataclass(frozen=True)
class Wishes:
    """What a run is asked to be."""

    minutes: float
    seed: str
    hosts: int
    rate: float
    package: Path | None
    faults: Sequence[Fault]
    folder: Path


@dataclass
class Outcome:
    """What a run found and counted."""

    violations: Violations = field(default_factory=Violations)
    left_out: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    recent: list[str] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)
    checks: int = 0
    asked_again: int = 0
    drained_s: float = 0.0
    tortured_s: float = 0.0
    censuses: tuple[Census, Census] | None = None
    unexpected: Counter[str] = field(default_factory=Counter)


class Run:
    """Owns everything; `close` leaves nothing behind, whatever happened before."""

    def __init__(self, wishes: Wishes) -> None:
        self.wishes = wishes
        self.outcome = Outcome()
        violations = self.outcome.violations
        env = environment(wishes.package)
        self.server = Server(wishes.folder, env)
        self.proxy = Proxy(self.server.socket)
        binary = program()
        self.pooler = Pooler(binary, self.server.url, POOL) if binary else None
        if self.pooler is None:
            self._leave_out("PgBouncer is not installed: no instance comes in by a transaction pooler")
        self.fleet = Fleet(self._slots(env))
        self.takeovers = Takeovers()
        self.field = Field(self.fleet, self.server, self.proxy, self.pooler, self.takeovers)
        self.told = Told(violations)
        self.witness = Witness(wishes.folder)
        self.orders = Orders(wishes.seed)
        self.clients = Clients(self.fleet, self.orders, self.told, violations, wishes.seed)
        self.windows = Windows(self.server)
        self.history = History(violations)
        self.effects = Effects(self.server, self.witness, violations)
        self.results = Results(self.server, self.told, self.witness, violations)
        self.liveness = Liveness(self.server, self.told, violations)
        self.limits = Limits(self.server, violations)
        self.schedules = Schedules(self.server, violations)
        self.sagas = Sagas(self.server, violations)
        self._tasks: list[asyncio.Task[None]] = []
        self._looked_enough = asyncio.Event()

    def _leave_out(self, why: str) -> None:
        self.outcome.left_out.append(why)
        say(f"LEFT OUT: {why}")

    def _slots(self, env: dict[str, str]) -> list[Slot]:
        """The ways in take turns; the first is spared from death, so that what it leaks adds up."""
        ways: list[Way] = ["direct", "proxy", "pooler" if self.pooler else "proxy"]
        slots = [
            Slot(number, ways[number % 3], self._url(ways[number % 3]), env, self.wishes.folder)
            for number in range(self.wishes.hosts)
        ]
        slots[0].spared = True
        if FAKETIME is None:
            self._leave_out("libfaketime is not installed: no instance's clock jumps")
        else:
            slots[-1].shift_clock(FAKETIME)
        self.outcome.ways = [slot.name for slot in slots]
        return slots

    def _url(self, way: Way) -> str:
        if way == "pooler" and self.pooler is not None:
            return self.pooler.url
        return self.server.url  # the proxy's port isn't known yet: see `start`

    async def start(self) -> None:
        """Open the ways, start the hosts."""
        await self.proxy.open()
        for slot in self.fleet.slots:
            if slot.way == "proxy":
                slot.come_in_by(f"postgresql://postgres@127.0.0.1:{self.proxy.port}/postgres")
        if self.pooler is not None:
            self.pooler.start()
        await self.fleet.start()
        self._watching = self._begin(self.fleet.watch())

    async def torture(self) -> None:
        """Warm up, then strike as planned while clients work and the oracles look."""
        wishes, outcome = self.wishes, self.outcome
        loop = asyncio.get_running_loop()
        self._working = self._begin(self.clients.work(wishes.rate, CLIENTS_AT_ONCE))
        self._looking = self._begin(self._look_on())
        self._watchers = [self._begin(each.look_on()) for each in (self.limits, self.schedules)]
        await asyncio.sleep(WARM_UP_S)
        first = await census(self.fleet.slots[0], self.server)
        usable = []
        for fault in wishes.faults:
            if (why := fault.missing(self.field)) is None:
                usable.append(fault)
            else:
                self._leave_out(f"{fault.name}: {why}")
        for_s = wishes.minutes * 60 - WARM_UP_S
        began = loop.time()
        strikes: set[asyncio.Task[None]] = set()
        for strike in plan(wishes.seed, usable, for_s):
            await asyncio.sleep(max(0.0, began + strike.at_s - loop.time()))
            self.field.quiet = strike.quiet
            task = loop.create_task(self._strike(strike))
            strikes.add(task)
            task.add_done_callback(strikes.discard)
        await asyncio.sleep(max(0.0, began + for_s - loop.time()))
        outcome.tortured_s = loop.time() - began
        say("healing")
        for task in strikes:
            task.cancel()
        await asyncio.gather(*strikes, return_exceptions=True)
        self._first_census = first

    async def _strike(self, strike: Strike) -> None:
        fault, outcome = strike.fault, self.outcome
        line = f"{time.strftime('%H:%M:%S')} {fault.name}"
        outcome.recent = [*outcome.recent[-39:], line]
        try:
            hit = await fault.strike(self.field, random.Random(strike.seed))
        except asyncio.CancelledError:
            hit = True
        except Exception as error:  # a fault that fails is a fault of the suite: say so, go on
            outcome.unexpected[f"the suite: {fault.name}: {error!r}"] += 1
            hit = False
        (outcome.struck if hit else outcome.missed)[fault.name] += 1

    async def heal(self) -> None:
        """Undo all harm: every way open, every host up."""
        for slot in self.fleet.slots:
            if slot.clock is not None:
                slot.set_clock(0)
        if self.pooler is not None:
            self.pooler.start()
        with suppress(RuntimeError):
            await self.fleet.all_up()
        await self.clients.finish(HEAL_WITHIN_S)

    async def settle(self) -> None:
        """See that everything ends, and check it all."""
        outcome = self.outcome
        await self.schedules.pause()
        outcome.drained_s = await self.liveness.all_end(END_WITHIN_S)
        self._looked_enough.set()
        await self._looking
        # What ended after the last look, then what only shows when all has ended.
        await self._look()
        for order in self.clients.unanswered:
            outcome.violations.add("a call was never answered", order.workflow_id, repr(order))
        await self.liveness.none_lost()
        for watcher in self._watchers:
            if watcher.done():
                watcher.result()  # it ends by an error alone
        await self.limits.look_at_all()
        await self.schedules.look_at_all()
        await self.sagas.look_at_all()
        await self.clients.visitors.look_at_all(self.server)
        await self.effects.look_at_all()
        await self.clients.let_go()
        await asyncio.sleep(IDLE_S + 1.0)  # bodies that read a map's results had a connection of their own
        with suppress(httpx.TransportError):
            last = await census(self.fleet.slots[0], self.server)
            outcome.censuses = (self._first_census, last)
            compare(self.fleet.slots[0], self._first_census, last, outcome.violations)
        await check_sessions(self.fleet.slots, self.server, outcome.violations)
        outcome.asked_again = await self.clients.ask_all_again(
            min(ASK_WITHIN_S[1], ASK_WITHIN_S[0] + self.wishes.minutes)
        )
        await self._look()
        self.results.compare_all()
        oracles = (
            self.history,
            self.effects,
            self.results,
            self.liveness,
            self.limits,
            self.schedules,
            self.sagas,
            self.clients.visitors,
        )
        outcome.checks = sum(oracle.checks for oracle in oracles)

    async def _look_on(self) -> None:
        """Look every few seconds. A look that has begun is never cut off: its window would be lost."""
        began = told = time.monotonic()
        while not self._looked_enough.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._looked_enough.wait()
            await self._look()
            if time.monotonic() - told >= TELL_EVERY_S:
                told = time.monotonic()
                self._tell(told - began)

    def _tell(self, passed_s: float) -> None:
        """How it goes."""
        ended, struck = self.results.ended.total(), self.outcome.struck.total()
        violations = self.outcome.violations.counts.total()
        up = sum(1 for slot in self.fleet.slots if slot.up)
        say(
            f"{passed_s / 60:3.0f} min: {ended:,} workflows ended, {struck:,} faults, "
            f"{violations} violations, {up} hosts up"
        )

    async def _look(self) -> None:
        window = await self.windows.next()
        again = self.witness.listen()
        self.history.look(window)
        self.takeovers.look(window)
        await self.effects.look(window, again)
        await self.results.look(window)
        await self.liveness.look()
        for slot in self.fleet.slots:
            if (status := slot.died()) is not None:
                tail = slot.said()[-1500:]
                self.outcome.violations.add(
                    "a host ended by itself", f"{slot.name} life {slot.lives}", f"{status}: {tail}"
                )
                slot.start()

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        return task

    async def close(self) -> None:
        """Leave nothing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with AsyncExitStack() as all_of_it:  # in reverse, and each whatever became of the others
            all_of_it.push_async_callback(asyncio.to_thread, self.server.stop)
            if self.pooler is not None:
                all_of_it.callback(self.pooler.close)
            all_of_it.push_async_callback(self.proxy.close)
            all_of_it.callback(self.fleet.close)
            all_of_it.push_async_callback(self.clients.close)
            all_of_it.push_async_callback(self.clients.finish, 0.0)
