"""The journal's statements: a batch of starts, steps and ends as arrays, one round trip, one commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from psycopg import DatabaseError, ProgrammingError, errors
from psycopg.pq.abc import PGresult

from outlast.core import faults, kinds
from outlast.core.attributes import all_changes
from outlast.core.clock import monotonic
from outlast.core.events import event_of
from outlast.core.names import BATCH
from outlast.core.ports import BadData, Conflicted, JournalStore, Locked, TableHeld, Unreachable
from outlast.core.records import Batch, Committed, Ending, FencedWrite, StepRecord, Suspension
from outlast.core.status import Status
from outlast.store.arrays import Literal, literals, numbers, texts, values
from outlast.store.connections import CONFLICTS, GIVEN_UP, Database, is_away
from outlast.store.queries import Numbered, for_one_row, load_numbered
from outlast.store.realtime import Broadcasts
from outlast.store.wire import Request, Wire

_SQL = load_numbered("journal.sql")
_START, _WRITE, _RECORD = _SQL["start_batch"], _SQL["write_batch"], _SQL["record_batch"]
_START_ONE, _WRITE_ONE, _RECORD_ONE = map(for_one_row, (_START, _WRITE, _RECORD))
_WAKES = [_SQL[name] for name in ("begin_waits", "begin_event_waits", "tell_events")]
_PREPARED = [_START_ONE, _START, _WRITE_ONE, _WRITE, _RECORD_ONE, _RECORD, *_WAKES]
_LIMIT_LOCKS: list[Request] = [(_SQL["limit_locks"], {})]
_REPLAN: list[Request] = [(_SQL["replan"], {})]
_TIMEOUT_S = 35.0
REPLAN_AFTER = 1_000
"""Commits after which the statements are planned again: plans made for empty tables must not stay."""
_BAD_DATA = (
    errors.DataError,
    errors.IntegrityError,
    errors.ProgramLimitExceeded,
    # These are raised by the project's own triggers.
    errors.RaiseException,
    errors.NoDataFound,
    errors.TooManyRows,
    errors.AssertFailure,
    UnicodeEncodeError,
)
_UNNAMED = (DatabaseError, ProgrammingError)
"""Only these classes themselves, not subclasses: for codes unknown to Postgres, which a trigger raised."""


def _columns(statement: Numbered, prefix: str) -> dict[str, Literal]:
    """The parameters of a statement for the columns of one kind of rows, in the order of their values."""
    return {
        name: texts if kind == "text" else numbers
        for name, kind in statement.arrays()
        if name.startswith(prefix)
    }


_STARTS = _columns(_START, "start_")
NEW = {name: literal for name, literal in _STARTS.items() if name != "start_owners"}
"""The columns of new rows in the order of NewWorkflow's values. The owner comes after them."""

_HELD, _ENDS, _STEPS = (_columns(_WRITE, prefix) for prefix in ("held_", "end_", "step_"))

_NOTED = frozenset({kinds.STOP, kinds.UNDO, kinds.ATTRIBUTES})
"""Kinds of records that are also noted in the workflow's row."""


