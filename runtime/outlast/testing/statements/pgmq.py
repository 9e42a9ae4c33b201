"""`pgmq.sql` in memory: messages become workflows."""

from __future__ import annotations

import json
from datetime import datetime

from outlast.core.budget import weigh
from outlast.core.claims import ClaimedWorkflow, Consumed, SetAside, aside_s
from outlast.core.ports import BadData, MessageRefused, QueueUnusable
from outlast.core.queues import BACKLOG_MAX, key_at
from outlast.core.records import NewWorkflow
from outlast.testing.pgmq import QueuedMessage, SupabaseQueue
from outlast.testing.rows import QueueRow, RowRefused, Workflow
from outlast.testing.statements.statements import Statements

HIDDEN_S = 30.0
_CLAIMS = '{"role":"service_role","outlast":{"mode":"queue","key":null}}'
_KEY_CHARACTERS_MAX = 255


class MessageQueueStatements(Statements):
    """See core.ports.MessageQueueStore."""

    def consume(
        self, queue: str, function: str, room: int, version: str | None = None, timeout_s: float | None = None
    ) -> Consumed:
        """`consume`."""
        table, name = self._table(queue), f"pgmq:{queue}"
        rules = self._db.queues.get(name, QueueRow())
        waits = bool(rules.options)
        taken: list[ClaimedWorkflow] = []
        over: list[int] = []
        for message in self._read(table, name, self._most(name, rules, room)):
            workflow_id, done = self._named(name, message)
            if not done and workflow_id in self._db.workflows:
                continue  # nothing is overwritten: it comes again
            over.append(message.msg_id)
            if not done:
                new = self._new(workflow_id, name, function, message, rules)
                taken.append(self._start(new, version, timeout_s, waits=waits))
        table.delete(over)
        return Consumed(taken, wait=waits and bool(taken))

    def _read(self, table: SupabaseQueue, name: str, most: int) -> list[QueuedMessage]:
        """Messages whose workflows may all begin; otherwise none is read."""
        now = self._db.now()
        for each in table.front(now, most):
            try:
                # guard: memory-refused-messages-taken
                self._db.check_writable(self._named(name, each)[0])
            except (BadData, RowRefused) as error:
                raise MessageRefused(str(error), "mend what it says") from error
        return table.read(now, HIDDEN_S, most)

    def consume_front(
        self,
        queue: str,
        function: str,
        version: str | None = None,
        timeout_s: float | None = None,
        turn_s: float = 0.0,
    ) -> Consumed:
        """`front`, and `consume` of that one, or `set_aside`."""
        try:
            return self.consume(queue, function, 1, version, timeout_s)
        except MessageRefused as reason:
            aside = self._set_front_aside(queue, str(reason), reason.remedy, turn_s)
            return Consumed([], wait=False, aside=aside)

    def set_front_aside(self, queue: str, error: str, remedy: str) -> SetAside | None:
        """`front` and `set_aside`."""
        return self._set_front_aside(queue, error, remedy, 0.0)

    def _set_front_aside(self, queue: str, error: str, remedy: str, turn_s: float) -> SetAside | None:
        now = self._db.now()
        for each in self._table(queue).read(now, HIDDEN_S, 1):
            aside = SetAside(each.msg_id, each.read_ct, error, remedy)
            each.visible_at = now + aside_s(aside, turn_s)
            return aside
        return None

    def _table(self, queue: str) -> SupabaseQueue:
        table = self._db.message_queues.get(queue)
        if table is None:
            raise QueueUnusable(f'relation "pgmq.q_{queue}" does not exist', "create it")
        if table.locked:
            raise QueueUnusable("canceling statement due to lock timeout", "see who holds the lock")
        return table

    def _most(self, name: str, rules: QueueRow, room: int) -> int:
        """How many messages to take: whose turn it is shows only when all keys are in."""
        options = rules.options
        if rules.paused is not None:
            return 0
        if not options:
            return room
        most: int = options.get("max_backlog", BACKLOG_MAX) - sum(1 for _ in self._db.waiting(name))
        if "key" not in options:
            most = min(most, self._db.limits.messages_waiting - self._waiting(name))
        return min(room, most)

    def _waiting(self, name: str) -> int:
        """How many are due. Sleeping workflows leave room for others."""
        now = self._db.now()
        return sum(row.held is None and (row.claimable_at or 0.0) <= now for _, row in self._db.waiting(name))

    def _named(self, name: str, message: QueuedMessage) -> tuple[str, bool]:
        """The id of its workflow, and whether it exists: a queue made again counts from 1."""
        plain_id = f"{name}:{message.msg_id}"
        timed_id = f"{plain_id}:{message.enqueued_at:%Y%m%dT%H%M%S%f}"
        rows = self._db.workflows
        done = any(_is_of(rows[each], name, message) for each in (plain_id, timed_id) if each in rows)
        return timed_id if plain_id in rows else plain_id, done

    def _new(
        self, workflow_id: str, name: str, function: str, message: QueuedMessage, rules: QueueRow
    ) -> NewWorkflow:
        path = rules.options.get("key")
        key = None if path is None else key_at(path, message.body)
        attributes = {
            "msg_id": message.msg_id,
            "enqueued_at": message.enqueued_at.isoformat(),
            "read_ct": message.read_ct,
        }
        return NewWorkflow(
            workflow_id, function, message.body, claims=_CLAIMS, queue=name,
            queue_key=(key or "")[:_KEY_CHARACTERS_MAX], attributes=json.dumps(attributes),
            load_bytes=weigh(message.body),
        )  # fmt: skip

    def _start(
        self, new: NewWorkflow, version: str | None, timeout_s: float | None, *, waits: bool
    ) -> ClaimedWorkflow:
        now = self._db.now()
        deadline_s = None if timeout_s is None else now + timeout_s
        new = new._replace(version=version, deadline_s=deadline_s, timeout_s=timeout_s)
        if waits:
            self._db.insert_waiting(new, 0)
        else:
            row = Workflow(new, self._me, 0, now, now, began_at=now, attributes=new.attributes)
            self._db.workflows[new.workflow_id] = row
        return ClaimedWorkflow(
            new.workflow_id, new.function, 0 if waits else 1, None, claims=new.claims, version=version,
            deadline_s=deadline_s, created_s=now, load_bytes=new.load_bytes, queue=new.queue,
        )  # fmt: skip


def _is_of(row: Workflow, name: str, message: QueuedMessage) -> bool:
    try:
        told = datetime.fromisoformat(json.loads(row.attributes or "{}")["enqueued_at"])
    except (KeyError, TypeError, ValueError):  # a user who sets attributes may have changed it
        return False
    return row.new.queue == name and told == message.enqueued_at
