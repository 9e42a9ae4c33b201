"""Runs of workflows written by hand. A new one is only what differs: what it calls, and what must hold."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from outlast.core.errors import OutlastError
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable, Unreachable
from outlast.core.records import DeclaredQueue, NewWorkflow
from outlast.core.schedules import Declared
from outlast.core.status import LIVE
from outlast.testing.catalog import GivenCatalog
from outlast.testing.rows import RowRefused
from tests.quiet import quietly
from tests.simulation.network import Weather
from tests.simulation.plans import Plan
from tests.simulation.scenario import UNIX_S, Instance, Scenario

PATIENCE_S = 8.0
"""So long somebody waits for an instance before another one is asked."""

here: list[Any] = []
"""The run that plays: what its steps ask."""


def a_plan(
    chance: random.Random, name: str, faults: Sequence[str], lasts_s: float, *,
    early: float | None = None, counts: Sequence[int] = (0, 1, 3, 6), instances: Sequence[int] = (1, 2, 3),
    mishap: Sequence[float] = (0.0, 0.0, 0.02, 0.1), conflict: Sequence[float] = (0.0, 0.05),
) -> Plan:  # fmt: skip
    """The weather, the faults and how many instances there are; `name` begins with the seed.

    `early`: how many times a second something goes wrong, in half of all cases.
    """
    weather = Weather(
        mishap=chance.choice(mishap), conflict=chance.choice(conflict),
        latency_s=chance.choice([0.0002, 0.002]), slow=chance.choice([0.0, 0.05]),
        sessions=chance.random() < 0.5, ties=chance.choice([0.0, 0.3]),
    )  # fmt: skip

    def moment_s() -> float:
        if early is None:
            return chance.uniform(0, lasts_s)
        return chance.choice([chance.expovariate(early), chance.uniform(0, lasts_s)])

    drawn = sorted((moment_s(), chance.choice(faults)) for _ in range(chance.choice(counts)))
    seed = int(name.partition(":")[0])
    moment = random.Random(seed).choice([0.2, 0.2, 0.002])
    return Plan(name, seed, chance.choice(instances), [], weather, drawn, moment_s=moment)


class Offered(GivenCatalog):
    """The workflows of a run, and the queues and schedules that it has instead of those they declare."""

    def __init__(
        self,
        *workflows: Any,
        queues: Sequence[DeclaredQueue] | None = None,
        schedules: Sequence[Declared] = (),
    ) -> None:
        super().__init__()
        self._queues, self._schedules = queues, schedules
        for each in workflows:
            self.add(each.definition.name, each.definition)

    def queues(self) -> list[DeclaredQueue]:
        """See Catalog."""
        return super().queues() if self._queues is None else list(self._queues)

    def schedules(self) -> list[Declared]:
        """See Catalog."""
        return list(self._schedules)


class Run(Scenario):
    """Calls, faults, and rules that are looked after all the time."""

    cycles_max = 400_000
    jumps_s: ClassVar[Sequence[float]] = ()
    """How far the database's clock may jump."""
    roomy: ClassVar = True
    """Whether there is always memory enough."""

    def __init__(
        self,
        plan: Plan,
        catalog: GivenCatalog,
        trace: Callable[[str], None] | None,
        calls: Sequence[tuple[float, str, dict[str, Any]]] = (),
    ) -> None:
        super().__init__(plan, trace)
        if self.roomy:
            self.memory_bytes = 2**28
        self.catalog = catalog
        self.calls = [
            (after_s, NewWorkflow(f"w{number}", function, json.dumps(arguments)))
            for number, (after_s, function, arguments) in enumerate(calls)
        ]
        self.asked = len(calls)
        """What is asked for until it is done."""
        self._jumped_s = 0.0
        self.database.now = lambda: UNIX_S + self.world.now + self._jumped_s

    def over(self) -> bool:
        """Whether all was asked for, and all that was started has ended."""
        live = any(row.status in LIVE for row in self.database.workflows.values())
        refusing = self.to_refuse or self.database.refusing
        return not (self.left or refusing or self.asked or live)

    def fault(self, kind: str, at: Any = None) -> None:
        """As before. A cancel is of a call; the database's clock may jump."""
        if kind not in ("cancel", "jump"):
            super().fault(kind, at)
            return
        living, chance = self.living(), self.world.chance
        if kind == "cancel" and not living:
            return
        self.faults[kind] = self.faults.get(kind, 0) + 1
        if kind == "cancel":
            instance = chance.choice(living)
            workflow_id = f"w{chance.randrange(len(self.calls))}"
            instance.spawn(self._cancel(instance, workflow_id), instance.calls)
        else:
            self._jumped_s += chance.choice(self.jumps_s)
            self.world.note(f"JUMP to {self._jumped_s}")

    def begin(self) -> None:
        """What happens beside the faults: the calls."""
        for after_s, new in self.calls:
            self.world.at(after_s, partial(self.enter, new))

    def enter(self, new: NewWorkflow) -> None:
        """Somebody starts a workflow."""
        self.ask(partial(self.start, new))

    async def start(self, new: NewWorkflow, instance: Instance) -> None:
        """Start it at that instance."""
        definition: Any = instance.engine._catalog.workflow(new.function)
        await instance.engine.starts.start_new(new, definition, None)

    def ask(self, request: Callable[[Instance], Coroutine[Any, Any, object]]) -> None:
        """Ask one instance after the other until one has done it; a refusal is an answer, too."""
        again = partial(self.world.at, 0.2, partial(self.ask, request))
        living = self.living()
        if not living:
            again()
            return
        settled = False

        def settle(done: bool) -> None:
            nonlocal settled
            if not settled:
                settled = True
                if done:
                    self.asked -= 1
                else:
                    again()

        instance = self.world.chance.choice(living)

        async def answer() -> None:
            try:
                await request(instance)
            except (NoSuchRow, NotNow, Unacceptable):
                settle(True)
            except (Unreachable, OutlastError, RowRefused):
                settle(False)
            else:
                settle(True)

        instance.spawn(answer(), instance.calls)
        self.world.at(PATIENCE_S, partial(settle, False))

    def _check_rest(self) -> None:
        self._rest()

    def check(self) -> None:
        """What must hold in the end."""

    def seen(self) -> Counter[str]:
        """What there was to see beside the faults."""
        return Counter()