class PostgresJournal(JournalStore):
    """`JournalStore` over one connection of its own."""

    def __init__(self, database: Database, instance_id: str, broadcasts: Broadcasts | None = None) -> None:
        self._database = database
        self._instance_id = instance_id
        self._broadcasts = broadcasts
        self._wire: Wire | None = None
        self._prepares = False
        self._commits = 0

    async def commit(self, batch: Batch) -> Committed:
        requests = _build_requests(batch, self._instance_id)
        first, own = 0, len(requests)
        wakes: list[Request] = []
        broadcast = None
        kinds_written = {step.kind for write in batch.writes for step in write.steps}
        if not kinds_written.isdisjoint(_NOTED):
            # These come first: after a suspension in the same batch, this instance no longer owns the row.
            marked = _mark_sagas(batch, self._instance_id) + _set_attributes(batch, self._instance_id)
            first, requests = len(marked), marked + requests
        if kinds.PUBLISH in kinds_written:
            wakes = _tell_events(batch)
            if self._broadcasts is not None:
                broadcast = self._broadcasts.request_for(batch)
        if any(write.end is not None for write in batch.writes):
            requests += _end_batches(batch)
            wakes += _begin_waits(batch)
        if batch.starts:
            requests += _detach(batch)
        points = _crash_points(batch) if faults.is_armed() else ()
        for point in points:
            faults.reach(f"{point}.before_commit")
        requests += wakes
        if broadcast is None:
            results = await self._run(batch, requests)
        else:
            results = await self._broadcast(batch, requests, broadcast)
        self._commits += 1
        for point in points:
            faults.reach(f"{point}.after_commit")
        woken = bool(wakes) and any(each.get_value(0, 0) != b"0" for each in results[-len(wakes) :])
        return _read_results(batch, results[first : first + own], woken=woken)

    async def confirm(self, batch: Batch) -> dict[str, float | None]:
        request = (_SQL["confirm_batch"], {"ids": texts(batch.workflow_ids), "nonce": str(batch.nonce)})
        (result,) = await self._run(batch, [request])
        done = Counter(_ids(result))
        rows = dict.fromkeys((start.workflow_id for start in batch.starts), 1)
        rows |= {write.workflow_id: len(write.steps) + (write.end is not None) for write in batch.writes}
        # Only complete ones count. If another record was in the way, the rest may still have been written.
        created_s = {workflow_id: at for workflow_id, at in _creation_times(result) if at is not None}
        return {each: created_s.get(each) for each, count in rows.items() if 0 < count == done[each]}

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        self._drop()

    async def _broadcast(
        self, batch: Batch, requests: Sequence[Request], broadcast: Request
    ) -> list[PGresult]:
        """The results of `requests`. The events are sent with them, unless that makes them fail."""
        assert self._broadcasts is not None
        try:
            *results, told = await self._run(batch, [*requests, broadcast])
        except (Conflicted, Locked):
            raise
        except Unreachable as error:
            # guard: realtime-hangs-again
            if isinstance(error.__cause__, TimeoutError):
                self._broadcasts.pause(str(error))
            raise
        except Exception as error:  # noqa: BLE001 - the same requests without it show whose fault it was
            results = await self._run(batch, requests)
            self._broadcasts.pause(str(error))
            return results
        self._broadcasts.on_answer(told)
        return results

    async def _run(self, batch: Batch, requests: Sequence[Request]) -> list[PGresult]:
        """The results of `requests`, which belong to `batch`, run in one transaction.

        See JournalStore.commit for the errors raised.
        """
        try:
            if self._wire is None or self._wire.lost:
                self._wire = await self._connect()
            before: Sequence[Request] = ()
            if not self._prepares:
                before = _LIMIT_LOCKS
            elif self._commits >= REPLAN_AFTER:
                self._commits = 0
                before = _REPLAN
            results = await self._wire.run([*before, *requests], _TIMEOUT_S)
            return results[len(before) :]
        except CONFLICTS as error:
            raise Conflicted(str(error)) from error
        except errors.LockNotAvailable as error:
            raise await self._find_lock(batch, str(error).strip().partition("\n")[0]) from error
        except _BAD_DATA as error:
            # Only the first line is used: the next ones quote the row, and callers see this text.
            raise BadData(str(error).strip().partition("\n")[0]) from error
        except Exception as error:
            if type(error) in _UNNAMED and getattr(error, "sqlstate", None):
                raise BadData(str(error).strip().partition("\n")[0]) from error
            # guard: given-up-is-away without 2
            if not is_away(error) or isinstance(error, GIVEN_UP):  # a smaller batch may succeed
                raise
            self._drop()
            raise Unreachable(str(error).strip() or type(error).__name__) from error

    async def _find_lock(self, batch: Batch, text: str) -> TableHeld | Locked:
        """The error for a lock that `batch` did not get in time.

        A locked table is locked for all: all workflows wait. The same holds if the server can't be asked.
        """
        try:
            assert self._wire is not None
            (tables,) = await self._wire.run([(_SQL["tables_held"], {})], _TIMEOUT_S)
            # guard: tables-held-from-one = False
            if tables.get_value(0, 0) != b"f":
                return TableHeld(text)
            request = (_SQL["rows_held"], {"ids": texts(batch.workflow_ids)})
            (held,) = await self._wire.run([request], _TIMEOUT_S)
        except Exception:  # noqa: BLE001 - the next commit meets it again
            return TableHeld(text)
        return Locked(text, frozenset(_ids(held)))

    async def _connect(self) -> Wire:
        self._drop()
        connection = await self._database.connect(journal=True)
        if self._broadcasts is not None:
            connection.add_notice_handler(self._broadcasts.on_notice)
        wire = Wire(connection)
        self._prepares = connection.kind.sessions
        try:
            if self._prepares:
                await wire.prepare(_PREPARED, _TIMEOUT_S)
        except BaseException:
            wire.close()
            raise
        return wire

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


