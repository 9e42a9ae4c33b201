"""The membership's loop of an instance: engine/instances/membership.py and lease.py over store/instances.sql.

It does one thing at a time. The lease is a yes or no in the database, trust one in the memory. Time is that
both may end at any moment, but trust first: it is counted from the sending of what renewed the lease. So when
a lease runs out, no trust in it is left, and an answer that comes later gives none.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model import database as sql
from tests.model.checker import Step
from tests.model.executing import launched
from tests.model.guards import Guards
from tests.model.scenario import NAMES, Scenario, haunted, laid, lying, remember, row_is_shared, step
from tests.model.state import Does, Instance, Memory, Statement, World, Zombie

STOLEN = "nobody takes over for want of the lease from one who trusts it"


def membership_steps(
    world: World, who: Instance, memory: Memory, scenario: Scenario, guards: Guards
) -> Iterator[Step[World]]:
    """What the loop does next."""
    doing = memory.doing
    if doing is None:
        yield from _choose(world, who, memory, guards)
    elif doing.answered:
        yield _hear(world, who, memory, doing, guards)
        if world.left.losses:
            yield _lose(world, who, memory, doing)
    else:
        if doing.does is Does.BEAT and doing.owned is None and _is_being_recovered(world, who):
            looked = memory._replace(doing=doing._replace(owned=_owned(world, who)))
            yield step(
                who, "'s beat takes its snapshot (instances.sql beat, owned)", remember(world, who, looked)
            )
        if (done := executed(world, who, doing, scenario, guards)) is not None:
            after, answered = done
            left = answered if doing.does in (Does.BEAT, Does.CLAIM) else None
            words = f"'s {_words(doing, answered)} is executed (instances.sql {doing.does.name.lower()})"
            yield step(who, words, remember(after, who, memory._replace(doing=left)))
        if world.left.losses:
            yield _lose(world, who, memory, doing)


def _choose(world: World, who: Instance, memory: Memory, guards: Guards) -> Iterator[Step[World]]:
    row = world.database.row
    if _worth_a_beat(world, who, memory):
        known = memory.live.epoch if memory.live is not None else 0
        after = memory._replace(doing=Statement(Does.BEAT, known))
        yield step(who, "sends a beat (membership.py _beat)", remember(world, who, after))
    if row is None or memory.closing:
        return
    if row.owner is None and row.claimable and not (row.held and guards.claim_spares_held):
        after = memory._replace(doing=Statement(Does.CLAIM))
        yield step(who, "sends a claim (membership.py _claim)", remember(world, who, after))
    victim = row.owner
    if victim is not None and victim != who:
        expired, gone = not world.database.leases[victim], not world.database.sessions[victim]
        if expired or gone:
            after = memory._replace(doing=Statement(Does.RECOVER, victim=victim, expired=expired))
            why = "its lease is over" if expired else "its session is gone"
            words = f"sees that {NAMES[victim]} is lost, {why} (instances.sql recover, its snapshot)"
            yield step(who, words, remember(world, who, after))


def _worth_a_beat(world: World, who: Instance, memory: Memory) -> bool:
    """One that would change something. All others are left out: they lead back to the same state."""
    db = world.database
    owned = _owned(world, who)
    known = memory.live.epoch if memory.live is not None else 0
    return not memory.trusted or owned != known or memory.unknown != 0 or not db.sessions[who]


def executed(
    world: World, who: Instance, doing: Statement, scenario: Scenario, guards: Guards
) -> tuple[World, Statement] | None:
    """A statement of the loop, at the server: what it did and answered; None while it waits for a lock."""
    db = world.database
    shared = row_is_shared(world) and guards.fence_locked
    if doing.does is Does.BEAT:
        owned = doing.owned if doing.owned is not None else _owned(world, who)
        return world._replace(database=sql.beat(db, who)), doing._replace(answered=True, owned=owned)
    if doing.does is Does.CLAIM:
        db, epoch = sql.claim(db, who, guards)
        return world._replace(database=db), doing._replace(answered=True, epoch=epoch)
    if doing.does is Does.RELEASE:
        if shared:
            return None
        return world._replace(database=sql.release(db, who, doing.epoch, guards)), doing
    if shared:
        return world, doing  # skip locked: the next tick looks again
    return _recovered(world, doing, scenario, guards), doing


def _owned(world: World, who: Instance) -> int:
    row = world.database.row
    return row.epoch if row is not None and row.owner == who else 0


def _is_being_recovered(world: World, who: Instance) -> bool:
    """Whether the snapshot and the renewal of a beat must be two moments: something may come in between."""
    statements = [zombie.statement for zombie in world.zombies]
    statements += [memory.doing for memory in world.instances if memory is not None]
    return any(each is not None and each.does is Does.RECOVER and each.victim == who for each in statements)


def _recovered(world: World, doing: Statement, scenario: Scenario, guards: Guards) -> World:
    db, row = world.database, world.database.row
    back = db.leases[doing.victim] and (doing.expired or db.sessions[doing.victim])
    if back and guards.recovery_holds_lease:
        return world
    recovered = sql.recover(db, doing.victim, doing.expired, scenario.attempts_max, guards)
    after = world._replace(database=recovered)
    robbed = world.instances[doing.victim]
    if (
        doing.expired
        and after.database != world.database
        and robbed is not None
        and robbed.trusted
        and robbed.live is not None
        and row is not None
        and robbed.live.epoch == row.epoch
    ):
        after = lying(after, STOLEN)
    return after


def _hear(world: World, who: Instance, memory: Memory, doing: Statement, guards: Guards) -> Step[World]:
    memory = memory._replace(doing=None)
    if doing.does is Does.CLAIM:
        if not doing.epoch:
            return step(who, "hears that nothing was due", remember(world, who, memory))
        if memory.closing:
            memory = memory._replace(doing=Statement(Does.RELEASE, doing.epoch))
            return step(
                who, "gives back what it claimed (membership.py _launch)", remember(world, who, memory)
            )
        memory = memory._replace(live=launched(world.database, doing.epoch))
        words = f"launches what it claimed, at epoch {doing.epoch} (membership.py _launch)"
        return step(who, words, remember(world, who, memory))
    live = memory.live
    unsure = live is not None and not memory.trusted and not doing.second
    if unsure and guards.revived_beats_twice:
        assert live is not None
        memory = memory._replace(doing=Statement(Does.BEAT, live.epoch, late=doing.late, second=True))
        return step(
            who,
            "beats again: its lease may have been over (membership.py _beat)",
            remember(world, who, memory),
        )
    if memory.starting and not memory.trusted:
        memory = memory._replace(doubtful=True)
    memory = memory._replace(trusted=memory.trusted or not doing.late or not guards.trust_from_sending)
    if guards.disowned_stopped and live is not None and live.epoch == doing.epoch != doing.owned:
        memory = memory._replace(live=None)
    memory = _release_unknown(memory, doing, guards)
    return step(who, "hears its beat's answer (membership.py _beat)", remember(world, who, memory))


def _release_unknown(memory: Memory, doing: Statement, guards: Guards) -> Memory:
    """membership.py `_release_unknown`."""
    known = memory.live is not None or (memory.starting and guards.starts_known)
    if not doing.owned or known or not guards.orphans_released:
        return memory._replace(unknown=0)
    twice = memory.unknown == doing.owned or not guards.seen_twice
    return memory._replace(unknown=doing.owned, doing=Statement(Does.RELEASE, doing.owned) if twice else None)


def _lose(world: World, who: Instance, memory: Memory, doing: Statement) -> Step[World]:
    after = remember(world, who, memory._replace(doing=None))
    after = after._replace(left=world.left._replace(losses=world.left.losses - 1))
    if doing.answered:
        return step(who, f"loses the answer to its {doing.does.name.lower()}", after, fault=True)
    words = f"loses the connection with its {doing.does.name.lower()} on its way"
    return step(who, words, haunted(after, Zombie(who, statement=doing)), fault=True)


def haunt_by_statement(
    world: World, zombie: Zombie, scenario: Scenario, guards: Guards
) -> Iterator[Step[World]]:
    """A statement whose sender gave it up is executed after all."""
    doing = zombie.statement
    assert doing is not None
    done = executed(laid(world, zombie), zombie.sender, doing, scenario, guards)
    if done is not None:
        yield step(zombie.sender, f"'s lost {_words(doing, done[1])} is executed late", done[0], fault=True)


def time_passes(world: World, who: Instance, memory: Memory | None) -> Iterator[Step[World]]:
    """A lease runs out. Whatever trust was counted from its renewals' sending ended before."""
    if not world.database.leases[who]:
        return
    after = world._replace(database=sql.end_lease(world.database, who))
    if memory is None:
        row = world.database.row
        if row is not None and row.owner == who:
            yield step(who, "'s lease runs out", after)
    elif world.left.expiries:
        doing = memory.doing
        if doing is not None and doing.does is Does.BEAT and (doing.answered or doing.second):
            doing = doing._replace(late=True)
        after = remember(after, who, memory._replace(trusted=False, doing=doing))
        after = after._replace(left=world.left._replace(expiries=world.left.expiries - 1))
        yield step(who, "'s lease runs out while it is frozen", after, fault=True)


def _words(doing: Statement, answered: Statement) -> str:
    if doing.does is Does.BEAT:
        return f"beat (owned: {answered.owned or 'nothing'})"
    if doing.does is Does.CLAIM:
        return f"claim (got: {f'epoch {answered.epoch}' if answered.epoch else 'nothing'})"
    if doing.does is Does.RELEASE:
        return f"release of epoch {doing.epoch}"
    return f"recovery of {NAMES[doing.victim]}"
