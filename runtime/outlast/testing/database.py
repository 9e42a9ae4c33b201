"""What Postgres holds and what the store's statements do there, in memory: one method a statement.

Each runs at one moment, as a statement in autocommit does. A transaction of several statements holds its
locks until it ends: what meets one either waits (`Blocked`) or skips it, as in `store/*.sql`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from outlast.core.budget import SMALL_BYTES
from outlast.core.errors import KeyReused, WorkflowEnded, WorkflowNotFound
from outlast.core.ports import BadData, Fence
from outlast.core.records import (
    Arrivals,
    Batch,
    Beat,
    ClaimedWorkflow,
    Claims,
    Committed,
    Delivered,
    Ending,
    FencedWrite,
    InboxQuery,
    LostInstance,
    Message,
    NewWorkflow,
    Ownership,
    Standing,
    StepRecord,
)
from outlast.core.status import LIVE, Status
from outlast.testing.rows import Blocked, Instance, Letter, Limits, Record, Transaction, Workflow


class Database:
    """The tables, and the locks on them. `now` gives its time in Unix seconds."""

    def __init__(self, now: Callable[[], float], chance: random.Random, limits: Limits) -> None:
        self.workflows: dict[str, Workflow] = {}
        self.records: dict[tuple[str, str], Record] = {}
        self.instances: dict[str, Instance] = {}
        self.letters: list[Letter] = []
        self.effects: list[Any] = []
        self.sessions: dict[int, float] = {}
        self.started_at = now()
        self.now = now
        self._chance = chance
        self._limits = limits
        self._open: set[Transaction] = set()
        self._waiting: list[Callable[[], None]] = []

    # --- sessions and locks -------------------------------------------------------------------------------

    def connect(self) -> int:
        """A new session; its number."""
        number = len(self.sessions) + 1 + self._chance.getrandbits(40)
        self.sessions[number] = self.now()
        return number

    def disconnect(self, session: int | None) -> None:
        """End a session."""
        if session is not None:
            self.sessions.pop(session, None)

    def restart(self) -> None:
        """Every session and every open transaction is gone; what was committed stays."""
        self.sessions.clear()
        self.started_at = self.now()
        for transaction in list(self._open):
            self.rollback(transaction)

    def when_released(self, again: Callable[[], None]) -> None:
        """Call `again` once, when a transaction has ended."""
        self._waiting.append(again)

    def _release(self, transaction: Transaction) -> None:
        transaction.open = False
        self._open.discard(transaction)
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            again()

    def _held(self, workflow_id: str, by: Transaction | None = None) -> bool:
        return any(each.holds == workflow_id and each is not by for each in self._open)

    def _wait_for_lock(self, workflow_id: str) -> None:
        if self._held(workflow_id):
            raise Blocked(workflow_id)

    def _wait_for_record(self, key: tuple[str, str]) -> None:
        if any(each.record is not None and each.record[0] == key for each in self._open):
            raise Blocked(key)

    # --- journal.sql --------------------------------------------------------------------------------------

    def commit(self, instance_id: str, batch: Batch) -> Committed:
        """`commit_batch`. Raises BadData, Blocked."""
        for write in batch.writes:
            if write.end is not None and self._owns(instance_id, write):
                self._wait_for_lock(write.workflow_id)
            for step in write.steps:
                self._wait_for_record((write.workflow_id, step.step_id))
        _check(batch)
        started = frozenset(
            new.workflow_id for new in batch.starts if self._start(instance_id, new, batch.nonce)
        )
        # One snapshot: all fences are looked at before anything of the batch is written.
        fenced = [write for write in batch.writes if self._owns(instance_id, write)]
        accepted = frozenset(write.workflow_id for write in fenced if self._write(write, batch.nonce))
        return Committed(started, accepted, self.now())

    def _start(self, instance_id: str, new: NewWorkflow, nonce: int) -> bool:
        if new.workflow_id in self.workflows:
            return False
        now = self.now()
        self.workflows[new.workflow_id] = Workflow(new, instance_id, nonce, now, now)
        return True

    def _owns(self, instance_id: str, write: FencedWrite) -> bool:
        row = self.workflows.get(write.workflow_id)
        return row is not None and row.epoch == write.epoch and row.owner == instance_id

    def _write(self, write: FencedWrite, nonce: int) -> bool:
        """Whether the fence held and every step was recorded now."""
        if write.end is not None:
            self._end(self.workflows[write.workflow_id], write.end, nonce)
        recorded = [self._record(write.workflow_id, step, nonce) for step in write.steps]
        return all(recorded)

    def _end(self, row: Workflow, end: Any, nonce: int) -> None:
        now = self.now()
        row.owner, row.nonce, row.updated_at = None, nonce, now
        row.awaits = None if isinstance(end, Ending) else end.awaits
        if isinstance(end, Ending):
            row.status, row.output, row.error, row.response = end
            row.claimable_at = None
        elif end.claimable_s is None:
            row.claimable_at = now
        else:
            arrived = end.awaits is not None and row.mail > json.loads(end.awaits)["mail"]
            row.claimable_at, row.recovery_attempts = now if arrived else end.claimable_s, 0

    def _record(self, workflow_id: str, step: StepRecord, nonce: int) -> bool:
        standing = self.records.get((workflow_id, step.step_id))
        if standing is None:
            self.records[workflow_id, step.step_id] = Record(step, nonce, self.now())
            return True
        if standing.step.completion_order is not None or standing.step.name != step.name:
            return False
        over = standing.step._replace(
            completion_order=step.completion_order, error=step.error, at_s=step.at_s, kind=step.kind,
            ended=step.ended,
        )  # fmt: skip
        if step.kind == "receive":
            over = over._replace(output=step.output)
        self.records[workflow_id, step.step_id] = Record(over, nonce, self.now())
        return True

    def confirm(self, batch: Batch) -> dict[str, float | None]:
        """`confirm_batch`: who bears the nonce in all rows that the batch writes of it."""
        started = {each.workflow_id for each in batch.starts if self._bears(each.workflow_id, batch.nonce)}
        accepted = {each.workflow_id for each in batch.writes if self._bears_all(each, batch.nonce)}
        return {each: self.workflows[each].created_at for each in sorted(started | accepted)}

    def _bears(self, workflow_id: str, nonce: int) -> bool:
        row = self.workflows.get(workflow_id)
        return row is not None and row.nonce == nonce

    def _bears_all(self, write: FencedWrite, nonce: int) -> bool:
        if write.end is not None and not self._bears(write.workflow_id, nonce):
            return False
        standing = [self.records.get((write.workflow_id, step.step_id)) for step in write.steps]
        return all(each is not None and each.nonce == nonce for each in standing)

    # --- transactions -------------------------------------------------------------------------------------

    def begin(self) -> Transaction:
        """`begin`."""
        transaction = Transaction()
        self._open.add(transaction)
        return transaction

    def record_transaction(
        self, transaction: Transaction, instance_id: str, fence: Fence, step: StepRecord
    ) -> bool:
        """`record_transaction`. Raises Blocked."""
        key = (fence.workflow_id, fence.step_id)
        row = self.workflows.get(fence.workflow_id)
        if row is None or row.epoch != fence.epoch or row.owner != instance_id:
            return False
        self._wait_for_record(key)
        if key in self.records:
            return False
        transaction.holds = fence.workflow_id
        transaction.record = (key, Record(step, fence.nonce, self.now()))
        return True

    def finish(self, transaction: Transaction) -> None:
        """`commit`. The transaction must be open."""
        assert transaction.open
        self.effects += transaction.effects
        if transaction.record is not None:
            key, record = transaction.record
            self.records[key] = record
        self._release(transaction)

    def rollback(self, transaction: Transaction) -> None:
        """`rollback`, also that of a session which ends."""
        if transaction.open:
            self._release(transaction)

    def recorded_step(self, fence: Fence) -> StepRecord | None:
        """`recorded_step`."""
        record = self.records.get((fence.workflow_id, fence.step_id))
        return record.step if record else None

    # --- instances.sql ------------------------------------------------------------------------------------

    def beat(self, instance_id: str, ttl_s: float, session: int | None) -> Beat:
        """`beat`."""
        began = self.sessions.get(session, 0.0) if session is not None else 0.0
        self.instances[instance_id] = Instance(self.now() + ttl_s, session, began)
        owned = {each: row.epoch for each, row in self.workflows.items() if row.owner == instance_id}
        return Beat(self.now(), owned)

    def claim(
        self,
        instance_id: str,
        functions: Collection[str],
        room: int,
        suspects: int,
        bytes_left: int,
        *,
        alone: bool,
        strict: bool,
        large: tuple[int, bool],
    ) -> Claims:
        """`claim`."""
        lost = [found for each in self.instances if (found := self._lost(instance_id, each)) is not None]
        due = sorted(
            (
                (row.claimable_at, workflow_id)
                for workflow_id, row in self.workflows.items()
                if row.owner is None
                and row.claimable_at is not None
                and row.claimable_at <= self.now()
                and row.new.function in functions
                and not self._held(workflow_id)
            )
        )
        due = [each for each in due if strict or self._may_fit(each[1], bytes_left, large, alone=alone)]
        often = self._limits.suspect_after
        ordinary = [each for _, each in due if self.workflows[each].recovery_attempts < often][:room]
        suspicious = [each for _, each in due if self.workflows[each].recovery_attempts >= often][:suspects]
        chosen = self._fitting(
            sorted([*ordinary, *suspicious], key=self._since), bytes_left, large, alone=alone, strict=strict
        )
        claimed = [self._claimed(instance_id, each) for each in chosen]
        claimed.sort(key=lambda each: self.workflows[each.workflow_id].created_at)
        return Claims(claimed, lost, undelivered=any(self._undelivered()))

    def _since(self, workflow_id: str) -> tuple[float, str]:
        return self.workflows[workflow_id].claimable_at or 0.0, workflow_id

    def _is_large(self, workflow_id: str) -> bool:
        row = self.workflows[workflow_id]
        return row.new.parent is None and self._load_bytes(workflow_id) > SMALL_BYTES

    def _may_fit(self, workflow_id: str, bytes_left: int, large: tuple[int, bool], *, alone: bool) -> bool:
        size = self._load_bytes(workflow_id)
        if self._is_large(workflow_id):
            return large[1] or size <= large[0]
        return alone or size <= max(bytes_left, SMALL_BYTES)

    def _fitting(
        self, found: list[str], bytes_left: int, large: tuple[int, bool], *, alone: bool, strict: bool
    ) -> list[str]:
        """Those of `found` that there is memory for: a larger one is passed by, until it has waited long."""
        waiting = [self._since(each)[0] for each in found if self._load_bytes(each) > bytes_left]
        in_turn = strict and bool(waiting) and min(waiting) < self.now() - 10.0
        fitting, in_all, place = [], 0, 0
        for each in found:
            own_left, own_alone = large if self._is_large(each) else (bytes_left, alone)
            if self._load_bytes(each) > own_left and not (own_alone or in_turn):
                continue
            in_all += self._load_bytes(each)
            place += 1
            if in_all <= own_left or (place == 1 and own_alone):
                fitting.append(each)
        return fitting

    def _load_bytes(self, workflow_id: str) -> int:
        row = self.workflows[workflow_id]
        return max(row.load_bytes, row.new.load_bytes)

    def _lost(self, instance_id: str, other: str) -> LostInstance | None:
        row = self.instances[other]
        expired = row.lease_until < self.now()
        gone = row.session is not None and row.session not in self.sessions
        if other == instance_id or not (expired or gone):
            return None
        if not any(each.owner == other for each in self.workflows.values()):
            return None
        restarted = row.session is not None and row.session_began <= self.started_at
        return LostInstance(other, row.lease_until, expired, restarted)

    def _claimed(self, instance_id: str, workflow_id: str) -> ClaimedWorkflow:
        row = self.workflows[workflow_id]
        due_s = row.claimable_at
        row.owner, row.status, row.claimable_at, row.awaits = instance_id, Status.PENDING, None, None
        row.epoch += 1
        row.updated_at = self.now()
        new = row.new
        return ClaimedWorkflow(
            workflow_id, new.function, row.epoch, None, None, new.subject, new.claims, new.version,
            new.parent, row.recovery_attempts, new.deadline_s, row.created_at, self._load_bytes(workflow_id),
            due_s,
        )  # fmt: skip

    def load(self, ids: Collection[str]) -> dict[str, tuple[tuple[str | None, str | None], list[StepRecord]]]:
        """`load`: by id, input and request, and the records."""
        rows = {each: self.workflows[each].new for each in ids if each in self.workflows}
        return {
            each: (
                (new.input, new.request),
                [record.step for key, record in self.records.items() if key[0] == each],
            )
            for each, new in rows.items()
        }

    def recover(self, lost: Sequence[LostInstance]) -> list[tuple[str, str]]:
        """`recover`."""
        gone = {(each.instance_id, each.lease_until_s) for each in lost if not each.expired}
        named = {each.instance_id for each in lost}
        orphaned = [
            workflow_id
            for workflow_id, row in sorted(self.workflows.items(), key=lambda item: item[1].created_at)
            if row.owner in named
            and row.owner in self.instances
            and (
                self.instances[row.owner].lease_until < self.now()
                or (row.owner, self.instances[row.owner].lease_until) in gone
            )
            and not self._held(workflow_id)
        ]
        return [(each, self._recover(each)) for each in orphaned[: self._limits.batch]]

    def _recover(self, workflow_id: str) -> Status:
        row, limits = self.workflows[workflow_id], self._limits
        progressed = any(
            key[0] == workflow_id and each.completed_at > row.updated_at for key, each in self.records.items()
        )
        attempts = 1 if progressed else row.recovery_attempts + 1
        row.owner, row.recovery_attempts, row.updated_at = None, attempts, self.now()
        row.epoch += 1
        if attempts > limits.attempts_max:
            row.status, row.error = Status.EXHAUSTED, '{"code":"recovery_exhausted"}'
            return row.status
        ceiling = min(limits.backoff_max_s, limits.backoff_s * 2.0 ** (attempts - 2))
        backoff_s = 0.0 if attempts <= 1 else ceiling * (0.5 + self._chance.random() / 2)
        row.claimable_at = self.now() + backoff_s
        return row.status

    def release(
        self,
        instance_id: str,
        epochs: dict[str, int],
        load_bytes: dict[str, int],
        due_s: dict[str, float | None],
    ) -> None:
        """`release`. Raises Blocked."""
        rows = [(each, self.workflows[each]) for each in epochs if each in self.workflows]
        mine = [(each, row) for each, row in rows if row.epoch == epochs[each] and row.owner == instance_id]
        for workflow_id, _ in mine:
            self._wait_for_lock(workflow_id)
        for workflow_id, row in mine:
            row.owner, row.claimable_at, row.updated_at = None, self.now(), self.now()
            if (due := due_s.get(workflow_id)) is not None:
                row.claimable_at = due
            row.load_bytes = max(row.load_bytes, load_bytes.get(workflow_id, 0))

    def leave(self, instance_id: str) -> None:
        """`leave`."""
        if instance_id in self.instances:
            self.instances[instance_id].lease_until = float("-inf")

    def adopt_orphans(self) -> None:
        """`adopt_orphans`."""
        for row in self.workflows.values():
            if row.owner is not None and row.owner not in self.instances:
                self.instances[row.owner] = Instance(float("-inf"), None, 0.0)

    # --- messages.sql -------------------------------------------------------------------------------------

    def send(self, workflow_id: str, body: str, topic: str, key: str | None, *, late: bool = False) -> Letter:
        """`send`; `late`: in a transaction that is still open. Raises what the store raises."""
        for each in self.letters:
            if key is not None and (each.workflow_id, each.key) == (workflow_id, key):
                if (each.topic, json.loads(each.body)) != (topic, json.loads(body)):
                    raise KeyReused(key)
                return each
        row = self.workflows.get(workflow_id)
        if row is None:
            raise WorkflowNotFound(workflow_id)
        if row.status not in LIVE:
            raise WorkflowEnded(workflow_id)
        letter = Letter(len(self.letters) + 1, workflow_id, topic, body, key, visible=not late)
        self.letters.append(letter)
        return letter

    def _undelivered(self) -> list[Letter]:
        return [each for each in self.letters if each.number is None and each.visible]

    def deliver(self) -> Delivered:
        """`deliver`."""
        woken: set[str] = set()
        for letter in self._undelivered()[: self._limits.letters]:
            workflow_id = letter.workflow_id
            row = self.workflows[workflow_id]
            if self._held(workflow_id):
                continue
            row.mail += 1
            letter.number = row.mail
            awaited = json.loads(row.awaits)["topics"] if row.awaits is not None else ()
            if row.owner is None and row.status == Status.PENDING and letter.topic in awaited:
                assert row.claimable_at is not None
                row.claimable_at = min(row.claimable_at, self.now())
                woken.add(workflow_id)
        return Delivered(len(woken), bool(self._undelivered()))

    def read(self, inboxes: Sequence[InboxQuery], limit: int = 2) -> dict[int, Arrivals]:
        """`read`."""
        found: dict[int, Arrivals] = {}
        for place, box in enumerate(inboxes):
            row = self.workflows.get(box.workflow_id)
            if row is None or row.mail <= box.seen:
                continue
            messages = sorted(
                Message(each.message_id, each.number, each.body)
                for each in self.letters
                if (each.workflow_id, each.topic) == (box.workflow_id, box.topic)
                and each.number is not None
                and each.number > box.after
            )
            messages = sorted(messages, key=lambda each: each.number)[:limit]
            found[place] = Arrivals(messages[-1].number if len(messages) == limit else row.mail, messages)
        return found

    # --- workflows.sql ------------------------------------------------------------------------------------

    def standing(self, ids: Iterable[str]) -> dict[str, Standing]:
        """`standing`."""
        rows = {each: self.workflows[each] for each in ids if each in self.workflows}
        return {
            each: Standing(
                each, row.new.function, row.status, row.new.fingerprint, row.new.subject,
                row.output, row.error, row.response,
            )
            for each, row in rows.items()
        }  # fmt: skip

    def ownership(self, ids: Iterable[str]) -> dict[str, Ownership]:
        """`ownership`."""
        rows = {each: self.workflows[each] for each in ids if each in self.workflows}
        return {
            each: Ownership(each, row.new.function, row.status, row.new.subject, row.new.parent)
            for each, row in rows.items()
        }

    def counts(self, subject: str) -> tuple[int, int]:
        """`counts`."""
        theirs = [each for each in self.workflows.values() if each.new.subject == subject]
        return sum(each.owner is None and each.claimable_at is not None for each in theirs), len(theirs)

    def same_payload(self, new: NewWorkflow) -> bool:
        """`same_payload`."""
        row = self.workflows.get(new.workflow_id)
        if row is None or row.new.input is None or new.input is None:
            return False
        same = bool(json.loads(row.new.input) == json.loads(new.input))
        if row.new.request is None or new.request is None:
            return same
        parts = ("method", "path", "query")
        of_row, of_new = json.loads(row.new.request), json.loads(new.request)
        return same and all(of_row[part] == of_new[part] for part in parts)

    def ended(self, ids: Iterable[str]) -> dict[str, Standing]:
        """`ended`."""
        return {each: found for each, found in self.standing(ids).items() if found.status not in LIVE}

    def cancel(self, workflow_id: str) -> bool:
        """`cancel`. Raises Blocked."""
        row = self.workflows.get(workflow_id)
        if row is None or row.status not in LIVE:
            return False
        self._wait_for_lock(workflow_id)
        row.status, row.owner, row.claimable_at = Status.CANCELLED, None, None
        row.error, row.updated_at = '{"code":"workflow_cancelled"}', self.now()
        row.epoch += 1
        return True


def _check(batch: Batch) -> None:
    """Refuse what Postgres refuses: NUL."""
    texts = [text for new in batch.starts for text in new if isinstance(text, str)]
    texts += [
        text for write in batch.writes for step in write.steps for text in step if isinstance(text, str)
    ]
    texts += [text for write in batch.writes for text in write.end or () if isinstance(text, str)]
    if any("\0" in text for text in texts):
        raise BadData("Postgres holds no NUL")