def _read_results(batch: Batch, results: Sequence[PGresult], *, woken: bool) -> Committed:
    """Read the results: starts have one row each; writes have one for each fence that held and for each step.

    The last row of writes, without an id, has the number of workflows that the ends woke.
    """
    started: Iterable[str] = ()
    accepted: Iterable[str] = ()
    created_s = None
    if batch.starts:
        found = results[0]
        every = found.ntuples == len(batch.starts)
        started = [start.workflow_id for start in batch.starts] if every else _ids(found)
        created_s = next((at for _, at in _creation_times(found)), None)  # the same time for all
    if batch.writes:
        found = results[-1]
        count = found.ntuples
        if count and found.get_value(count - 1, 0) is None:
            count -= 1
            woken = woken or found.get_value(count, 1) != b"0"
        rows = {write.workflow_id: 1 + len(write.steps) for write in batch.writes}
        accepted = rows
        if count != sum(rows.values()):
            done = Counter(_ids(found))
            # A step that already existed belongs to another execution.
            # guard: part-accepted = rows
            accepted = [each for each, expected in rows.items() if expected == done[each]]
    return Committed(frozenset(started), frozenset(accepted), created_s, woken)


def _ids(result: PGresult) -> Iterator[str]:
    for row in range(result.ntuples):
        yield (result.get_value(row, 0) or b"").decode()


def _creation_times(result: PGresult) -> Iterator[tuple[str, float | None]]:
    for row, workflow_id in enumerate(_ids(result)):
        at = result.get_value(row, 1)
        yield workflow_id, None if at is None else float(at)


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


def _build_requests(batch: Batch, instance_id: str) -> list[Request]:
    """The statements and their parameters: that of starts first, that of writes last.

    Raises BadData for a text that Postgres can't store.
    """
    by = {"instance": instance_id, "nonce": batch.nonce}
    requests: list[Request] = []
    held, ends, steps = [], [], []
    now = monotonic()
    for write in batch.writes:
        if write.end is None:
            held.append((write.workflow_id, write.epoch))
        else:
            ends.append(_end_row(write, write.end))
        for step in write.steps:
            steps.append(_step_row(write.workflow_id, step, now))
    try:
        if batch.starts:
            starts = [(*start[: len(NEW)], None if start.waits else instance_id) for start in batch.starts]
            lone = len(starts) == 1
            columns = values(_STARTS, starts) if lone else literals(_STARTS, starts)
            requests.append((_START_ONE if lone else _START, {**by, **columns}))
        if batch.writes:
            lone = len(batch.writes) == 1 and len(steps) <= 1
            form = values if lone else literals
            records = {**by, **form(_HELD, held), **form(_STEPS, steps)}
            if ends:
                requests.append((_WRITE_ONE if lone else _WRITE, {**records, **form(_ENDS, ends)}))
            else:
                requests.append((_RECORD_ONE if lone else _RECORD, records))
    except ValueError as error:
        raise BadData(str(error)) from error
    return requests


def _end_batches(batch: Batch) -> list[Request]:
    """The statements that end the members of batches that end now."""
    ids = [
        write.workflow_id
        for write in batch.writes
        if isinstance(write.end, Ending) and write.workflow_id.endswith(BATCH)
    ]
    refused = [
        (write.workflow_id, place, error)
        for write in batch.writes
        if isinstance(write.end, Ending)
        for place, error in write.end.refused
    ]
    requests: list[Request] = []
    if refused:
        of, places, errors = zip(*refused, strict=True)
        requests.append(
            (
                _SQL["refuse_members"],
                {"batches": texts(of), "places": numbers(places), "errors": texts(errors)},
            )
        )
    if ids:
        requests.append((_SQL["end_members"], {"batches": texts(ids)}))
    # guard: members-end-later = []
    return requests


