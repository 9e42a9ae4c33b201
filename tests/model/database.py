"""The statements that change the database, each a function from what was committed to what is then.

A statement is one moment here, since the rows that it checks stay locked from the check to the commit. Where
a mutant has no lock, `journal.py` makes two moments of it.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.model.guards import Guards
from tests.model.state import Database, Ends, Instance, Record, Row, Status, Taken, Write

ASLEEP = "asleep"


class Done(NamedTuple):
    """What became of a batch. `trespass`: it changed what its writer no longer owned."""

    database: Database
    written: bool
    trespass: bool = False


def fence_holds(row: Row | None, instance: Instance, epoch: int, guards: Guards) -> bool:
    """journal.sql: `where w.workflow_id = … and w.epoch = … and w.owner = …`."""
    if row is None:
        return False
    owned = row.owner == instance or not guards.owner_checked
    return owned and (row.epoch == epoch or not guards.epoch_checked)


def write_batch(db: Database, instance: Instance, write: Write, guards: Guards, fenced: bool) -> Done:
    """journal.sql, write_batch. `fenced`: whether the fence held when it was checked."""
    if write.start is not None:
        return _start(db, instance, write, guards)
    if not fenced or db.row is None:
        return Done(db, written=False)
    trespass = not owns(db.row, instance, write.epoch)
    row = db.row
    if write.ends is not Ends.NOT:
        row = _end(row, write)
    records = list(db.records)
    recorded = 0
    for index, outcome in write.steps:
        there = records[index]
        if there is not None and there.outcome == outcome == ASLEEP:
            records[index] = there._replace(nonce=write.nonce)  # a sleep that isn't over may be written again
        elif there is None or not guards.record_stays:
            records[index] = Record(outcome, write.nonce, write.epoch)
        else:
            continue
        recorded += 1
    after = db._replace(row=row, records=tuple(records))
    return Done(after, written=recorded == len(write.steps), trespass=trespass and after != db)


def _start(db: Database, instance: Instance, write: Write, guards: Guards) -> Done:
    """`started`: insert … on conflict (workflow_id) do nothing."""
    if db.row is not None and guards.start_yields:
        return Done(db, written=False)
    assert write.start is not None
    return Done(db._replace(row=Row(write.start, instance, 1, write.nonce)), written=True)


def _end(row: Row, write: Write) -> Row:
    """`ended`: of a workflow's end or its suspension. The epoch stays; whoever claims raises it."""
    if write.ends is not Ends.SUCCESS:
        return row._replace(owner=None, nonce=write.nonce, claimable=True, taken=lost_by(row, Taken.GIVEN))
    return row._replace(
        owner=None, nonce=write.nonce, claimable=False, status=Status.SUCCESS, implied=write.seen
    )


def bears_nonce(db: Database, write: Write) -> bool:
    """journal.sql, confirm_batch."""
    if db.row is not None and db.row.nonce == write.nonce:
        return True
    return any(record is not None and record.nonce == write.nonce for record in db.records)


def owns(row: Row | None, instance: Instance, epoch: int) -> bool:
    """Ghost: whether a write of this execution may land."""
    return row is not None and row.owner == instance and row.epoch == epoch and row.status is Status.PENDING


def commit_transaction(db: Database, index: int, outcome: str, epoch: int) -> Database:
    """The user's effects, and journal.sql record_transaction, in one commit."""
    return record_alone(db._replace(effects=db.effects + 1), index, outcome, epoch)


def record_alone(db: Database, index: int, outcome: str, epoch: int) -> Database:
    """Put a record where none is."""
    records = list(db.records)
    if records[index] is None:
        records[index] = Record(outcome, 0, epoch)
    return db._replace(records=tuple(records))


def beat(db: Database, instance: Instance) -> Database:
    """instances.sql, beat: renew the lease, name the session."""
    return db._replace(
        leases=_with(db.leases, instance, True),
        sessions=_with(db.sessions, instance, True),
    )


