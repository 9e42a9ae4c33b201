"""What operators do to workflows, in memory: `outlast.pause_workflow`, `fork_workflow`, and so on."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from outlast.core import kinds
from outlast.core.attributes import attributes_json, merged
from outlast.core.budget import weigh
from outlast.core.messages import message_in
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable
from outlast.core.queues import key_at
from outlast.core.records import StepRecord
from outlast.core.status import FAILED, LIVE, Status
from outlast.core.verbs import (
    DELETE,
    FORK,
    KEY,
    PAUSE,
    RESUME,
    RETRY,
    REWIND,
    SET_WORKFLOW,
    SETTLE,
    Verb,
)
from outlast.testing.database import Database
from outlast.testing.rows import Letter, Record, Workflow, over_of_pause
from outlast.testing.statements.kept import (
    FAR,
    came_before,
    check_undoing,
    check_undone,
    records_kept,
    step_named,
    with_undone,
)
from outlast.testing.statements.retrying import Retrying, is_batch
from outlast.testing.statements.statements import Statements

_STARTS = (kinds.START, kinds.START_ALL, kinds.MAP)


class WorkflowVerbs(Statements):
    """See PostgresWorkflows.act."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._done: dict[Verb, Callable[[str, Mapping[str, Any], str], Mapping[str, Any]]] = {
            PAUSE: self._pause,
            RESUME: self._resume,
            FORK: self._fork,
            SETTLE: self._settle,
            DELETE: self._delete,
            SET_WORKFLOW: self._set,
        }

    def act(self, verb: Verb, workflow_id: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Do it. Raises NoSuchRow, NotNow, Unacceptable, Blocked."""
        if workflow_id not in self._db.workflows:
            raise NoSuchRow
        self._db.wait_for_lock(workflow_id)
        if verb in (RETRY, REWIND):
            return Retrying(self._db).act(verb, workflow_id, given, by)
        return self._done[verb](workflow_id, given, by)

    # --- pause and resume ---------------------------------------------------------------------------------

    def _pause(self, workflow_id: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        row = self._live(PAUSE, workflow_id)
        if row.map is not None:
            raise NotNow("a map runs nothing itself; pause the queue of its items, which has its id")
        if row.batch is not None:
            raise NotNow(f"the workflow runs within its batch; pause {row.batch}")
        held = None if row.held is None else json.loads(row.held)
        if held is None or held["reason"] != "paused":
            # guard: memory-refusing-rows-paused
            self._db.check_writable(workflow_id)
            row.held = json.dumps(
                {
                    "reason": "paused",
                    "since": self._db.date().isoformat(),
                    "by": by,
                    "why": given.get("why"),
                    "instance": row.owner,
                    "over": held,
                    "running": None,
                }
            )
            if row.owner is not None:
                row.owner, row.claimable_at = None, self._db.now()
            row.epoch += 1
            row.updated_at = self._db.now()
            self._note(PAUSE, workflow_id, given, by)
        return _stands(row)

    def _resume(self, workflow_id: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        row = self._live(RESUME, workflow_id)
        if row.held is not None:
            self._db.check_writable(workflow_id)
            held = json.loads(row.held)
            row.held = over_of_pause(row.held) if held["reason"] == "paused" else None
            if held["reason"] != "paused":
                row.misfits = {}
            row.updated_at = self._db.now()
            self._note(RESUME, workflow_id, given, by)
        return _stands(row)

    def _live(self, verb: Verb, workflow_id: str) -> Workflow:
        row = self._db.workflows[workflow_id]
        if row.status not in verb.statuses:
            remedy = (
                "fork it to run it again"
                if row.status is Status.SUCCESS
                else "retry it to let it go on, or fork it"
            )
            raise NotNow(f"the workflow is {row.status}; {remedy}")
        return row

    # --- forks --------------------------------------------------------------------------------------------

    def _fork(self, workflow_id: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        source, records = self._db.workflows[workflow_id], self._db.steps_of(workflow_id)
        place, children = given.get("from", "start"), given.get("children", "reuse")
        if children not in ("reuse", "new"):
            raise Unacceptable("children is reuse or new", "children")
        if given.get("input") is not None and place != "start":
            raise Unacceptable("input goes with from start only: records of another input don't fit", "input")
        if source.map is not None or is_batch(workflow_id, source):
            raise NotNow(
                "the workflow is a map, a batch or a bulk; "
                "fork the workflow that started the map, or those that are in the batch"
            )
        kept = self._kept_by_fork(workflow_id, source, place, children)
        check_undone(records, kept)
        if source.status in LIVE:
            check_undoing(records, kept, stopped=source.saga in ("stopping", "undoing"))
        left = [each for step_id, each in records.items() if step_id not in kept]
        left.sort(key=lambda each: (each.completion_order or FAR, each.step_id))
        again = [{"step_id": each.step_id, "name": each.name} for each in left]
        key = given.get(KEY)
        made = (each for each, row in self._db.workflows.items() if row.forked_from == workflow_id)
        fork = next(
            (each for each in made if key and self._db.workflows[each].new.idempotency_key == key), None
        )
        if fork is not None and self._db.workflows[fork].new.fingerprint != _asked(given):
            raise Unacceptable(f"idempotency_key made {fork}, which is another fork: give another key", KEY)
        if fork is None:
            fork = self._insert_fork(workflow_id, source, kept, given)
            self._note(FORK, workflow_id, given, by)
        return {"fork": fork, "kept": len(kept), "again": again}

    def _kept_by_fork(self, workflow_id: str, source: Workflow, place: str, children: str) -> list[str]:
        records = self._db.steps_of(workflow_id)
        if place == "start":
            return []
        if place == "failed":
            if source.status not in FAILED:
                raise NotNow(
                    f"the workflow is {source.status}, and has not failed; "
                    "fork it from start, or from one of its steps"
                )
            failed = Retrying(self._db).failed_steps(workflow_id, source)
            # The stop of the source doesn't stop its fork.
            steps = with_undone(records, [*failed, kinds.STOP_ID])
        else:
            steps = [step_named(records, "from", place), kinds.STOP_ID]
        kept = records_kept(records, steps)
        starts = [each.completion_order or FAR for each in records.values() if each.kind in _STARTS]
        if children == "reuse" or not starts:
            return kept
        first = min(starts)
        return [
            each for each in kept if records[each].kind not in _STARTS and came_before(records[each], first)
        ]

    def _insert_fork(
        self, workflow_id: str, source: Workflow, kept: Collection[str], given: Mapping[str, Any]
    ) -> str:
        root, now, records = source.root or workflow_id, self._db.now(), self._db.steps_of(workflow_id)
        number = 2 + sum(row.root == root for row in self._db.workflows.values())
        while f"{root}~{number}" in self._db.workflows:
            number += 1
        fork, text = f"{root}~{number}", given.get("input")
        text = source.new.input if text is None else json.dumps(text)
        queue = source.new.queue if source.new.queue != source.new.parent else None
        key = source.new.queue_key
        path = None if queue is None else self._db.queue(queue).base.get("key")
        if given.get("input") is not None and path is True:
            why = "input goes with no queue whose key is a function in Python"
            raise Unacceptable(f"{why}: start the function with it instead", "input")
        if given.get("input") is not None and isinstance(path, str):
            key = key_at(path, text)
            if key is None:
                raise Unacceptable("input has nothing where its queue finds its key", "input")
        new = source.new._replace(
            workflow_id=fork, input=text, idempotency_key=given.get(KEY), fingerprint=_asked(given),
            version=source.new.version if kept else None, parent=None,
            deadline_s=None if source.new.timeout_s is None else now + source.new.timeout_s,
            load_bytes=weigh(text, source.new.request),
            queue=queue, queue_key=key, delay_s=0.0, detached=False,
        )  # fmt: skip
        row = Workflow(new, None, 0, now, now, Status.ENQUEUED, 0, claimable_at=now)
        row.forked_from, row.root, row.attributes = workflow_id, root, source.attributes
        if kept:
            began = {"id": workflow_id, "at_s": source.began_at or source.created_at}
            row.born = {**began, **(source.born or {})}
            row.born.pop("goes_on_s", None)
        self._db.workflows[fork] = row
        for step_id in kept:
            self._db.records[fork, step_id] = replace(self._db.records[workflow_id, step_id], since_end=False)
            if records[step_id].kind == kinds.UNDO:
                row.saga = "open"
            if records[step_id].kind == kinds.RECEIVE:
                self._copy_message(workflow_id, fork, records[step_id])
        return fork

    def _copy_message(self, source: str, fork: str, record: StepRecord) -> None:
        message = message_in(record.output)
        if record.completion_order is None or record.error is not None or message is None:
            return
        letter = next(
            each for each in self._db.letters if each.workflow_id == source and each.number == message.number
        )
        copy = Letter(len(self._db.letters) + 1, fork, letter.topic, letter.body, letter.key, letter.number)
        self._db.letters.append(copy)
        row = self._db.workflows[fork]
        row.mail = max(row.mail, message.number)

    # --- settling and deleting ----------------------------------------------------------------------------

    def _settle(self, workflow_id: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        row, records = self._db.workflows[workflow_id], self._db.steps_of(workflow_id)
        if ("output" in given) == ("error" in given):
            raise Unacceptable("output or error must be given, and not both", "output")
        if row.status not in SETTLE.statuses:
            raise NotNow("the workflow is SUCCESS, which never changes; fork it to run it again")
        if row.status in LIVE and row.held is None:
            raise NotNow(f"the workflow is {row.status}, and may run that step now; pause it first")
        by_hand = {each for each, record in self._db.records_of(workflow_id).items() if record.settled}
        former = _step_to_settle(records, by_hand, given["step"], given.get("name"))
        last = max((each.completion_order or 0 for each in records.values()), default=0)
        came = Retrying(self._db).end_came_at(workflow_id, row)
        error = None if "error" not in given else _failure(given["error"])
        step = former._replace(
            output=None if error else json.dumps(given["output"]),
            error=error,
            completion_order=former.completion_order or last + 1,
            called_after=former.called_after if former.step_id in records else came - 1 if came else None,
            at_s=former.at_s or max([self._db.now(), *(each.at_s or 0.0 for each in records.values())]),
        )
        self._db.check_writable(workflow_id)
        settled = {"by": by, "at": self._db.date().isoformat(), "why": given.get("why")}
        self._db.records[workflow_id, step.step_id] = Record(
            step, -1, self._db.now(), settled, row.status not in LIVE
        )
        row.updated_at, row.misfits = self._db.now(), {}
        self._note(SETTLE, workflow_id, given, by)
        return {"step_id": step.step_id, "status": row.status.value}

    def _delete(self, workflow_id: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        rows = self._db.workflows
        if rows[workflow_id].status not in DELETE.statuses:
            raise NotNow(f"the workflow is {rows[workflow_id].status}; cancel it first")
        members = (row for row in rows.values() if row.batch == workflow_id)
        if is_batch(workflow_id, rows[workflow_id]) and any(row.status is Status.PENDING for row in members):
            raise NotNow(
                "a member of the batch has not got its result; "
                "try again in a moment, or see the log for what keeps it"
            )
        family, found = {workflow_id}, {workflow_id}
        while found:
            found = {each for each, row in rows.items() if row.new.parent in family} - family
            # guard: shared-ones-deleted-in-memory
            found = {each for each in found if rows[each].new.idempotency_key is None}
            family |= found
        self._check_unread(workflow_id, family)
        for each in family:
            self._db.check_writable(each)
        for each in family:
            self._db.remove(each)
        for row in rows.values():
            if row.new.parent in family:
                row.new = row.new._replace(parent=None)
        self._note(DELETE, workflow_id, given, by)
        return {"deleted": len(family)}

    def _check_unread(self, workflow_id: str, family: set[str]) -> None:
        """Raises NotNow if a workflow may still read what is deleted."""
        rows = self._db.workflows
        readers, parent = set(family), rows.get(rows[workflow_id].new.parent or "")
        if parent is not None:
            readers.add(parent.new.workflow_id)
            if parent.map is not None:
                readers.add(str(parent.new.parent))
        # guard: memory-deleted-under-the-attached
        readers.update(self._db.attached_by(family))
        reader = self._db.reader_among(readers, family)
        if reader is None:
            return
        if rows[reader].status in LIVE:
            told = "is live, and belongs to it or may still read it; cancel that first, or let it end"
        else:
            told = "has failed, and reads it if it is retried"
            told += "; delete that first, or let a retry of it succeed"
        raise NotNow(f"{reader} {told}")

    def _set(self, workflow_id: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        row = self._db.workflows[workflow_id]
        self._db.check_writable(workflow_id)
        try:
            changes = attributes_json(given["attributes"], nulls=True)
            row.attributes = merged(row.attributes, changes or "{}")
        except ValueError as error:
            raise Unacceptable(str(error), "attributes") from None
        self._note(SET_WORKFLOW, workflow_id, given, by)
        return {"changed": workflow_id}

    def _note(self, verb: Verb, workflow_id: str, given: Mapping[str, Any], by: str) -> None:
        self._db.note_act("workflow", workflow_id, verb.name, by, given.get("why"))


def _asked(given: Mapping[str, Any]) -> str | None:
    """The arguments of a fork under a key: the same key must come with the same again."""
    if given.get(KEY) is None:
        return None
    return json.dumps([given.get("from", "start"), given.get("children", "reuse"), given.get("input")])


def _step_to_settle(
    records: Mapping[str, StepRecord], by_hand: Collection[str], step: str, called: str | None
) -> StepRecord:
    open_ones = [
        each
        for each in records.values()
        if each.name == step
        and (each.error is not None or each.completion_order is None or each.step_id in by_hand)
    ]
    if step in records:
        found = records[step]
    elif len(open_ones) > 1:
        raise Unacceptable("step is the name of several steps: give the id of one", "step")
    elif open_ones:
        found = open_ones[0]
    elif not all(part.isdigit() for part in step.split(".")):
        raise Unacceptable("step names no step that failed or isn't over: see its steps", "step")
    elif called is None:
        raise Unacceptable(
            "name is missing: the step is not recorded yet, so say what the code calls there", "name"
        )
    else:
        _check_reached(records, step)
        return StepRecord(step, called, attempts=0)
    if found.step_id in by_hand and found.attempts == 0 and called is not None:
        found = found._replace(name=called)
    if found.completion_order is not None and found.error is None and found.step_id not in by_hand:
        raise NotNow(
            f"step {found.step_id} has succeeded, and a success never changes; "
            "fork the workflow from that step"
        )
    if found.kind not in ("", kinds.STEP, kinds.TRANSACTION):
        remedy = (
            "send it a message" if found.kind == kinds.RECEIVE else "fork or rewind the workflow to before it"
        )
        raise NotNow(f"step {found.step_id} is no step or transaction, but a {found.kind}; {remedy}")
    if len(records_kept(records, [found.step_id])) < len(records) - 1:
        raise NotNow(
            f"the workflow went on after step {found.step_id} had ended; fork or rewind it to that step"
        )
    return found


def _check_reached(records: Mapping[str, StepRecord], step: str) -> None:
    """Calls of a task come one after the other: a waiting call keeps later ones from being made."""
    task, _, number = step.rpartition(".")
    waiting = [
        each.step_id
        for each in records.values()
        if each.completion_order is None
        and each.step_id.rpartition(".")[0] == task
        and each.step_id.rpartition(".")[2].isdigit()
        and int(each.step_id.rpartition(".")[2]) < int(number)
    ]
    if waiting:
        raise NotNow(
            f"step {min(waiting)} is not over, so the code has not come to step {step}; "
            "settle the step that the code is at: see its steps"
        )


def _failure(text: str) -> str:
    document = {"type": "Settled", "module": "outlast", "message": text, "args": [], "attributes": {}}
    return json.dumps({**document, "dropped": [], "traceback": ""})


def _stands(row: Workflow) -> Mapping[str, Any]:
    return {"status": row.status.value, "held": None if row.held is None else json.loads(row.held)}
