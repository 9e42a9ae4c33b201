"""The journal of an instance: engine/journal.py, and store/journal.py with its statement."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.checker import Step
from tests.model.database import bears_nonce, fence_holds, write_batch
from tests.model.guards import Guards
from tests.model.scenario import (
    fresh_nonce,
    haunted,
    laid,
    lying,
    remember,
    row_is_shared,
    step,
)
from tests.model.state import (
    Client,
    Database,
    Ends,
    Execution,
    Flight,
    Instance,
    Memory,
    Status,
    World,
    Write,
    Zombie,
)

TRESPASS = "no write of an execution lands after its workflow was taken over, cancelled or ended"
FALSE_ACCEPTANCE = "a write that was not committed is never reported as accepted"
FALSE_REFUSAL = "a write that was committed is never reported as refused to whoever still owns the workflow"


def enqueue(world: World, who: Instance, memory: Memory, write: Write) -> World:
    """engine/journal.py, write and start: what waits of one workflow goes together.

    What waits of an older execution is refused, as is a start of what meanwhile runs here.
    """
    waiting = memory.entry
    if (
        waiting is not None
        and waiting.start is None
        and waiting.epoch == write.epoch
        and not waiting.ends.value > 1
    ):
        write = waiting._replace(steps=waiting.steps + write.steps, ends=write.ends, seen=write.seen)
    elif waiting is not None and waiting.start is not None:
        memory = memory._replace(starting=False, doubtful=False)
        world = _answer_all(world, who, None)
    return remember(world, who, memory._replace(entry=write))


def journal_steps(world: World, who: Instance, memory: Memory, guards: Guards) -> Iterator[Step[World]]:
    """What the journal of an instance does next."""
    flight = memory.flight
    if flight is None:
        if memory.entry is not None:
            yield _take(world, who, memory, memory.entry, guards)
        return
    if not flight.sent:
        again = memory._replace(flight=flight._replace(sent=True, again=True, answer=None, checked=None))
        yield step(who, "sends the batch again (journal.py _commit)", remember(world, who, again))
    elif flight.answer is None:
        yield from _execute(world, who, memory, flight, guards)
    else:
        yield _settle(world, who, memory, flight, guards)
    if flight.sent and world.left.losses:
        yield _lose(world, who, memory, flight)


def _take(world: World, who: Instance, memory: Memory, entry: Write, guards: Guards) -> Step[World]:
    rest = None
    if not guards.end_in_order and entry.ends is Ends.SUCCESS and entry.steps:
        entry, rest = entry._replace(steps=()), entry._replace(ends=Ends.NOT)
    elif not guards.end_together and entry.ends is not Ends.NOT and entry.steps:
        entry, rest = entry._replace(ends=Ends.NOT), entry._replace(steps=())
    batch = entry._replace(nonce=fresh_nonce(world))
    after = remember(world, who, memory._replace(entry=rest, flight=Flight(batch)))
    return step(who, f"sends {_words(batch)} (journal.py _commit)", after)


def _execute(
    world: World, who: Instance, memory: Memory, flight: Flight, guards: Guards
) -> Iterator[Step[World]]:
    """The statement of a flight, at the server."""
    write = flight.write
    if _waits_for_lock(world, write, guards):
        return
    if not guards.fence_locked and write.start is None and flight.checked is None:
        held = fence_holds(world.database.row, who, write.epoch, guards)
        checked = memory._replace(flight=flight._replace(checked=held))
        yield step(who, f"'s fence of {_words(write)} is checked, unlocked", remember(world, who, checked))
        return
    after, written = _committed(world, who, write, flight.checked, guards)
    answered = memory._replace(flight=flight._replace(answer=written, checked=None))
    words = f"'s {_words(write)} is executed: {'written' if written else 'refused'} (journal.sql write_batch)"
    yield step(who, words, remember(after, who, answered))


def haunt_by_write(world: World, zombie: Zombie, guards: Guards) -> Iterator[Step[World]]:
    """A batch whose sender gave it up is executed after all."""
    write = zombie.write
    assert write is not None
    if _waits_for_lock(world, write, guards):
        return
    who = zombie.sender
    if not guards.fence_locked and write.start is None and zombie.checked is None:
        held = fence_holds(world.database.row, who, write.epoch, guards)
        checked = haunted(laid(world, zombie), zombie._replace(checked=held))
        yield step(who, f"'s lost {_words(write)}: its fence is checked, unlocked", checked)
        return
    after, _ = _committed(laid(world, zombie), who, write, zombie.checked, guards)
    yield step(who, f"'s lost {_words(write)} is executed late (journal.sql write_batch)", after, fault=True)


def _waits_for_lock(world: World, write: Write, guards: Guards) -> bool:
    """An update of the row waits for who holds it FOR SHARE; a record for who inserts the same."""
    return (write.ends is not Ends.NOT or bool(write.steps)) and guards.fence_locked and row_is_shared(world)


def _committed(
    world: World, who: Instance, write: Write, checked: bool | None, guards: Guards
) -> tuple[World, bool]:
    fenced = checked if checked is not None else fence_holds(world.database.row, who, write.epoch, guards)
    done = write_batch(world.database, who, write, guards, fenced)
    after = world._replace(database=done.database)
    return (lying(after, TRESPASS) if done.trespass else after), done.written


def _lose(world: World, who: Instance, memory: Memory, flight: Flight) -> Step[World]:
    """The connection is cut. What was not executed yet may be, late or never."""
    after = world._replace(left=world.left._replace(losses=world.left.losses - 1))
    if flight.answer is None:
        after = haunted(after, Zombie(who, write=flight.write, checked=flight.checked))
        words = f"loses the connection with {_words(flight.write)} on its way"
    else:
        words = f"loses the answer to {_words(flight.write)}"
    lost = memory._replace(flight=flight._replace(sent=False, answer=None, checked=None))
    return step(who, words, remember(after, who, lost), fault=True)


def _settle(world: World, who: Instance, memory: Memory, flight: Flight, guards: Guards) -> Step[World]:
    """The answer arrives: engine/journal.py _try, with confirm_batch where the batch was sent before."""
    db, write = world.database, flight.write
    written = bool(flight.answer)
    if flight.again and not written:
        if not guards.never_guessed:
            written = True
        elif guards.confirmed:
            written = bears_nonce(db, write)
    memory = memory._replace(flight=None)
    if write.start is not None:
        return _settle_start(world, who, memory, write, written, guards)
    after = world
    if written and not _is_there(db, write):
        after = lying(after, FALSE_ACCEPTANCE)
    if not written and bears_nonce(db, write) and db.row is not None and db.row.epoch == write.epoch:
        after = lying(after, FALSE_REFUSAL)
    live = memory.live
    if live is not None and live.epoch == write.epoch:
        if not written:
            memory = memory._replace(live=None)
        elif write.ends is not Ends.NOT:
            memory = memory._replace(live=None)
            after = _tell(after, who, write.ends)
    words = f"hears that its {_words(write)} is {'accepted' if written else 'refused'} (journal.py _try)"
    return step(who, words, remember(after, who, memory))


def _is_there(db: Database, write: Write) -> bool:
    """Whether all of a write is what the database holds, as far as that can still be told."""
    recorded = all(
        (record := db.records[index]) is not None and record.outcome == outcome
        for index, outcome in write.steps
    )
    if write.ends is Ends.SUCCESS:
        return recorded and db.row is not None and db.row.status is Status.SUCCESS
    return recorded


def _settle_start(
    world: World, who: Instance, memory: Memory, write: Write, written: bool, guards: Guards
) -> Step[World]:
    """engine/starts.py: `settle` launches, `start_new` compares for all that attach."""
    doubtful = memory.doubtful and guards.starts_in_one_trust
    memory = memory._replace(starting=False, doubtful=False)
    if written and not doubtful and (memory.live is None or not guards.starts_yield):
        memory = memory._replace(live=Execution(1, 0))
    after = _answer_all(world, who, write.start if written else None, reads=guards.attach_reads)
    words = f"hears that its start {'is durable' if written else 'was taken'} (engine.py start_new)"
    return step(who, words, remember(after, who, memory))


def _answer_all(world: World, who: Instance, begun: str | None, *, reads: bool = True) -> World:
    """Acknowledge all that wait here for a start; of `begun`, which this instance began, without looking."""
    for number, client in enumerate(world.clients):
        if client.at == who and not client.accepted and not client.done:
            world = answer(world, number, client, client.payload == begun or not reads)
    return world


def answer(world: World, number: int, client: Client, believed: bool) -> World:
    """A caller gets its acknowledgement; unless `believed`, what stands there is read and compared."""
    row = world.database.row
    if believed or (row is not None and row.payload == client.payload):
        told = client._replace(accepted=True)
    elif row is not None:
        told = client._replace(refused=True)
    else:
        told = client._replace(at=None)  # DatabaseUnavailable: the same key is safe
    return world._replace(clients=(*world.clients[:number], told, *world.clients[number + 1 :]))


def _tell(world: World, who: Instance, ends: Ends) -> World:
    """engine/executor.py, `_tell` and `_tell_stopped`: those that wait here hear it from memory."""
    clients = []
    for client in world.clients:
        if client.at != who or client.done:
            clients.append(client)
        elif ends is Ends.SUCCESS:
            clients.append(client._replace(heard=Status.SUCCESS) if client.accepted else client)
        elif ends is Ends.HAND_OVER:
            clients.append(client._replace(at=None))
        else:
            clients.append(client)
    return world._replace(clients=tuple(clients))


def _words(write: Write) -> str:
    parts = ["the start"] if write.start is not None else []
    parts += [f"step {index + 1} {outcome}" for index, outcome in write.steps]
    if write.ends is not Ends.NOT:
        parts.append("the " + write.ends.name.lower().replace("_", "-").replace("success", "end"))
    where = "" if write.start is not None else f" at epoch {write.epoch}"
    return f"[{', '.join(parts)}{where}]"
