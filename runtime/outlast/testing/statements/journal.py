"""`journal.sql` and `transactions.sql` in memory: the writes of one instance."""

from __future__ import annotations

import json
from typing import Any

from outlast.core import kinds
from outlast.core.attributes import merged
from outlast.core.events import event_of
from outlast.core.names import BATCH
from outlast.core.ports import BadData, Fence
from outlast.core.records import Batch, Committed, Ending, FencedWrite, NewWorkflow, StepRecord, Suspension
from outlast.core.status import Status
from outlast.testing.rows import Record, Transaction, Workflow
from outlast.testing.statements.statements import Statements


class JournalStatements(Statements):
    """See core.ports.JournalStore, and `record_transaction` and `recorded_step` of transactions."""

    def commit(self, batch: Batch) -> Committed:
        """`start_batch` and `write_batch`.

        Raises BadData, Blocked, and the error with which a row refuses.
        """
        self._check_rows(batch)
        for write in batch.writes:
            if self._owns(write):
                self._set_attributes(write)
        started = frozenset(new.workflow_id for new in batch.starts if self._start(new, batch.nonce))
        # One snapshot: all fences are checked before anything of the batch is written.
        fenced = [write for write in batch.writes if self._owns(write)]
        accepted = frozenset(write.workflow_id for write in fenced if self._write(write, batch.nonce))
        if any(write.workflow_id.endswith(BATCH) for write in fenced):
            self._refuse_members(fenced)
            self._db.end_members()
        woken = self._db.tell_ends() > 0
        for write in fenced:
            for step in write.steps:
                if (event := event_of(step.name, step.kind)) is not None:
                    woken |= self._db.tell_events(write.workflow_id, event)
        for write in fenced:
            if isinstance(write.end, Suspension):
                ends = [each.target for each in write.end.waits if not each.event]
                woken |= self._db.begin_waits(write.workflow_id, ends)
                events = [each for each in write.end.waits if each.event]
                woken |= self._db.begin_event_waits(write.workflow_id, events)
        return Committed(started, accepted, self._db.now(), woken)

    def _check_rows(self, batch: Batch) -> None:
        for write in batch.writes:
            if write.end is not None and self._owns(write):
                self._db.wait_for_lock(write.workflow_id)
            for step in write.steps:
                self._db.wait_for_record((write.workflow_id, step.step_id))
        _check(batch)
        for write in batch.writes:
            if self._owns(write) and self._updates(write):
                self._db.check_writable(write.workflow_id)

    def _refuse_members(self, fenced: list[FencedWrite]) -> None:
        errors = {
            (write.workflow_id, place): error
            for write in fenced
            if isinstance(write.end, Ending)
            for place, error in write.end.refused
        }
        for row, batch in self._db.orphans():
            if batch is not None and (error := errors.get((str(row.batch), row.batch_place))) is not None:
                row.status, row.error, row.updated_at = Status.ERROR, error, self._db.now()
                row.epoch += 1

    def _start(self, new: NewWorkflow, nonce: int) -> bool:
        if new.workflow_id in self._db.workflows or not self._db.may_start(new):
            return False
        now = self._db.now()
        if new.waits:
            self._db.insert_waiting(new, nonce)
        else:
            row = Workflow(new, self._me, nonce, now, now, began_at=now)
            row.detached, row.attributes = new.detached, new.attributes
            self._db.workflows[new.workflow_id] = row
        return True

    def _updates(self, write: FencedWrite) -> bool:
        """Whether it changes the row itself. A record doesn't."""
        saga, written = self._db.workflows[write.workflow_id].saga, {step.kind for step in write.steps}
        marks = kinds.STOP in written or (kinds.UNDO in written and saga is None)
        return write.end is not None or marks or kinds.ATTRIBUTES in written

    def _write(self, write: FencedWrite, nonce: int) -> bool:
        """Whether the fence held and every step was recorded now."""
        if write.end is not None:
            self._end(self._db.workflows[write.workflow_id], write.end, nonce)
        self._mark_saga(write)
        recorded = [self._record(write.workflow_id, step, nonce) for step in write.steps]
        return all(recorded)

    def _mark_saga(self, write: FencedWrite) -> None:
        """`mark_sagas`."""
        row, written = self._db.workflows[write.workflow_id], {step.kind for step in write.steps}
        if kinds.STOP in written:
            row.saga = "undoing"
        elif kinds.UNDO in written and row.saga is None:
            row.saga = "open"

    def _set_attributes(self, write: FencedWrite) -> None:
        """`set_attributes`. Raises BadData."""
        row = self._db.workflows[write.workflow_id]
        for step in write.steps:
            # guard: memory-sets-attributes-again without 2
            if step.kind == kinds.ATTRIBUTES and (write.workflow_id, step.step_id) not in self._db.records:
                try:
                    row.attributes = merged(row.attributes, step.output or "{}")
                except ValueError as error:
                    raise BadData(str(error)) from error

    def _end(self, row: Workflow, end: Any, nonce: int) -> None:
        now = self._db.now()
        row.owner, row.nonce, row.updated_at, row.untold = None, nonce, now, True
        row.awaits = None if isinstance(end, Ending) else end.awaits
        if isinstance(end, Ending):
            row.status, row.output, row.error, row.response = end[:4]
            row.claimable_at = None
        elif end.claimable_s is None:
            row.claimable_at = now
        else:
            arrived = end.awaits is not None and row.mail > json.loads(end.awaits)["mail"]
            wakes = arrived or row.saga == "stopping"
            row.claimable_at, row.recovery_attempts = now if wakes else end.claimable_s, 0

    def _record(self, workflow_id: str, step: StepRecord, nonce: int) -> bool:
        standing = self._db.records.get((workflow_id, step.step_id))
        if standing is None:
            self._db.records[workflow_id, step.step_id] = Record(
                step, nonce, self._db.now(), instance=self._me
            )
            return True
        if standing.step.completion_order is not None or standing.step.name != step.name:
            return False
        over = standing.step._replace(
            completion_order=step.completion_order, error=step.error, at_s=step.at_s, kind=step.kind,
            ended=step.ended,
        )  # fmt: skip
        if step.kind in ("receive", "wait_any", "event"):
            over = over._replace(output=step.output)
        self._db.records[workflow_id, step.step_id] = Record(over, nonce, self._db.now(), instance=self._me)
        return True

    def confirm(self, batch: Batch) -> dict[str, float | None]:
        """`confirm_batch`: the workflows that bear the nonce in all rows that the batch writes for them."""
        started = {each.workflow_id for each in batch.starts if self._bears(each.workflow_id, batch.nonce)}
        accepted = {each.workflow_id for each in batch.writes if self._bears_all(each, batch.nonce)}
        return {each: self._db.workflows[each].created_at for each in sorted(started | accepted)}

    def _bears(self, workflow_id: str, nonce: int) -> bool:
        row = self._db.workflows.get(workflow_id)
        return row is not None and row.nonce == nonce

    def _bears_all(self, write: FencedWrite, nonce: int) -> bool:
        if write.end is not None and not self._bears(write.workflow_id, nonce):
            return False
        standing = [self._db.records.get((write.workflow_id, step.step_id)) for step in write.steps]
        return all(each is not None and each.nonce == nonce for each in standing)

    def record_transaction(self, transaction: Transaction, fence: Fence, step: StepRecord) -> bool:
        """`record_transaction`. Raises Blocked."""
        key = (fence.workflow_id, fence.step_id)
        row = self._db.workflows.get(fence.workflow_id)
        if row is None or row.epoch != fence.epoch or row.owner != self._me:
            return False
        self._db.wait_for_record(key)
        if key in self._db.records:
            return False
        transaction.holds = fence.workflow_id
        transaction.record = (key, Record(step, fence.nonce, self._db.now()))
        return True

    def recorded_step(self, fence: Fence) -> StepRecord | None:
        """`recorded_step`."""
        record = self._db.records.get((fence.workflow_id, fence.step_id))
        return record.step if record else None


def _check(batch: Batch) -> None:
    """Refuse what Postgres refuses: NUL."""
    texts = [text for new in batch.starts for text in new if isinstance(text, str)]
    texts += [
        text for write in batch.writes for step in write.steps for text in step if isinstance(text, str)
    ]
    texts += [text for write in batch.writes for text in write.end or () if isinstance(text, str)]
    if any("\0" in text for text in texts):
        raise BadData("Postgres holds no NUL")
