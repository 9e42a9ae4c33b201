"""What must hold of every state and of every change, and what the end is."""

from __future__ import annotations

from tests.model.state import Client, Database, Row, Status, World

ONE_EFFECT = "a transaction's effect is there exactly if its record is, and once"
RECORDS_STAY = "a record is written once and never changes"
ENDS_STAY = "a success never changes, and a failure is final until somebody retries it"
HELD_STAYS = "nothing is written of a workflow while it is held"
ROWS_STAY = "a workflow that was acknowledged is there, with the payload it was acknowledged for"
RESULTS_STAY = "an end that a caller was told is the end that stands"
END_IMPLIED = "a workflow's end follows from its records, which are all there"


def broken_rule(before: World, after: World, transaction: int | None) -> str | None:
    """The rule that `after`, or the way to it, breaks. `transaction`: which of the steps is one."""
    if after.lie:
        return after.lie
    if after.database is not before.database:
        rule = _of_change(before.database, after.database) or _of_database(after.database, transaction)
        if rule is not None:
            return rule
    if after.clients is not before.clients or after.database is not before.database:
        for client in after.clients:
            if (rule := _of_client(client, after.database.row)) is not None:
                return rule
    return None


def _of_change(before: Database, after: Database) -> str | None:
    for old, new in zip(before.records, after.records, strict=True):
        if old is not None and (new is None or (old.outcome, old.epoch) != (new.outcome, new.epoch)):
            return RECORDS_STAY
    was, now = before.row, after.row
    if was is not None:
        if now is None or now.payload != was.payload:
            return ROWS_STAY
        if was.status is not Status.PENDING and now.status is not was.status:
            retried = now.status is Status.PENDING and now.generation > was.generation
            if was.status is Status.SUCCESS or not retried:
                return ENDS_STAY
        if was.held and now.held and (now.owner is not None or _wrote(before, after)):
            return HELD_STAYS
    return None


def _wrote(before: Database, after: Database) -> bool:
    old, new = ([each and each[::2] for each in db.records] for db in (before, after))
    return old != new or before.effects != after.effects


def _of_database(db: Database, transaction: int | None) -> str | None:
    if transaction is not None:
        record = db.records[transaction]
        if db.effects != (record is not None and record.outcome == "done"):
            return ONE_EFFECT
    row = db.row
    if row is not None and row.status is Status.SUCCESS:
        outcomes = tuple(record.outcome if record is not None else None for record in db.records)
        if row.implied != outcomes:
            return END_IMPLIED
    return None


def _of_client(client: Client, row: Row | None) -> str | None:
    if client.accepted and (row is None or row.payload != client.payload):
        return ROWS_STAY
    if client.refused and (row is None or row.payload == client.payload):
        return ROWS_STAY
    if client.heard is not None:
        if row is None:
            return RESULTS_STAY
        stands = client.heard is Status.SUCCESS or row.generation == client.generation
        if stands and row.status is not client.heard:
            return RESULTS_STAY
    return None


def has_ended(world: World) -> bool:
    """The workflow has ended, every caller was answered, and nobody runs it any more."""
    row = world.database.row
    return (
        row is not None
        and row.status is not Status.PENDING
        and all(client.done for client in world.clients)
        and all(memory is None or memory.live is None for memory in world.instances)
    )
