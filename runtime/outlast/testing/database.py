"""An in-memory Postgres: tables, sessions, open transactions and their locks.

The store's statements on it are in `statements/`, a file for each of `store/*.sql`. Each runs at one moment,
as a statement in autocommit does. A transaction of several statements holds its locks until it ends. A
statement that meets a lock either waits (`Blocked`) or skips the row, as in the SQL.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from outlast.core import kinds
from outlast.core.events import event_of
from outlast.core.ports import HeldUp
from outlast.core.records import NewWorkflow, StepRecord, Wait
from outlast.core.status import FAILED, LIVE, Status
from outlast.testing.maps import Maps
from outlast.testing.pgmq import SupabaseQueue
from outlast.testing.rows import (
    WITH_PARENT,
    ActRow,
    Blocked,
    BulkRow,
    Instance,
    Letter,
    LimitRow,
    Limits,
    QueueRow,
    Record,
    ScheduleRow,
    TickRow,
    Transaction,
    Workflow,
    is_killed,
    is_untold,
    over_of_pause,
)


class Database:
    """The tables, and the locks on them. `now` returns its time in Unix seconds."""

    def __init__(self, now: Callable[[], float], chance: random.Random, limits: Limits) -> None:
        self.workflows: dict[str, Workflow] = {}
        self.records: dict[tuple[str, str], Record] = {}
        self.instances: dict[str, Instance] = {}
        self.letters: list[Letter] = []
        self.waits: set[tuple[str, str]] = set()
        """Workflows that left the memory to wait for an end: the target, and the waiter."""
        self.event_waits: set[tuple[str, str, str]] = set()
        """Workflows that left the memory to wait for an event: its workflow, its name, and the waiter."""
        self.due: set[str] = set()
        """Waiters whose wait is over, and whose row refused to be woken."""
        self.refusing: dict[str, type[Exception]] = {}
        """Workflows whose rows refuse writes, and the error that a write raises."""
        self.effects: list[Any] = []
        self.queues: dict[str, QueueRow] = {}
        self.message_queues: dict[str, SupabaseQueue] = {}
        self.step_limits: dict[str, LimitRow] = {}
        self.attached: dict[str, tuple[str, NewWorkflow]] = {}
        """By a call's id, the workflow that it was attached to, and the call."""
        self.schedules: dict[str, ScheduleRow] = {}
        self.ticks: list[TickRow] = []
        self.bulks: dict[str, BulkRow] = {}
        self.acts: list[ActRow] = []
        self.schedule_editions: dict[str, int] = {}
        self.schedules_of: str | None = None
        """The edition whose schedules are in effect."""
        self.retentions: dict[str, float | None] = {}
        """How long functions with a retention keep ended workflows; None: for ever."""
        self.sessions: dict[int, float] = {}
        self.started_at = now()
        self.now = now
        self.chance = chance
        self.limits = limits
        self._open: dict[Transaction, None] = {}  # in their order
        self._waiting: list[Callable[[], None]] = []

        self.maps = Maps(
            self.workflows,
            self.records,
            self.queues,
            now,
            self.is_locked,
            self.refuses,
            self.tell_events,
            self.cancel,
        )

    # --- queues -------------------------------------------------------------------------------------------

    def queue(self, name: str) -> QueueRow:
        """The row of a queue. A queue that nobody declares has no limits."""
        return self.queues.setdefault(name, QueueRow())

    def waiting(self, queue: str) -> Iterator[tuple[str, Workflow]]:
        """The workflows that wait in a queue to be claimed, now or later."""
        for workflow_id, row in self.workflows.items():
            if row.new.queue == queue and row.owner is None and row.claimable_at is not None:
                yield workflow_id, row

    def date(self) -> datetime:
        """The database's time, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)

    def insert_waiting(self, new: NewWorkflow, nonce: int) -> None:
        """Insert a row that waits to be claimed."""
        now = self.now()
        row = Workflow(new, None, nonce, now, now, Status.ENQUEUED, 0, claimable_at=now + new.delay_s)
        row.detached = new.detached
        row.attributes = new.attributes
        self.workflows[new.workflow_id] = row
        if new.queue is not None:
            self.queue(new.queue)

    def orphans(self) -> Iterator[tuple[Workflow, Workflow | None]]:
        """Members whose batch has ended, or is gone, and that batch."""
        for row in self.workflows.values():
            if row.status == Status.PENDING and row.batch is not None:
                batch = self.workflows.get(row.batch)
                if batch is None or batch.status != Status.PENDING:
                    yield row, batch

    def end_members(self) -> None:
        """`outlast.end_members`."""
        for row, batch in list(self.orphans()):
            if row.new.workflow_id in self.refusing:
                continue
            row.status = Status.CANCELLED if batch is None else batch.status
            row.error = json.dumps({"code": "workflow_cancelled"}) if batch is None else batch.error
            if batch is not None and batch.output is not None:
                row.output = json.dumps(json.loads(batch.output)[row.batch_place - 1])
            row.epoch += 1
            row.updated_at = self.now()
        self.tell_ends()

    # --- code ---------------------------------------------------------------------------------------------

    def fits(self, row: Workflow, instance_id: str) -> bool:
        """`outlast.fits`."""
        instance = self.instances.get(instance_id)
        versions = (instance.versions if instance is not None else None) or {}
        function = row.new.function
        return function in versions and versions[function] not in row.misfits

    def anyone_fits(self, row: Workflow, but: str | None = None) -> bool:
        """`outlast.anyone_fits`."""
        return any(
            each.lease_until > self.now() and name != but and self.fits(row, name)
            for name, each in self.instances.items()
        )

    # --- ends ---------------------------------------------------------------------------------------------

    def may_start(self, new: NewWorkflow) -> bool:
        """Whether the workflow that starts it is live: see `start.sql`."""
        parent = None if new.parent is None else self.workflows.get(new.parent)
        return new.parent is None or (parent is not None and parent.status == Status.PENDING)

    def begin_waits(self, waiter: str, targets: Iterable[str]) -> bool:
        """`outlast.begin_waits` for one waiter; whether it is claimable at once."""
        ready = False
        for target in (self.attached.get(each, (each, None))[0] for each in targets):
            row = self.workflows.get(target)
            if row is None or row.status not in LIVE:
                ready = True
            elif target in self.refusing and row.new.parent is None and not row.awaited:
                ready = True  # the wait can't be recorded
            else:
                row.awaited = True
                self.waits.add((target, waiter))
        if ready:
            self.workflows[waiter].claimable_at = self.now()
        return ready

    def begin_event_waits(self, waiter: str, waits: Iterable[Wait]) -> bool:
        """`outlast.begin_event_waits` for one waiter; whether it is claimable at once."""
        ready, noted = False, set()
        for wait in waits:
            target = self.attached.get(wait.target, (wait.target, None))[0]
            row = self.workflows.get(target)
            # guard: waits-for-what-is-published-in-memory without 3
            if row is None or row.status not in LIVE or any(
                order > wait.after for order in self._published(target, wait.event)
            ):  # fmt: skip
                ready = True
            noted.add((target, wait.event, waiter))
        if ready:
            self.workflows[waiter].claimable_at = self.now()
        else:
            self.event_waits |= noted
        return ready

    def _published(self, workflow_id: str, event: str) -> Iterator[int]:
        for step in self.steps_of(workflow_id).values():
            if event_of(step.name, step.kind) == event and step.completion_order is not None:
                yield step.completion_order

    def tell_events(self, workflow_id: str, event: str) -> bool:
        """`outlast.tell_events` for one event; whether a workflow was woken."""
        over = {wait for wait in self.event_waits if wait[:2] == (workflow_id, event)}
        self.event_waits -= over
        # guard: events-told-to-nobody-in-memory = []
        woken = [self._wake(waiter) for _, _, waiter in sorted(over)]
        return any(woken)

    def _wake(self, waiter: str) -> bool:
        row = self.workflows.get(waiter)
        self.due.discard(waiter)
        if row is None or row.owner is not None or not row.awaits or (row.claimable_at or 0) <= self.now():
            return False
        if waiter in self.refusing:
            # guard: refused-waiters-forgotten-in-memory
            self.due.add(waiter)
            return False
        row.claimable_at = self.now()
        return True

    def tell_ends(self) -> int:
        """`outlast.tell_untold`, for all that have ended, or must undo. Return how many were woken."""
        woken, refused = 0, set[str]()
        while untold := [
            each
            for each, row in self.workflows.items()
            if is_untold(row) and each not in refused and not self._has_held_map(row)
        ]:
            for workflow_id in untold:
                row = self.workflows[workflow_id]
                # guard: memory-children-outlast-the-undoing without 2
                stops = row.status == Status.CANCELLED or row.saga == "stopping"
                all_stopped = self._cancel_children(workflow_id) if stops else True
                if workflow_id in self.refusing or not all_stopped:
                    refused.add(workflow_id)
                else:
                    row.untold = False
            # guard: memory-maps-end-later
            self.maps.end([each for each in untold if self._is_over(each)])
        over = {wait for wait in self.waits if self._is_over(wait[0])}
        for waiter in sorted({*self.due, *(waiter for _, waiter in over)}):
            woken += self._wake(waiter)
        self.waits -= over
        return woken

    def _has_held_map(self, row: Workflow) -> bool:
        """Whether `outlast.hold_map` fails for this item. A map whose row refuses can't be told either."""
        parent = row.new.parent
        if parent is None or row.new.queue != parent:
            return False
        return self.is_locked(parent) or parent in self.refusing

    def _is_over(self, target: str) -> bool:
        return target not in self.workflows or self.workflows[target].status not in LIVE

    def _cancel_children(self, parent: str) -> bool:
        """Cancel its children. Whether none of their rows refused."""
        refused = False
        killed = is_killed(self.workflows[parent])
        for workflow_id in self.alive_below(parent, through=killed):
            row = self.workflows[workflow_id]
            # A child that undoes is cancelled already.
            if workflow_id not in self.refusing:
                self.cancel(row, WITH_PARENT, kill=killed)
            elif killed or row.saga in (None, "open"):
                refused = True
        return not refused

    def alive_below(self, workflow_id: str, *, through: bool = True) -> list[str]:
        """`outlast.alive_below`; without `through` only its own children."""
        found = []
        for each, row in self.workflows.items():
            if row.new.parent != workflow_id or row.detached:
                continue
            if row.status in LIVE:
                found.append(each)
            # guard: memory-kills-stop-at-the-cancelled
            elif through and row.ended_by_stop and not is_killed(row):
                found += self.alive_below(each)
        return found

    def kill_below(self, workflow_id: str) -> bool:
        """`outlast.kill_below`, without recording the act."""
        if not self.alive_below(workflow_id):
            return False
        row = self.workflows[workflow_id]
        row.error = json.dumps({**json.loads(row.error or "{}"), "mode": "kill"})
        row.untold, row.updated_at = True, self.now()
        return True

    def note_act(
        self, noun: str, name: str, verb: str, by: str, why: str | None, before: str | None = None
    ) -> None:
        """`outlast.note_act`."""
        self.acts.append(ActRow(self.now(), verb, noun, name, by, why, before))

    def cancel(self, row: Workflow, message: str, *, kill: bool = False) -> None:
        """`outlast.cancel_workflows`, for a live one."""
        error = json.dumps({"code": "workflow_cancelled", "message": message})
        row.updated_at, row.untold = self.now(), True
        if row.saga is None or kill:
            if kill:
                error = json.dumps({**json.loads(error), "mode": "kill"})
            row.saga = row.stop = row.held = None
            # guard: memory-cancelled-unheard = setattr(row, "stopped_on", None)
            row.stopped_on = row.owner
            row.status, row.owner, row.claimable_at, row.error = Status.CANCELLED, None, None, error
            row.epoch += 1
            return
        # Cancelling a paused workflow lets it undo.
        row.held = over_of_pause(row.held)
        if row.saga == "open":
            row.saga, row.stop = "stopping", error
            if row.owner is None:
                row.claimable_at = self.now()

    def attached_by(self, ids: Collection[str]) -> list[str]:
        """The workflows whose calls were attached to these."""
        return [call.parent for target, call in self.attached.values() if target in ids and call.parent]

    def reader_among(self, ids: Iterable[str], own: Collection[str]) -> str | None:
        """`outlast.reader_among`."""
        line, found = set(ids), set(ids)
        while found:
            found = {each for each, row in self.workflows.items() if row.forked_from in line} - line
            line |= found
        there = {each: self.workflows[each].status for each in sorted(line) if each in self.workflows}
        live = [each for each, status in there.items() if status in LIVE]
        # guard: memory-removed-before-a-retry = []
        failed = [
            each
            for each, status in there.items()
            if status in FAILED and each not in own and self._has_started(each)
        ]
        return next(iter(live + failed), None)

    def _has_started(self, workflow_id: str) -> bool:
        return any(each.kind in kinds.STARTING for each in self.steps_of(workflow_id).values())

    def records_of(self, workflow_id: str) -> dict[str, Record]:
        """The records of one workflow, by their step ids."""
        return {step_id: each for (of, step_id), each in self.records.items() if of == workflow_id}

    def steps_of(self, workflow_id: str) -> dict[str, StepRecord]:
        """The same records as the engine knows them."""
        return {step_id: each.step for step_id, each in self.records_of(workflow_id).items()}

    def remove(self, workflow_id: str) -> None:
        """Remove the row of a workflow, and what belongs to it."""
        if self.workflows.pop(workflow_id).map is not None:
            self.queues.pop(workflow_id, None)
        for step_id in self.records_of(workflow_id):
            del self.records[workflow_id, step_id]
        # The ids of messages are their places in this list.
        for letter in self.letters:
            if letter.workflow_id == workflow_id:
                letter.workflow_id, letter.visible = "", False
        for call in [each for each, (target, _) in self.attached.items() if target == workflow_id]:
            del self.attached[call]
        self.waits = {each for each in self.waits if workflow_id not in each}
        self.event_waits = {each for each in self.event_waits if workflow_id not in (each[0], each[2])}

    # --- sessions and locks -------------------------------------------------------------------------------

    def connect(self) -> int:
        """Open a session; return its number."""
        number = len(self.sessions) + 1 + self.chance.getrandbits(40)
        self.sessions[number] = self.now()
        return number

    def disconnect(self, session: int | None) -> None:
        """End a session."""
        if session is not None:
            self.sessions.pop(session, None)

    def restart(self) -> None:
        """End every session and every open transaction; what was committed stays."""
        self.sessions.clear()
        self.started_at = self.now()
        for transaction in list(self._open):
            self.rollback(transaction)

    def end_lease(self, instance_id: str) -> None:
        """End an instance's lease, when it leaves or was killed."""
        if instance_id in self.instances:
            self.instances[instance_id].lease_until = float("-inf")

    def when_released(self, again: Callable[[], None]) -> None:
        """Call `again` once, when a transaction has ended."""
        self._waiting.append(again)

    def _release(self, transaction: Transaction) -> None:
        transaction.open = False
        self._open.pop(transaction, None)
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            again()

    def is_locked(self, workflow_id: str) -> bool:
        """Whether an open transaction holds this workflow's row."""
        return any(each.holds == workflow_id for each in self._open)

    def wait_for_lock(self, workflow_id: str) -> None:
        """Raises Blocked while the workflow's row is held."""
        if self.is_locked(workflow_id):
            raise Blocked(workflow_id)

    def refuses(self, workflow_id: str) -> bool:
        """Whether this workflow's row refuses writes."""
        return workflow_id in self.refusing

    def wait_for_writable(self, *ids: str) -> None:
        """Raises HeldUp if one of these rows refuses writes."""
        for each in ids:
            if each in self.refusing:
                raise HeldUp(f"{each} stays as it is")

    def check_writable(self, workflow_id: str) -> None:
        """Raises the error with which this workflow's row refuses writes."""
        if (error := self.refusing.get(workflow_id)) is not None:
            raise error(f"{workflow_id} stays as it is")

    def wait_for_record(self, key: tuple[str, str]) -> None:
        """Raises Blocked while an open transaction has inserted this record."""
        if any(each.record is not None and each.record[0] == key for each in self._open):
            raise Blocked(key)

    # --- transactions -------------------------------------------------------------------------------------

    def begin(self) -> Transaction:
        """`begin`."""
        transaction = Transaction()
        self._open[transaction] = None
        return transaction

    def finish(self, transaction: Transaction) -> None:
        """`commit`. The transaction must be open."""
        assert transaction.open
        self.effects += transaction.effects
        if transaction.record is not None:
            key, record = transaction.record
            self.records[key] = record
        self._release(transaction)

    def rollback(self, transaction: Transaction) -> None:
        """`rollback`, also that of a session that ends."""
        if transaction.open:
            self._release(transaction)
