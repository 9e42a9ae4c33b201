"""`messages.sql` in memory: messages are sent, numbered and read."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from outlast.core.callbacks import Link, message_key
from outlast.core.errors import KeyReused, WorkflowEnded, WorkflowNotFound
from outlast.core.kinds import CALLBACK
from outlast.core.names import again_of
from outlast.core.ports import Fence
from outlast.core.records import Arrivals, Delivered, InboxQuery, Message
from outlast.core.status import LIVE, Status
from outlast.testing.rows import Letter
from outlast.testing.statements.statements import Statements


class MessageStatements(Statements):
    """See core.ports.MessageStore."""

    def send(self, workflow_id: str, body: str, topic: str, key: str | None) -> int:
        """`send`; returns the message's id. Raises what the store raises."""
        return self.post(workflow_id, body, topic, key).message_id

    def send_again(
        self, fence: Fence, workflow_id: str, body: str, topic: str, key: str, generation: int
    ) -> int | None:
        """`send_again`."""
        sender = self._db.workflows.get(fence.workflow_id)
        # guard: memory-sent-again-without-fence
        if sender is None or sender.epoch != fence.epoch:
            return None
        try:
            return self.send(workflow_id, body, topic, key)
        except KeyReused:
            before = [again_of(key, each) for each in range(2, generation + 1)]
            for each in self._db.letters:
                # guard: memory-sent-in-each-generation = False
                same = (each.topic, json.loads(each.body)) == (topic, json.loads(body))
                if each.workflow_id == workflow_id and each.key in before and same:
                    return each.message_id
            of_key = (each for each in self._db.letters if (each.workflow_id, each.key) == (workflow_id, key))
            first = next(of_key)
            # guard: memory-sent-twice-in-a-generation = False
            if first.sent_at > (sender.retried_at or 0.0):
                raise
        return self.send(workflow_id, body, topic, again_of(key, generation))

    def post(self, workflow_id: str, body: str, topic: str, key: str | None, *, late: bool = False) -> Letter:
        """`send`; `late`: in a transaction that is still open. Raises what the store raises."""
        for each in self._db.letters:
            if key is not None and (each.workflow_id, each.key) == (workflow_id, key):
                if (each.topic, json.loads(each.body)) != (topic, json.loads(body)):
                    raise KeyReused("this idempotency key was used with another message to the same workflow")
                return each
        row = self._db.workflows.get(workflow_id)
        if row is None:
            raise WorkflowNotFound(f"there is no workflow {workflow_id}")
        if row.status not in LIVE:
            text = f"the workflow {workflow_id} has ended as {row.status}: it receives no more messages"
            raise WorkflowEnded(text)
        letter = Letter(
            len(self._db.letters) + 1, workflow_id, topic, body, key, visible=not late, sent_at=self._db.now()
        )
        self._db.letters.append(letter)
        return letter

    def answer(self, link: Link, body: str, request: str) -> int | None:
        """`answer`. Raises what the store raises."""
        workflow_id, step_id, _, mark = link
        record = self._db.records.get((workflow_id, step_id))
        if record is None or record.step.kind != CALLBACK or record.step.output is None:
            raise WorkflowNotFound(workflow_id)
        told = json.loads(record.step.output)
        # guard: memory-callback-of-another-question-answered
        if told["mark"] != mark:
            raise WorkflowNotFound(workflow_id)
        key = message_key(step_id, mark, "1" if told["uses"] == 1 else request)
        keys = [each.key or "" for each in self._db.letters if each.workflow_id == workflow_id]
        used = sum(each.startswith(message_key(step_id, mark, "")) for each in keys)
        if told["uses"] is not None and used >= told["uses"] and key not in keys:
            return None
        return self.send(workflow_id, body, told["topic"], key)

    def deliver(self, passed: Collection[str] = ()) -> Delivered:
        """`deliver`; it skips workflows in `passed`, whose row refused a moment ago."""
        woken: set[str] = set()
        refused: dict[str, None] = {}
        free = [each for each in self._undelivered(passed) if not self._db.is_locked(each.workflow_id)]
        for letter in free[: self._db.limits.letters]:
            workflow_id = letter.workflow_id
            if workflow_id in self._db.refusing:
                refused[workflow_id] = None
                continue
            row = self._db.workflows[workflow_id]
            row.mail += 1
            letter.number = row.mail
            awaited = json.loads(row.awaits)["topics"] if row.awaits is not None else ()
            if row.owner is None and row.status == Status.PENDING and letter.topic in awaited:
                assert row.claimable_at is not None
                row.claimable_at = min(row.claimable_at, self._db.now())
                woken.add(workflow_id)
        # guard: refused-messages-asked-at-once-in-memory
        passed = {*passed, *refused}
        return Delivered(len(woken), bool(self._undelivered(passed)), list(refused))

    def tell(self) -> Delivered:
        """`tell`."""
        return Delivered(self._db.tell_ends(), False)

    def read(self, inboxes: Sequence[InboxQuery], limit: int = 2) -> dict[int, Arrivals]:
        """`read`."""
        found: dict[int, Arrivals] = {}
        for place, box in enumerate(inboxes):
            row = self._db.workflows.get(box.workflow_id)
            if row is None or row.mail <= box.seen:
                continue
            messages = sorted(
                Message(each.message_id, each.number, each.body)
                for each in self._db.letters
                if (each.workflow_id, each.topic) == (box.workflow_id, box.topic)
                and each.number is not None
                and each.number > box.after
            )
            messages = sorted(messages, key=lambda each: each.number)[:limit]
            found[place] = Arrivals(messages[-1].number if len(messages) == limit else row.mail, messages)
        return found

    def _undelivered(self, passed: Collection[str]) -> list[Letter]:
        # guard: refused-ones-fill-deliveries-in-memory = [each for each in self._db.letters if each.waits]
        return [each for each in self._db.letters if each.waits and each.workflow_id not in passed]
