"""The journal's statement: a batch of starts, steps and ends as arrays, one round trip, one commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import Any

from psycopg import errors
from psycopg.pq.abc import PGresult

from outlast.core import faults
from outlast.core.ports import BadData, Conflicted, Unreachable
from outlast.core.records import Batch, Committed, Ending, FencedWrite, Suspension
from outlast.core.status import Status
from outlast.store.arrays import Literal, literals, numbers, texts
from outlast.store.connections import Database, is_away
from outlast.store.queries import Numbered, load_numbered
from outlast.store.wire import Request, Wire

_SQL = load_numbered("journal.sql")
_TIMEOUT_S = 35.0
REPLAN_AFTER = 1_000
"""Commits after which the statement is planned anew: a plan made while tables were empty must not stay."""
_BAD_DATA = (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded, UnicodeEncodeError)

# The parameters of `commit_batch` that are columns of rows, in the order in which the rows hold them.
_STARTS: Mapping[str, Literal] = {
    "start_ids": texts,
    "start_functions": texts,
    "start_inputs": texts,
    "start_requests": texts,
    "start_keys": texts,
    "start_fingerprints": texts,
    "start_subjects": texts,
    "start_claims": texts,
    "start_versions": texts,
    "start_parents": texts,
    "start_deadlines": numbers,
}
_HELD: Mapping[str, Literal] = {"held_ids": texts, "held_epochs": numbers}
_ENDS: Mapping[str, Literal] = {
    "end_ids": texts,
    "end_epochs": numbers,
    "end_statuses": texts,
    "end_outputs": texts,
    "end_errors": texts,
    "end_responses": texts,
    "end_claimables": numbers,
}
_STEPS: Mapping[str, Literal] = {
    "step_workflows": texts,
    "step_ids": texts,
    "step_names": texts,
    "step_outputs": texts,
    "step_errors": texts,
    "step_attempts": numbers,
    "step_orders": numbers,
    "step_starts": numbers,
}
_start_row = attrgetter(
    "workflow_id",
    "function",
    "input",
    "request",
    "idempotency_key",
    "fingerprint",
    "subject",
    "claims",
    "version",
    "parent",
    "deadline_s",
)
_held_row = attrgetter("workflow_id", "epoch")
_step_row = attrgetter("step_id", "name", "output", "error", "attempts", "completion_order", "started_s")


class PostgresJournal:
    """`JournalStore` over one connection of its own."""

    def __init__(self, database: Database, instance_id: str) -> None:
        self._database = database
        self._instance_id = instance_id
        self._wire: Wire | None = None
        self._commits = 0

    async def commit(self, batch: Batch) -> Committed:
        """See JournalStore."""
        parameters = _parameters(batch, self._instance_id)
        points = _crash_points(batch)
        for point in points:
            faults.reach(f"{point}.before_commit")
        result = await self._run(_SQL["commit_batch"], parameters)
        self._commits += 1
        for point in points:
            faults.reach(f"{point}.after_commit")
        return _committed(batch, result)

    async def confirm(self, batch: Batch) -> frozenset[str]:
        """See JournalStore."""
        ids = [start.workflow_id for start in batch.starts] + [write.workflow_id for write in batch.writes]
        result = await self._run(_SQL["confirm_batch"], {"ids": texts(ids), "nonce": str(batch.nonce)})
        return frozenset(_ids(result))

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        self._drop()

    async def _run(self, statement: Numbered, parameters: Mapping[str, str]) -> PGresult:
        """The result of `statement`. See JournalStore.commit for what is raised."""
        try:
            if self._wire is None or self._wire.lost:
                self._wire = await self._connect()
            requests: list[Request] = [(statement, parameters)]
            if self._database.sessions and self._commits >= REPLAN_AFTER:
                requests.insert(0, (_SQL["replan"], {}))
                self._commits = 0
            *_, result = await self._wire.run(requests, _TIMEOUT_S)
            return result
        except (errors.SerializationFailure, errors.DeadlockDetected) as error:
            raise Conflicted(str(error)) from error
        except _BAD_DATA as error:
            raise BadData(str(error).strip()) from error
        except Exception as error:
            if not is_away(error):
                raise
            self._drop()
            raise Unreachable(str(error).strip() or type(error).__name__) from error

    async def _connect(self) -> Wire:
        self._drop()
        connection = await self._database.connect(journal=True)
        wire = Wire(connection)
        try:
            if self._database.sessions:
                await wire.prepare([_SQL["commit_batch"]], _TIMEOUT_S)
        except BaseException:
            wire.close()
            raise
        return wire

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


def _committed(batch: Batch, result: PGresult) -> Committed:
    """What the result says: a row for each start, each fence that held, each recorded step."""
    starts = [start.workflow_id for start in batch.starts]
    rows = {write.workflow_id: 1 + len(write.steps) for write in batch.writes}
    if result.ntuples == len(starts) + sum(rows.values()):
        return Committed(frozenset(starts), frozenset(rows))
    done = Counter(_ids(result))
    # A step that stood there already is a stranger's.
    accepted = (workflow_id for workflow_id, count in rows.items() if done[workflow_id] == count)
    return Committed(frozenset(each for each in starts if done[each]), frozenset(accepted))


def _ids(result: PGresult) -> Iterator[str]:
    for row in range(result.ntuples):
        yield (result.get_value(row, 0) or b"").decode()


def _crash_points(batch: Batch) -> list[str]:
    """The crash points that this batch passes."""
    points = ["start"] if batch.starts else []
    if any(write.steps for write in batch.writes):
        points.append("record")
    ends = {type(write.end) for write in batch.writes}
    if Ending in ends:
        points.append("finish")
    if Suspension in ends:
        points.append("suspend")
    return points


def _parameters(batch: Batch, instance_id: str) -> dict[str, str]:
    """Raises BadData for a text that Postgres can't hold."""
    held = [write for write in batch.writes if write.end is None]
    ends = [write for write in batch.writes if write.end is not None]
    steps = [(write.workflow_id, *_step_row(step)) for write in batch.writes for step in write.steps]
    try:
        return {
            "instance": instance_id,
            "nonce": str(batch.nonce),
            **literals(_STARTS, [_start_row(start) for start in batch.starts]),
            **literals(_HELD, [_held_row(write) for write in held]),
            **literals(_ENDS, [_end_row(write) for write in ends]),
            **literals(_STEPS, steps),
        }
    except ValueError as error:
        raise BadData(str(error)) from error


def _end_row(write: FencedWrite) -> tuple[Any, ...]:
    if isinstance(end := write.end, Ending):
        return write.workflow_id, write.epoch, end.status, end.output, end.error, end.response, None
    claimable_s = end.claimable_s if end is not None else None
    return write.workflow_id, write.epoch, Status.PENDING, None, None, None, claimable_s