class _Drawn(Protocol):
    @property
    def plan(self) -> Plan: ...


D = TypeVar("D", bound=_Drawn)


@dataclass(frozen=True)
class Played:
    """What came out of a run."""

    violations: list[str]
    faults: dict[str, int]
    seen: Counter[str]


@dataclass(frozen=True)
class Runs(Generic[D]):
    """Runs of one kind: what is drawn of a seed, and how it is run."""

    draw: Callable[[int], D]
    kind: Callable[[D, Callable[[str], None] | None], Run]

    def run(self, drawn: D, trace: Callable[[str], None] | None = None) -> Played:
        """Let a run happen."""

        def play() -> Played:
            run = self.kind(drawn, trace)
            here[:] = [run]
            try:
                run.play()
            finally:
                here.clear()
            run.check()
            return Played(list(run.world.violations), run.faults, run.seen())

        return quietly(play)

    def play(self, seed: int) -> list[str]:
        """What was wrong in the run of a seed."""
        return self.run(self.draw(seed)).violations

    def calm(self, seed: int) -> list[str]:
        """The same without any fault."""
        drawn: Any = self.draw(seed)
        plan = replace(drawn.plan, faults=[], weather=Weather())
        return self.run(replace(drawn, plan=plan)).violations

    def notices(self, word: str, seeds: Iterable[int]) -> bool:
        """Whether some run of these seeds says so."""
        return any(word in each for seed in seeds for each in self.play(seed))

    def sights(self, seeds: Iterable[int]) -> Counter[str]:
        """The faults, and all else that there is to see in the runs of these seeds."""
        played = [self.run(self.draw(seed)) for seed in seeds]
        return sum((Counter(each.faults) + each.seen for each in played), Counter[str]())
