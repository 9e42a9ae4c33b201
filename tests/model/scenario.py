"""What one check is about: a workflow's steps, its callers, the instances, and how much may go wrong."""

from __future__ import annotations

from dataclasses import dataclass

from tests.model.checker import Step
from tests.model.state import Client, Database, Faults, Instance, Kind, Memory, Phase, World, Zombie

NAMES = "ABC"


@dataclass(frozen=True, slots=True)
class Scenario:
    """The bounds of one check."""

    name: str
    about: str
    steps: tuple[Kind, ...]
    faults: Faults
    payloads: tuple[str, ...] = ("p",)
    """One client for each."""
    instances: int = 2
    attempts_max: int = 1
    """So often a workflow may be lost; then it is EXHAUSTED."""

    @property
    def transaction(self) -> int | None:
        """Which step is a transaction."""
        return self.steps.index(Kind.TRANSACTION) if Kind.TRANSACTION in self.steps else None

    def first(self) -> World:
        """Instances that have joined, and nothing else."""
        alive = (True,) * self.instances
        return World(
            Database(None, (None,) * len(self.steps), 0, alive, alive),
            (Memory(),) * self.instances,
            frozenset(),
            tuple(Client(payload) for payload in self.payloads),
            self.faults,
        )


def step(who: Instance, does: str, world: World, *, fault: bool = False) -> Step[World]:
    """One that `who` does, in the words of a trace."""
    return Step(f"{NAMES[who]} {does}", world, fault)


def remember(world: World, who: Instance, memory: Memory | None) -> World:
    """The world in which an instance knows this."""
    return world._replace(instances=(*world.instances[:who], memory, *world.instances[who + 1 :]))


def lying(world: World, rule: str) -> World:
    """Ghost: the world in which this rule was broken. The first one counts."""
    return world if world.lie else world._replace(lie=rule)


def row_is_shared(world: World) -> bool:
    """Whether a transaction whose record is inserted holds the row FOR SHARE."""
    if any(zombie.transaction is not None for zombie in world.zombies):
        return True
    return any(
        memory is not None and memory.live is not None and memory.live.phase is Phase.TRANSACTION_INSERTED
        for memory in world.instances
    )


def unsettled(memory: Memory, epoch: int) -> bool:
    """Whether an execution still has something to become durable."""
    entry, flight = memory.entry, memory.flight
    if entry is not None and entry.epoch == epoch:
        return True
    return flight is not None and flight.write.epoch == epoch


def fresh_nonce(world: World) -> int:
    """One that no batch on its way bears."""
    used = nonces(world)
    return next(nonce for nonce in range(1, 99) if nonce not in used)


def nonces(world: World) -> set[int]:
    """Those of batches on their way."""
    used = {zombie.write.nonce for zombie in world.zombies if zombie.write is not None}
    used.update(
        memory.flight.write.nonce
        for memory in world.instances
        if memory is not None and memory.flight is not None
    )
    return used


def tidy(world: World) -> World:
    """The same state with nonces forgotten that nobody asks for any more: fewer states, none lost."""
    db, used = world.database, nonces(world)
    row, records = db.row, db.records
    if row is not None and row.nonce and row.nonce not in used:
        row = row._replace(nonce=0)
    if any(record is not None and record.nonce and record.nonce not in used for record in records):
        records = tuple(
            record._replace(nonce=0) if record is not None and record.nonce not in used else record
            for record in records
        )
    if row is db.row and records is db.records:
        return world
    return world._replace(database=db._replace(row=row, records=records))


def haunted(world: World, zombie: Zombie) -> World:
    """The world with one more statement that nobody waits for."""
    return world._replace(zombies=world.zombies | {zombie})


def laid(world: World, zombie: Zombie) -> World:
    """The world without it."""
    return world._replace(zombies=world.zombies - {zombie})
