"""An execution's way through its body: executor.py, execution.py, operations; store/transactions.py."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.checker import Step
from tests.model.database import ASLEEP, commit_transaction, fence_holds, owns
from tests.model.guards import Guards
from tests.model.journal import TRESPASS, enqueue
from tests.model.scenario import (
    Scenario,
    haunted,
    laid,
    lying,
    remember,
    step,
    unsettled,
)
from tests.model.state import (
    Database,
    Ends,
    Execution,
    Instance,
    Kind,
    Memory,
    Phase,
    Taken,
    World,
    Write,
    Zombie,
)

UNDURABLE = "a step begins only when all before it is durable"
FAILED = "failed"
OVERLAP = "no step begins under a trusted lease after its workflow was taken over for want of the lease"


def launched(db: Database, epoch: int) -> Execution:
    """executor.py launch, and the replay of what is recorded: it comes to the first step without a record."""
    seen = []
    for record in db.records:
        if record is None:
            break
        seen.append(record.outcome)
    return Execution(epoch, len(seen), seen=tuple(seen))


def execution_steps(
    world: World, who: Instance, memory: Memory, live: Execution, scenario: Scenario, guards: Guards
) -> Iterator[Step[World]]:
    """What an execution does next."""
    if live.phase is Phase.READY:
        yield from _ready(world, who, memory, live, scenario, guards)
    elif live.phase is Phase.IN_STEP:
        ended = memory._replace(
            live=live._replace(at=live.at + 1, phase=Phase.READY, seen=(*live.seen, "done"))
        )
        record = Write(epoch=live.epoch, steps=((live.at, "done"),))
        yield step(who, f"ends step {live.at + 1} (execution.py _run)", enqueue(world, who, ended, record))
    elif live.phase is Phase.FAILING:
        if not unsettled(memory, live.epoch):
            after = _at(world, who, memory, _next(live, FAILED))
            yield step(
                who, f"is sure that transaction {live.at + 1} failed (execution.py _until_known)", after
            )
    elif live.phase is not Phase.ENDING:
        yield from _transaction(world, who, memory, live, guards)


def _ready(
    world: World, who: Instance, memory: Memory, live: Execution, scenario: Scenario, guards: Guards
) -> Iterator[Step[World]]:
    if memory.closing:
        yield step(
            who,
            "hands the workflow over (execution.py drain)",
            _end(world, who, memory, live, Ends.HAND_OVER),
        )
    if live.at == len(scenario.steps):
        yield step(who, "returns (executor.py _write_ending)", _end(world, who, memory, live, Ends.SUCCESS))
    elif scenario.steps[live.at] is Kind.SLEEP:
        if not memory.closing:
            after = _end(world, who, memory, live, Ends.SUSPENSION, ((live.at, ASLEEP),))
            yield step(who, "sleeps (operations/leaving.py _suspend)", after)
    elif _may_begin(memory, live, guards):
        transaction = scenario.steps[live.at] is Kind.TRANSACTION
        phase = Phase.TRANSACTION_OPEN if transaction else Phase.IN_STEP
        after = remember(world, who, memory._replace(live=live._replace(phase=phase)))
        words = f"begins {'transaction' if transaction else 'step'} {live.at + 1} (execution.py may_begin)"
        yield step(who, words, _watched(after, who, live))


def _end(
    world: World,
    who: Instance,
    memory: Memory,
    live: Execution,
    ends: Ends,
    steps: tuple[tuple[int, str], ...] = (),
) -> World:
    ending = memory._replace(live=live._replace(phase=Phase.ENDING))
    return enqueue(world, who, ending, Write(epoch=live.epoch, steps=steps, ends=ends, seen=live.seen))


def _may_begin(memory: Memory, live: Execution, guards: Guards) -> bool:
    """execution.py, `_may_begin`: durable, trusted, not in a shutdown."""
    durable = not unsettled(memory, live.epoch) or not guards.durable_first
    return durable and memory.trusted and not memory.closing


def _watched(world: World, who: Instance, live: Execution) -> World:
    """Ghost: the rules for the moment in which a step begins."""
    db = world.database
    if any(record is None for record in db.records[: live.at]):
        world = lying(world, UNDURABLE)
    if (
        not owns(db.row, who, live.epoch)
        and db.row is not None
        and db.row.taken[who] in (Taken.EXPIRY, Taken.GIVEN)
    ):
        world = lying(world, OVERLAP)
    return world


def _transaction(
    world: World, who: Instance, memory: Memory, live: Execution, guards: Guards
) -> Iterator[Step[World]]:
    """operations/transactions.py `_transact` over store/transactions.py, one moment at a time."""
    number = live.at + 1
    if live.phase is Phase.TRANSACTION_LOST:
        if memory.trusted:  # may_begin_again
            after = _at(world, who, memory, live._replace(phase=Phase.TRANSACTION_OPEN))
            yield step(who, f"runs transaction {number} again (operations/transactions.py _transact)", after)
    elif live.phase is Phase.TRANSACTION_OPEN:
        yield from _insert_record(world, who, memory, live, guards)
        if world.database.effects:
            after = _failed(world, who, memory, live, guards)
            words = f"'s body of transaction {number} fails on what its first run did (execution.py _run)"
            yield step(who, words, after)
        if world.left.losses:
            after = _at(_one_loss(world), who, memory, live._replace(phase=Phase.TRANSACTION_LOST))
            yield step(who, f"loses the connection in transaction {number}", after, fault=True)
    else:
        committed = _commit(world, who, live, guards)
        after = _at(committed, who, memory, _next(live, "done"))
        if not guards.record_inside:
            record = Write(epoch=live.epoch, steps=((live.at, "done"),))
            after = enqueue(committed, who, memory._replace(live=_next(live, "done")), record)
        yield step(who, f"commits transaction {number} (transactions.py _attempt)", after)
        if world.left.losses:
            lost = live._replace(phase=Phase.TRANSACTION_LOST)
            after = _at(_one_loss(committed), who, memory, lost)
            yield step(who, f"commits transaction {number} and loses the answer", after, fault=True)
            after = haunted(_at(_one_loss(world), who, memory, lost), Zombie(who, transaction=live))
            yield step(who, f"loses the connection with COMMIT {number} on its way", after, fault=True)
    if world.left.timeouts and live.phase is not Phase.TRANSACTION_LOST:
        yield from _given_up(world, who, memory, live, guards)


def _insert_record(
    world: World, who: Instance, memory: Memory, live: Execution, guards: Guards
) -> Iterator[Step[World]]:
    """journal.sql, record_transaction: the fence, FOR SHARE, and the insert."""
    if any(zombie.transaction is not None for zombie in world.zombies):
        return  # the unique index waits for the one that is inserted and not committed
    db, number = world.database, live.at + 1
    standing = db.records[live.at]
    if standing is not None and guards.record_stays:
        after = _at(world, who, memory, _next(live, standing.outcome))
        yield step(who, f"finds the record of transaction {number} there (transactions.py _standing)", after)
    elif fence_holds(db.row, who, live.epoch, guards):
        after = _at(world, who, memory, live._replace(phase=Phase.TRANSACTION_INSERTED))
        yield step(who, f"inserts the record of transaction {number} (journal.sql record_transaction)", after)
    else:
        after = remember(world, who, memory._replace(live=None))
        yield step(who, f"'s transaction {number} is refused (journal.sql record_transaction)", after)


def _commit(world: World, who: Instance, live: Execution, guards: Guards) -> World:
    db = world.database
    trespass = not owns(db.row, who, live.epoch)
    if guards.record_inside:
        db = commit_transaction(db, live.at, "done", live.epoch)
    else:
        db = db._replace(effects=db.effects + 1)
    after = world._replace(database=db)
    return lying(after, TRESPASS) if trespass else after


def _given_up(
    world: World, who: Instance, memory: Memory, live: Execution, guards: Guards
) -> Iterator[Step[World]]:
    """The body's own timeout: execution.py `_give_up`. A COMMIT on its way can't be called back."""
    number = live.at + 1
    world = world._replace(left=world.left._replace(timeouts=world.left.timeouts - 1))
    words = f"gives transaction {number} up"
    rolled_back = _failed(world, who, memory, live, guards)
    yield step(who, f"{words}, it is rolled back (execution.py _give_up)", rolled_back, fault=True)
    if live.phase is Phase.TRANSACTION_INSERTED:
        after = _failed(_commit(world, who, live, guards), who, memory, live, guards)
        yield step(who, f"{words} while it is committed (execution.py _give_up)", after, fault=True)
        after = haunted(rolled_back, Zombie(who, transaction=live))
        yield step(who, f"{words} and loses the connection with its COMMIT on its way", after, fault=True)


def _failed(world: World, who: Instance, memory: Memory, live: Execution, guards: Guards) -> World:
    """execution.py `_until_known`: the body goes on once it is sure that the transaction wasn't done."""
    if guards.failure_known_first:
        memory = memory._replace(live=live._replace(phase=Phase.FAILING))
    else:
        memory = memory._replace(live=_next(live, FAILED))
    return enqueue(world, who, memory, Write(epoch=live.epoch, steps=((live.at, FAILED),)))


def haunt_by_transaction(world: World, zombie: Zombie, guards: Guards) -> Iterator[Step[World]]:
    """A COMMIT whose sender is gone is executed, or its session ends."""
    live = zombie.transaction
    assert live is not None
    who, rest = zombie.sender, laid(world, zombie)
    yield step(who, f"'s transaction {live.at + 1} is rolled back: its session ended", rest)
    yield step(
        who, f"'s lost COMMIT {live.at + 1} is executed late", _commit(rest, who, live, guards), fault=True
    )


def _next(live: Execution, outcome: str) -> Execution:
    return live._replace(at=live.at + 1, phase=Phase.READY, seen=(*live.seen, outcome))


def _at(world: World, who: Instance, memory: Memory, live: Execution) -> World:
    return remember(world, who, memory._replace(live=live))


def _one_loss(world: World) -> World:
    return world._replace(left=world.left._replace(losses=world.left.losses - 1))