def _mark_sagas(batch: Batch, instance_id: str) -> list[Request]:
    """The statement that marks rows that have something to undo, or that undo, for cancels to see."""
    marked: dict[str, tuple[int, str]] = {}
    for write in batch.writes:
        kinds_written = {step.kind for step in write.steps}
        if kinds.STOP in kinds_written:
            marked[write.workflow_id] = (write.epoch, "undoing")
        elif kinds.UNDO in kinds_written:
            marked[write.workflow_id] = (write.epoch, "open")
    # guard: sagas-unmarked
    if not marked:
        return []
    epochs, sagas = zip(*marked.values(), strict=True)
    parameters = {"ids": texts(list(marked)), "epochs": numbers(epochs), "sagas": texts(sagas)}
    return [(_SQL["mark_sagas"], {"instance": instance_id, **parameters})]


def _set_attributes(batch: Batch, instance_id: str) -> list[Request]:
    """The statement for attributes that bodies have set in this batch."""
    set_by: dict[str, tuple[int, str, str]] = {}
    for write in batch.writes:
        steps = [step for step in write.steps if step.kind == kinds.ATTRIBUTES]
        # guard: attributes-only-recorded
        if steps:
            changes = all_changes([step.output or "{}" for step in steps])
            set_by[write.workflow_id] = (write.epoch, steps[0].step_id, changes)
    if not set_by:
        return []
    epochs, step_ids, changed = zip(*set_by.values(), strict=True)
    parameters = {
        "ids": texts(list(set_by)),
        "epochs": numbers(epochs),
        "steps": texts(step_ids),
        "changes": texts(changed),
    }
    return [(_SQL["set_attributes"], {"instance": instance_id, **parameters})]


def _begin_waits(batch: Batch) -> list[Request]:
    """The statements that note the waits of workflows that leave the memory now."""
    waits = [
        (write.workflow_id, *wait)
        for write in batch.writes
        if isinstance(write.end, Suspension)
        for wait in write.end.waits
    ]
    ends = [each for each in waits if not each[2]]
    events = [each for each in waits if each[2]]
    return [
        (_SQL[name], {**_wait_columns(of), "nonce": str(batch.nonce)})
        for name, of in (("begin_waits", ends), ("begin_event_waits", events))
        if of
    ]


def _wait_columns(waits: Sequence[tuple[str, str, str, int]]) -> dict[str, str]:
    waiters, targets, events, afters = zip(*waits, strict=True)
    return {
        "waiters": texts(waiters),
        "targets": texts(targets),
        "events": texts(events),
        "afters": numbers(afters),
    }


def _tell_events(batch: Batch) -> list[Request]:
    """The statement that wakes workflows that wait for events recorded now."""
    told = {
        (write.workflow_id, event)
        for write in batch.writes
        for step in write.steps
        if step.kind == kinds.PUBLISH and (event := event_of(step.name, step.kind)) is not None
    }
    if not told:
        return []
    workflows, events = zip(*sorted(told), strict=True)
    return [(_SQL["tell_events"], {"workflows": texts(workflows), "events": texts(events)})]


def _detach(batch: Batch) -> list[Request]:
    ids = [start.workflow_id for start in batch.starts if start.detached]
    return [(_SQL["detach"], {"ids": texts(ids), "nonce": str(batch.nonce)})] if ids else []


def _step_row(workflow_id: str, step: StepRecord, now: float) -> tuple[Any, ...]:
    """The row of a step. Times are in microseconds: `at` as such, those of the attempt as their age."""
    step_id, name, output, error, attempts, place, kind, at_s, arguments, began, ended, called = step
    at = None if at_s is None else round(at_s * 1e6)
    begin = 0 if began is None else int((now - began) * 1e6)
    end = 0 if ended is None else int((now - ended) * 1e6)
    return (
        workflow_id, step_id, name, output, error, attempts, place, kind, at, arguments, begin, end, called,
    )  # fmt: skip


def _end_row(write: FencedWrite, end: Ending | Suspension) -> tuple[Any, ...]:
    if isinstance(end, Ending):
        return write.workflow_id, write.epoch, *end[:4], None, None
    return write.workflow_id, write.epoch, Status.PENDING, None, None, None, end.claimable_s, end.awaits