def claim(db: Database, instance: Instance, guards: Guards) -> tuple[Database, int]:
    """instances.sql, claim: what is due, `for update skip locked`; the epoch it got, 0 for nothing."""
    row = db.row
    if row is None or row.owner is not None or not row.claimable or (row.held and guards.claim_spares_held):
        return db, 0
    epoch = row.epoch + guards.claim_raises_epoch
    row = row._replace(owner=instance, epoch=epoch, status=Status.PENDING, claimable=False)
    return db._replace(row=row), epoch


def release(db: Database, instance: Instance, epoch: int, guards: Guards) -> Database:
    """instances.sql, release. The epoch stays."""
    if db.row is None or not fence_holds(db.row, instance, epoch, guards):
        return db
    return db._replace(row=db.row._replace(owner=None, claimable=True, taken=lost_by(db.row, Taken.GIVEN)))


def recover(db: Database, victim: Instance, expired: bool, attempts_max: int, guards: Guards) -> Database:
    """instances.sql, recover, at its commit: rows of the victim become claimable, or EXHAUSTED."""
    row = db.row
    if row is None or row.owner != victim:
        return db
    attempts = row.attempts + 1
    exhausted = attempts > attempts_max
    row = row._replace(
        owner=None,
        epoch=row.epoch + guards.recovery_raises_epoch,
        attempts=attempts,
        status=Status.EXHAUSTED if exhausted else Status.PENDING,
        claimable=not exhausted,
        taken=lost_by(row, Taken.EXPIRY if expired else Taken.SESSION),
    )
    return db._replace(row=row)


def cancel(db: Database, guards: Guards) -> Database:
    """workflows.sql, cancel: `where … status in ('ENQUEUED', 'PENDING')`."""
    row = db.row
    if row is None or row.status is not Status.PENDING:
        return db
    row = row._replace(
        status=Status.CANCELLED,
        owner=None,
        epoch=row.epoch + guards.cancel_raises_epoch,
        claimable=False,
        held=False,
        taken=lost_by(row, Taken.CANCEL),
    )
    return db._replace(row=row)


def retry(db: Database, guards: Guards) -> Database:
    """outlast.retry_workflow: a failure goes on in place, what is recorded stays. A success never changes."""
    row = db.row
    failed = (Status.CANCELLED, Status.EXHAUSTED)
    if row is None or row.status is Status.PENDING or (row.status not in failed and guards.success_stays):
        return db
    row = row._replace(
        status=Status.PENDING,
        owner=None,
        epoch=row.epoch + guards.retry_raises_epoch,
        generation=row.generation + guards.retry_raises_generation,
        claimable=True,
        attempts=0,
        implied=(),
    )
    return db._replace(row=row)


def pause(db: Database, guards: Guards) -> Database:
    """outlast.pause_workflow: one update."""
    row = db.row
    if row is None or row.status is not Status.PENDING or row.held:
        return db
    row = row._replace(
        held=True,
        owner=None if guards.pause_takes_owner else row.owner,
        epoch=row.epoch + guards.pause_raises_epoch,
        claimable=row.claimable or row.owner is not None,
        taken=lost_by(row, Taken.PAUSE),
    )
    return db._replace(row=row)


def resume(db: Database) -> Database:
    """outlast.resume_workflow."""
    assert db.row is not None
    return db._replace(row=db.row._replace(held=False))


def end_lease(db: Database, instance: Instance) -> Database:
    """Time passes, or instances.sql, leave."""
    return db._replace(leases=_with(db.leases, instance, False))


def end_session(db: Database, instance: Instance) -> Database:
    """The session that the instance's row names is gone."""
    return db._replace(sessions=_with(db.sessions, instance, False))


def lost_by(row: Row, how: Taken) -> tuple[Taken, ...]:
    """Ghost: note how the row's owner loses it."""
    if row.owner is None:
        return row.taken
    return (*row.taken[: row.owner], how, *row.taken[row.owner + 1 :])


def _with(values: tuple[bool, ...], index: int, value: bool) -> tuple[bool, ...]:
    return (*values[:index], value, *values[index + 1 :])
