"""The protocol of leases, fences and in-doubt writes as a model: who can do what, and what can go wrong.

Each file beside this one is a part of the runtime; the words of a step name the function or the statement it
stands for. `guards.py` lists the guards, `rules.py` what must hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model import database as sql
from tests.model.checker import Step
from tests.model.executing import execution_steps, haunt_by_transaction
from tests.model.guards import Guards
from tests.model.journal import answer, enqueue, haunt_by_write, journal_steps
from tests.model.membership import haunt_by_statement, membership_steps, time_passes
from tests.model.rules import broken_rule, has_ended
from tests.model.scenario import (
    Scenario,
    haunted,
    remember,
    row_is_shared,
    step,
    tidy,
)
from tests.model.state import Client, Instance, Memory, Phase, Status, World, Write, Zombie


@dataclass(frozen=True, slots=True)
class Protocol:
    """A `Model` of one scenario."""

    scenario: Scenario
    guards: Guards

    def start(self) -> World:
        """See Model."""
        return self.scenario.first()

    def steps(self, world: World) -> Iterator[Step[World]]:
        """See Model."""
        for what, after, fault in self._steps(world):
            yield Step(what, tidy(after), fault)

    def broken(self, before: World, after: World) -> str | None:
        """See Model."""
        return broken_rule(before, after, self.scenario.transaction)

    def ended(self, world: World) -> bool:
        """See Model."""
        return has_ended(world)

    def _steps(self, world: World) -> Iterator[Step[World]]:
        for who, memory in enumerate(world.instances):
            if memory is not None:
                yield from journal_steps(world, who, memory, self.guards)
                yield from membership_steps(world, who, memory, self.scenario, self.guards)
                if memory.live is not None:
                    yield from execution_steps(world, who, memory, memory.live, self.scenario, self.guards)
                yield from self._exits(world, who, memory)
            yield from time_passes(world, who, memory)
        for zombie in world.zombies:
            yield from self._haunt(world, zombie)
        for number, client in enumerate(world.clients):
            yield from self._calls(world, number, client)
        yield from self._operators(world)

    def _haunt(self, world: World, zombie: Zombie) -> Iterator[Step[World]]:
        if zombie.write is not None:
            return haunt_by_write(world, zombie, self.guards)
        if zombie.statement is not None:
            return haunt_by_statement(world, zombie, self.scenario, self.guards)
        return haunt_by_transaction(world, zombie, self.guards)

    # --- callers ------------------------------------------------------------------------------------------

    def _calls(self, world: World, number: int, client: Client) -> Iterator[Step[World]]:
        if client.done:
            return
        if client.at is None:
            for who, memory in enumerate(world.instances):
                if memory is not None and not memory.closing:
                    yield self._call(world, number, client, who, memory)
        elif client.accepted:
            row = world.database.row
            if row is not None and row.status is not Status.PENDING:
                heard = client._replace(heard=row.status, generation=row.generation)
                words = f"reads the end for a caller (workflows.sql ended): {row.status.name}"
                yield step(client.at, words, _told(world, number, heard))

    def _call(self, world: World, number: int, client: Client, who: Instance, memory: Memory) -> Step[World]:
        """engine/starts.py, start_new."""
        here = client._replace(at=who)
        after = _told(world, number, here)
        words = f"is called with {client.payload!r} (engine.py start_new)"
        if memory.live is not None:
            return step(who, words, answer(after, number, here, not self.guards.attach_reads))
        if not memory.starting:
            after = enqueue(after, who, memory._replace(starting=True), Write(start=client.payload))
        return step(who, words, after)

    def _operators(self, world: World) -> Iterator[Step[World]]:
        row = world.database.row
        waits = row_is_shared(world) and self.guards.fence_locked and self.guards.cancel_waits
        if world.left.cancels and row is not None and row.status is Status.PENDING and not waits:
            after = world._replace(
                database=sql.cancel(world.database, self.guards),
                left=world.left._replace(cancels=world.left.cancels - 1),
            )
            yield Step("the workflow is cancelled (workflows.sql cancel)", after, fault=True)
        yield from self._verbs(world, waits)

    def _verbs(self, world: World, waits: bool) -> Iterator[Step[World]]:
        """Of a paused one somebody thinks at last: it must be able to end."""
        db, left, row = world.database, world.left, world.database.row
        if row is None or waits:
            return
        if left.retries and (retried := sql.retry(db, self.guards)) is not db:
            after = world._replace(database=retried, left=left._replace(retries=left.retries - 1))
            yield Step("the workflow is retried (outlast.retry_workflow)", after, fault=True)
        if left.pauses and (paused := sql.pause(db, self.guards)) is not db:
            after = world._replace(database=paused, left=left._replace(pauses=left.pauses - 1))
            yield Step("the workflow is paused (outlast.pause_workflow)", after, fault=True)
        if row.held:
            yield Step("the workflow is resumed", world._replace(database=sql.resume(db)))

    # --- instances that come to their end -----------------------------------------------------------------

    def _exits(self, world: World, who: Instance, memory: Memory) -> Iterator[Step[World]]:
        left = world.left
        if left.exits:
            fewer = world._replace(left=left._replace(exits=left.exits - 1))
            yield step(who, "crashes", _crashed(fewer, who, memory), fault=True)
            if not memory.closing:
                after = remember(fewer, who, memory._replace(closing=True))
                yield step(who, "is told to shut down (engine.py close)", after, fault=True)
        if left.sessions and world.database.sessions[who]:
            after = world._replace(
                database=sql.end_session(world.database, who),
                left=left._replace(sessions=left.sessions - 1),
            )
            yield step(who, "'s session ends while it lives", after, fault=True)
        idle = memory.live is None and not memory.starting and memory.entry is None and memory.flight is None
        if memory.closing and idle and memory.doing is None:
            db = sql.end_session(sql.end_lease(world.database, who), who)
            after = remember(_hung_up(world, who), who, None)._replace(database=db)
            yield step(who, "leaves (instances.sql leave)", after)


def _told(world: World, number: int, client: Client) -> World:
    return world._replace(clients=(*world.clients[:number], client, *world.clients[number + 1 :]))


def _hung_up(world: World, who: Instance) -> World:
    """Callers of an instance that is gone call again, anywhere."""
    clients = tuple(
        client._replace(at=None) if client.at == who and not client.done else client
        for client in world.clients
    )
    return world._replace(clients=clients)


def _crashed(world: World, who: Instance, memory: Memory) -> World:
    """The memory is lost. What it sent may still be executed, late or never."""
    after = remember(_hung_up(world, who), who, None)
    after = after._replace(database=sql.end_session(after.database, who))
    flight, doing, live = memory.flight, memory.doing, memory.live
    if flight is not None and flight.sent and flight.answer is None:
        after = haunted(after, Zombie(who, write=flight.write, checked=flight.checked))
    if doing is not None and not doing.answered:
        after = haunted(after, Zombie(who, statement=doing))
    if live is not None and live.phase is Phase.TRANSACTION_INSERTED:
        after = haunted(after, Zombie(who, transaction=live))
    return after
