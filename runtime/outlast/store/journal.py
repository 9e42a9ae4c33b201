"""The journal's statement: a batch of starts, steps and ends as arrays, one round trip, one commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from psycopg import errors

from outlast.core import faults
from outlast.core.ports import BadData, Conflicted
from outlast.core.records import Batch, Committed, Ending, FencedWrite, StepRecord, Suspension
from outlast.core.status import Status
from outlast.store.connections import Database, SoleConnection
from outlast.store.queries import load

_SQL = load("journal.sql")
_COMMIT_TIMEOUT_S = 35.0


class PostgresJournal:
    """`JournalStore` over one connection of its own."""

    def __init__(self, database: Database, instance_id: str) -> None:
        self._connection = SoleConnection(database, journal=True)
        self._prepare = True if database.sessions else None
        self._instance_id = instance_id

    async def commit(self, batch: Batch) -> Committed:
        """See JournalStore."""
        parameters = _parameters(batch, self._instance_id)
        faults_named = _named(batch)
        for point in faults_named:
            faults.reach(f"{point}.before_commit")
        try:
            async with self._connection.use(_COMMIT_TIMEOUT_S) as connection:
                cursor = await connection.execute(_SQL["commit_batch"], parameters, prepare=self._prepare)
                row = await cursor.fetchone()
        except (errors.SerializationFailure, errors.DeadlockDetected) as error:
            raise Conflicted(str(error)) from error
        except (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded) as error:
            raise BadData(str(error).strip()) from error
        for point in faults_named:
            faults.reach(f"{point}.after_commit")
        assert row is not None
        started, fenced, recorded = row
        return Committed(frozenset(started), _wholly_recorded(batch, fenced, recorded))

    async def confirm(self, batch: Batch) -> frozenset[str]:
        """See JournalStore."""
        ids = [start.workflow_id for start in batch.starts] + [write.workflow_id for write in batch.writes]
        async with self._connection.use(_COMMIT_TIMEOUT_S) as connection:
            cursor = await connection.execute(_SQL["confirm_batch"], {"ids": ids, "nonce": batch.nonce})
            return frozenset(row[0] for row in await cursor.fetchall())

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _wholly_recorded(batch: Batch, fenced: list[str], recorded: list[str]) -> frozenset[str]:
    """Those whose fence held and whose every step was written. A step that stood there is a stranger's."""
    accepted = frozenset(fenced)
    if len(accepted) == len(batch.writes) and len(recorded) == sum(
        len(write.steps) for write in batch.writes
    ):
        return accepted
    counts = Counter(recorded)
    return frozenset(
        write.workflow_id
        for write in batch.writes
        if write.workflow_id in accepted and counts[write.workflow_id] == len(write.steps)
    )


def _named(batch: Batch) -> list[str]:
    """The crash points that this batch passes."""
    named = ["start"] if batch.starts else []
    if any(write.steps for write in batch.writes):
        named.append("record")
    if any(isinstance(write.end, Ending) for write in batch.writes):
        named.append("finish")
    if any(isinstance(write.end, Suspension) for write in batch.writes):
        named.append("suspend")
    return named


def _parameters(batch: Batch, instance_id: str) -> dict[str, Any]:
    starts = batch.starts
    ends = [write for write in batch.writes if write.end is not None]
    held = [write for write in batch.writes if write.end is None]
    steps: list[tuple[str, StepRecord]] = [
        (write.workflow_id, step) for write in batch.writes for step in write.steps
    ]
    return {
        "instance": instance_id,
        "nonce": batch.nonce,
        "start_ids": _texts(s.workflow_id for s in starts),
        "start_functions": _texts(s.function for s in starts),
        "start_inputs": _texts(s.input for s in starts),
        "start_requests": _texts(s.request for s in starts),
        "start_keys": _texts(s.idempotency_key for s in starts),
        "start_fingerprints": _texts(s.fingerprint for s in starts),
        "start_subjects": _texts(s.subject for s in starts),
        "start_claims": _texts(s.claims for s in starts),
        "start_versions": _texts(s.version for s in starts),
        "start_parents": _texts(s.parent for s in starts),
        "start_deadlines": _numbers(s.deadline_s for s in starts),
        "end_ids": _texts(w.workflow_id for w in ends),
        "end_epochs": _numbers(w.epoch for w in ends),
        **_end_parameters(ends),
        "held_ids": _texts(w.workflow_id for w in held),
        "held_epochs": _numbers(w.epoch for w in held),
        "step_workflows": _texts(workflow_id for workflow_id, _ in steps),
        "step_ids": _texts(step.step_id for _, step in steps),
        "step_names": _texts(step.name for _, step in steps),
        "step_outputs": _texts(step.output for _, step in steps),
        "step_errors": _texts(step.error for _, step in steps),
        "step_attempts": _numbers(step.attempts for _, step in steps),
        "step_orders": _numbers(step.completion_order for _, step in steps),
        "step_starts": _numbers(step.started_s for _, step in steps),
    }


def _end_parameters(ends: list[FencedWrite]) -> dict[str, str]:
    endings = [write.end if isinstance(write.end, Ending) else None for write in ends]
    suspensions = [write.end if isinstance(write.end, Suspension) else None for write in ends]
    return {
        "end_statuses": _texts(e.status if e else Status.PENDING for e in endings),
        "end_outputs": _texts(e.output if e else None for e in endings),
        "end_errors": _texts(e.error if e else None for e in endings),
        "end_responses": _texts(e.response if e else None for e in endings),
        "end_claimables": _numbers(s.claimable_s if s else None for s in suspensions),
    }


# Array literals by hand: the driver's own adaptation of lists costs five times the rest of the batch.


def _texts(values: Iterable[str | None]) -> str:
    quoted = (
        "NULL" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values
    )
    return "{" + ",".join(quoted) + "}"


def _numbers(values: Iterable[float | None]) -> str:
    return "{" + ",".join("NULL" if v is None else repr(v) for v in values) + "}"
