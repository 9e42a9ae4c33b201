"""What is decided before a schedule runs: everything at random, or one fault at each place in turn."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from outlast.testing.rows import RowRefused
from tests.simulation.network import MISHAPS, Weather
from tests.simulation.programs import EVENT_LEAVES, MAIL_LEAVES, SAGA_BRANCHES, Node, a_program

LEASE_S = 3.0
FAULTS = ("kill", "kill", "freeze", "cut", "partition", "restart", "stop", "cancel")
AT_CYCLES = ("kill", "freeze", "cut", "stop", "cancel")
REFUSED_S = (0.01, 0.3, 2.0, 8.0)


class Refusal(NamedTuple):
    """From when on the row of a workflow refuses to be written, which one, and for how long."""

    after_s: float
    lasts_s: float | None
    """None: until nothing else is left to do."""
    place: float
    """Between 0 and 1, among the rows that there are by then."""
    running: bool
    """Whether it is one that runs: then it refuses what is written of it next."""
    way: type[Exception] = RowRefused


@dataclass(frozen=True)
class Plan:
    """A schedule before it runs. `name` gives it again: see `plan_of`."""

    name: str
    seed: int
    instances: int
    programs: list[Node]
    weather: Weather
    faults: list[tuple[float, str]] = field(default_factory=list)
    """Seconds after the beginning, and what happens then."""
    at_cycle: tuple[int, str] | None = None
    """What happens to the process whose event loop would run that cycle."""
    mishaps: dict[int, str] = field(default_factory=dict)
    """What goes wrong with statements, by their number."""
    refusals: list[Refusal] = field(default_factory=list)
    moment_s: float = 0.2
    """How long workflows wait before they leave the memory."""


def random_plan(seed: int) -> Plan:
    """A schedule of everything at once."""
    chance = random.Random(seed)
    workflows = chance.choice([1, 1, 1, 2, 3, 5])
    size = chance.choice([2, 4, 8, 12]) if workflows < 3 else 3
    weather = Weather(
        mishap=chance.choice([0.0, 0.0, 0.02, 0.1]),
        conflict=chance.choice([0.0, 0.05]),
        latency_s=chance.choice([0.00002, 0.0002, 0.002]),
        slow=chance.choice([0.0, 0.05]),
        sessions=chance.random() < 0.5,
    )
    count = 0 if chance.random() < 0.1 else chance.randint(1, 5)
    faults = sorted((_moment_s(chance), chance.choice(FAULTS)) for _ in range(count))
    programs = [a_program(chance, chance.randint(1, size)) for _ in range(workflows)]
    weather = replace(weather, ties=chance.choice([0.0, 0.1, 0.5]))
    instances = chance.choice([1, 2, 2, 3])
    # At times less than an answer takes.
    moment_s = chance.choice([0.2, 0.2, 0.002])
    refusals = _refusals(random.Random(f"refusals of {seed}"))
    return Plan(
        str(seed), seed, instances, programs, weather, faults, refusals=refusals, moment_s=moment_s
    )  # fmt: skip


def _refusals(chance: random.Random) -> list[Refusal]:
    return [
        Refusal(_moment_s(chance), chance.choice(REFUSED_S), chance.random(), chance.random() < 0.7)
        for _ in range(chance.choice([0, 0, 1, 3]))
    ]


def _moment_s(chance: random.Random) -> float:
    """Early mostly, while much happens."""
    return chance.expovariate(1 / 0.03) if chance.random() < 0.7 else chance.uniform(0, 8)


def calm_plan(seed: int) -> Plan:
    """A small program in which nothing goes wrong by itself."""
    chance = random.Random(seed)
    weather = Weather(latency_s=chance.choice([0.00002, 0.0002, 0.002]), sessions=chance.random() < 0.5)
    return Plan(f"{seed}:calm", seed, 2, [a_program(chance, chance.randint(2, 5))], weather)


def mail_plan(seed: int) -> Plan:
    """As `random_plan`, of programs that wait for messages."""
    chance = random.Random(seed)
    programs = [
        a_program(chance, chance.randint(1, 8), leaves=MAIL_LEAVES)
        for _ in range(chance.choice([1, 1, 2, 4]))
    ]
    return replace(random_plan(seed), name=f"{seed}:mail", programs=programs)


def event_plan(seed: int) -> Plan:
    """As `random_plan`, of programs that read what others publish."""
    chance = random.Random(seed)
    programs = [
        a_program(chance, chance.randint(1, 4), kinds=("row", "gather"), leaves=EVENT_LEAVES)
        for _ in range(chance.choice([1, 1, 2]))
    ]
    return replace(random_plan(seed), name=f"{seed}:events", programs=programs)


def saga_plan(seed: int) -> Plan:
    """As `random_plan`, of programs that undo what they did; more of them are cancelled."""
    chance = random.Random(seed)
    plan = random_plan(seed)
    sizes = [chance.randint(2, 8) for _ in range(chance.choice([1, 1, 2]))]
    programs: list[Node] = [
        ["undone", "s", [a_program(chance, size, 1, "r", SAGA_BRANCHES)], chance.choice([0.02, 0.4, 5.0])]
        for size in sizes
    ]
    faults = [(at, chance.choice([what, "cancel"])) for at, what in plan.faults]
    return replace(plan, name=f"{seed}:saga", programs=programs, faults=faults)


def sweep(seed: int, cycles: int, statements: int) -> Iterator[Plan]:
    """One fault at each cycle, and one mishap to each statement, of a program that takes so many of them."""
    calm = calm_plan(seed)
    for cycle in range(1, cycles):
        for kind in AT_CYCLES:
            yield replace(calm, name=f"{seed}:{kind}@{cycle}", at_cycle=(cycle, kind))
    for statement in range(1, statements + 1):
        for mishap in MISHAPS:
            yield replace(calm, name=f"{seed}:{mishap}@{statement}", mishaps={statement: mishap})


def plan_of(name: str) -> Plan:
    """The plan of that name: `SEED`, `SEED:calm`, `:mail` … or `SEED:WHAT@WHERE`. Raises ValueError."""
    seed, colon, rest = name.partition(":")
    if not colon:
        return random_plan(int(seed))
    what, _, where = rest.partition("@")
    if what == "mail":
        return mail_plan(int(seed))
    if what == "events":
        return event_plan(int(seed))
    if what == "saga":
        return saga_plan(int(seed))
    if what == "calm":
        return calm_plan(int(seed))
    if what in MISHAPS:
        return replace(calm_plan(int(seed)), name=name, mishaps={int(where): what})
    return replace(calm_plan(int(seed)), name=name, at_cycle=(int(where), what))
