"""Retry and rewind in memory: `outlast.retry_workflow`, `rewind_workflow` and their parts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from outlast.core import kinds
from outlast.core.holds import PAUSED
from outlast.core.maps import NewMap
from outlast.core.messages import message_in
from outlast.core.names import BATCH, actor_of
from outlast.core.ports import NotNow
from outlast.core.status import FAILED, LIVE, Status
from outlast.core.verbs import RETRY, REWIND, Verb
from outlast.testing.rows import WITH_PARENT, Workflow
from outlast.testing.statements.kept import first_place, records_kept, step_named, with_undone
from outlast.testing.statements.statements import Statements
from outlast.testing.statements.workflows import stands

REOPENED_AT_ONCE = 2
"""How many failed items of a map go on at once: few, so that several calls are common."""


def is_batch(workflow_id: str, row: Workflow) -> bool:
    """`outlast.is_batch`."""
    # guard: memory-items-taken-for-batches = workflow_id.endswith(BATCH)
    return workflow_id.endswith(BATCH) and row.new.parent is None


class Retrying(Statements):
    """See PostgresWorkflows.act."""

    def act(self, verb: Verb, workflow_id: str, given: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Retry or rewind a workflow that exists, and is locked. Raises NotNow, Unacceptable."""
        row = self._db.workflows[workflow_id]
        self._check(verb, workflow_id, row)
        if verb is REWIND:
            step = step_named(self._db.steps_of(workflow_id), "to", given["to"])
            steps = [step, *self._undone(workflow_id, row)]
        else:
            steps = self.failed_steps(workflow_id, row)
        status = row.status
        # guard: memory-refusing-rows-retried = ()
        with_it = list(self._cancelled_with(workflow_id)) if status is Status.CANCELLED else []
        for each in (workflow_id, *with_it):
            self._db.check_writable(each)
        dropped = self.go_on(workflow_id, row, verb.name, steps, by, given.get("why"))
        if status is Status.CANCELLED:
            self._retry_cancelled_children(workflow_id)
        return {"status": row.status, "generation": row.generation, "dropped": dropped[:1000]}

    def retry_child(self, child: str, parent: Workflow) -> bool:
        """`outlast.retry_child`, under the parent's fence."""
        row = self._db.workflows.get(child)
        if (
            row is None
            or row.new.parent != parent.new.workflow_id
            or row.status not in FAILED
            or row.map is not None
            or parent.retried_at is None
            or row.updated_at > parent.retried_at
        ):
            return False
        status = row.status
        # guard: memory-refusing-children-retried
        self._db.wait_for_writable(
            child, *(self._cancelled_with(child) if status is Status.CANCELLED else ())
        )
        steps = self.failed_steps(child, row)
        self.go_on(child, row, "retry", steps, actor_of(parent.new.workflow_id), None)
        if status is Status.CANCELLED:
            self._retry_cancelled_children(child)
        return True

    def reopen_map(self, new: NewMap, parent: Workflow, tolerate: int) -> None:
        """`outlast.reopen_map`, under the parent's fence."""
        map_id = new.map_id
        row = self._db.workflows.get(map_id)
        if row is None or row.map is None or row.status is Status.SUCCESS:
            return
        anew = row.map.get("generation", 1) < parent.generation
        if not anew and (row.status is not Status.PENDING or "reopening" not in row.map):
            return
        reopened_at = self._db.now() if anew else row.map["reopened_at"]
        failed = [
            (each, item)
            for each, item in self._db.workflows.items()
            if item.new.parent == map_id
            and item.status in FAILED
            and (item.retried_at is None or item.retried_at < reopened_at)
        ]
        # guard: memory-refusing-items-reopened
        self._db.wait_for_writable(map_id, *(each for each, _ in failed[:REOPENED_AT_ONCE]))
        if anew:
            self._begin_again(new, row, parent, tolerate)
        for each, item in failed[:REOPENED_AT_ONCE]:
            steps = self.failed_steps(each, item)
            self.go_on(each, item, "retry", steps, actor_of(parent.new.workflow_id), None)
            # guard: memory-items-retried-until-long-ago
            item.new = item.new._replace(deadline_s=parent.new.deadline_s)
        if len(failed) < REOPENED_AT_ONCE:
            del row.map["reopening"]
            self._db.maps.look(map_id)
            self._db.tell_ends()

    def _begin_again(self, new: NewMap, row: Workflow, parent: Workflow, tolerate: int) -> None:
        assert row.map is not None
        started = 0 if row.map["dropped"] else row.map["started"]
        row.map |= {
            "generation": parent.generation, "reopening": True, "reopened_at": self._db.now(),
            "stopped": False, "dropped": 0, "tell_at": 0.0, "started": started, "on_fail": new.on_fail,
            "tolerate": tolerate,
        }  # fmt: skip
        row.status, row.error, row.output, row.claimable_at = Status.PENDING, None, None, None
        row.epoch += 1
        row.new = row.new._replace(deadline_s=parent.new.deadline_s)
        row.untold, row.updated_at = True, self._db.now()
        queue = self._db.queue(new.map_id)
        queue.base, queue.override, queue.starts = {"concurrency": new.concurrency}, {}, []

    def _check(self, verb: Verb, workflow_id: str, row: Workflow) -> None:
        # guard: memory-success-is-retried = row.status in (Status.PENDING, Status.ENQUEUED)
        if row.status not in FAILED:
            raise NotNow(
                f"the workflow is {row.status}; only one that is ERROR, CANCELLED or EXHAUSTED can be "
                f"{verb.past}; {_instead(row)}"
            )
        if workflow_id in self._db.bulks:
            raise NotNow("this is a bulk; what it has done stays done: begin another with the same filter")
        if row.map is not None:
            raise NotNow(f"this is a map; retry {row.new.parent}: it runs the failed items again")
        if is_batch(workflow_id, row):
            raise NotNow(
                "this is a batch, whose members have ended with it; retry those: they come into another batch"
            )
        of_map = self._db.workflows.get(row.new.parent or "")
        of_one = row.new.queue is not None and row.new.queue == row.new.parent
        if of_one and not _begins_more(of_map):
            raise NotNow(
                "this is an item of a map that is over, or has failed and begins nothing more; retry the "
                "workflow that the map belongs to: it runs the failed items again"
            )
        # guard: memory-retried-while-children-undo
        self._check_undone_below(workflow_id, row)

    def _check_undone_below(self, workflow_id: str, row: Workflow) -> None:
        """`outlast.undoes_still`. Raises NotNow."""
        if row.status is Status.EXHAUSTED or not row.ended_by_stop:
            return
        for each, child in self._db.workflows.items():
            if child.new.parent != workflow_id or child.detached:
                continue
            if child.status in LIVE and child.saga in ("stopping", "undoing"):
                raise NotNow(
                    f"{each}, which was stopped with it, still undoes; wait until that has ended, or kill it"
                )
            if child.status in FAILED:
                self._check_undone_below(each, child)

    # --- which records go ---------------------------------------------------------------------------------

    def failed_steps(self, workflow_id: str, row: Workflow) -> list[str]:
        """`outlast.failed_steps`."""
        error, records = json.loads(row.error or "{}"), self._db.records_of(workflow_id)
        failed = [
            each
            for each in error.get("steps", ())
            if each in records
            and (records[each].step.error is not None or records[each].step.kind in kinds.TIMED)
            and not records[each].since_end
        ]
        return [*failed, *self._undone(workflow_id, row)]

    def end_came_at(self, workflow_id: str, row: Workflow) -> int | None:
        """`outlast.end_came_at`."""
        records, steps = self._db.steps_of(workflow_id), json.loads(row.error or "{}").get("steps", [])
        ends = [*steps, *([kinds.STOP_ID] if row.ended_by_stop else ())]
        places = [records[each].completion_order for each in ends if each in records]
        return min((each for each in places if each is not None), default=None)

    def _undone(self, workflow_id: str, row: Workflow) -> list[str]:
        error = json.loads(row.error or "{}")
        if not error or error.get("code") == "compensation_failed":
            return []
        stopped = (workflow_id, kinds.STOP_ID) in self._db.records and row.ended_by_stop
        return [*error.get("undone", ()), *([kinds.STOP_ID] if stopped else ())]

    def _gone(self, workflow_id: str, steps: list[str]) -> list[str]:
        """The records that `outlast.go_on` drops: all but those of `records_kept`, and later failures."""
        rows, records = self._db.records_of(workflow_id), self._db.steps_of(workflow_id)
        steps = with_undone(records, steps)
        place, kept = first_place(records, steps), records_kept(records, steps)
        return [
            step_id
            for step_id, each in sorted(records.items(), key=lambda pair: pair[1].completion_order or 0)
            if step_id not in kept
            or (each.error and (each.completion_order or 0) > place and not rows[step_id].since_end)
        ]

    def go_on(
        self, workflow_id: str, row: Workflow, verb: str, steps: list[str], by: str, why: str | None
    ) -> list[str]:
        """`outlast.go_on`."""
        now, error = self._db.now(), json.loads(row.error or "{}")
        places = [each.completion_order or 0 for each in self._db.steps_of(workflow_id).values()]
        dropped = self._gone(workflow_id, steps)
        stays = self._stop_that_stays(workflow_id, row, dropped, rewinds=verb == REWIND.name)
        self._come_again(workflow_id, row, dropped)
        for each in dropped:
            del self._db.records[workflow_id, each]
        for record in self._db.records_of(workflow_id).values():
            record.since_end = False
        if error.get("code") == "compensation_failed":
            self._undo_again(workflow_id, error.get("steps", []))
        self._db.note_act("workflow", workflow_id, verb, by, why, stands(row))
        row.status, row.owner, row.claimable_at = Status.ENQUEUED, None, now
        row.epoch += 1
        row.generation += 1
        row.batch, row.awaits, row.error, row.output, row.response = None, None, None, None, None
        row.recovery_attempts, row.held, row.misfits = 0, None, {}
        row.saga = stays
        if stays is None:
            row.stop = None
            if any(each.kind == kinds.UNDO for each in self._db.steps_of(workflow_id).values()):
                row.saga = "open"
        former_s, ends_by_s = row.new.deadline_s, self._deadline_anew(row)
        row.new = row.new._replace(deadline_s=ends_by_s)
        if former_s is not None and ends_by_s is not None:
            self._bound_anew(workflow_id, former_s, ends_by_s)
        if not self._db.records_of(workflow_id):
            row.new = row.new._replace(version=None)
        row.retried_at, row.last_place = now, max([row.last_place, *places]) + 1
        row.untold, row.updated_at = True, now
        return [each for each in dropped if each != kinds.STOP_ID]

    def _come_again(self, workflow_id: str, row: Workflow, dropped: list[str]) -> None:
        """Renumber messages that come again while a later one of their topic stays received."""
        kept, free = set[int](), set[int]()
        for step_id, record in self._db.records_of(workflow_id).items():
            message = message_in(record.step.output) if record.step.kind == kinds.RECEIVE else None
            if message is not None and record.step.completion_order is not None:
                (free if step_id in dropped else kept).add(message.number)
        letters = sorted(
            (each for each in self._db.letters if each.workflow_id == workflow_id and each.number),
            key=lambda each: each.number or 0,
        )
        last = {each.topic: each.number or 0 for each in letters if each.number in kept}
        passed = {
            each.topic for each in letters if each.number in free and each.number < last.get(each.topic, 0)
        }
        for letter in letters:
            # guard: memory-messages-lost-below-others = False
            if letter.topic in passed and (
                letter.number in free or (letter.number or 0) > last[letter.topic]
            ):
                row.mail += 1
                letter.number = row.mail

    def _bound_anew(self, parent: str, former_s: float, ends_by_s: float) -> None:
        """`outlast.bound_anew`."""
        for child, row in self._db.workflows.items():
            new = row.new
            if new.parent != parent or row.status not in LIVE or new.detached:
                continue
            # guard: memory-children-keep-the-time-of-before
            if new.deadline_s in (None, former_s) or (new.deadline_s or 0.0) > ends_by_s:
                bounds = [ends_by_s]
                if new.timeout_s is not None and new.queue != new.parent:
                    bounds.append(max(former_s, (row.retried_at or row.created_at) + new.timeout_s))
                if not self._db.refuses(child):
                    row.new = new._replace(deadline_s=min(bounds))
                self._bound_anew(child, former_s, min(bounds))

    def _deadline_anew(self, row: Workflow) -> float | None:
        """`outlast.deadline_anew`."""
        now, new, bounds = self._db.now(), row.new, list[float | None]()
        # guard: memory-delays-outlast-a-retry = None
        own_s = None if new.parent and new.queue == new.parent else new.timeout_s
        parent = self._db.workflows.get(new.parent or "")
        if parent is not None and parent.status in LIVE and not new.detached:
            bounds.append(parent.new.deadline_s)
        if not any(bounds) and new.timeout_s is None and new.deadline_s is not None:
            began = row.created_at if row.retried_at is None else row.retried_at
            since = now
            # guard: memory-children-of-what-sql-started-end-before-it = False
            if bounds and parent is not None and parent.retried_at is not None:
                since, began = parent.retried_at, self._began_by(parent, began)
            bounds.append(since + new.deadline_s - began)
        bounds.append(None if own_s is None else now + own_s)
        return min((each for each in bounds if each is not None), default=None)

    def _began_by(self, row: Workflow, at: float) -> float:
        """When it had begun, or begun again, as of that time."""
        own, anew = row.new.workflow_id, (RETRY.name, REWIND.name)
        acts = [each.at for each in self._db.acts if each.name == own and each.verb in anew and each.at <= at]
        return max(acts, default=row.created_at)

    def _stop_that_stays(
        self, workflow_id: str, row: Workflow, dropped: list[str], *, rewinds: bool
    ) -> str | None:
        """The state of a saga that was interrupted after a stop, if the stop stays."""
        if (workflow_id, kinds.STOP_ID) in self._db.records:
            return None if kinds.STOP_ID in dropped else "undoing"
        cut_short = row.status is Status.EXHAUSTED or "held" in json.loads(row.error or "{}")
        return "stopping" if row.stop is not None and cut_short and not rewinds else None

    def _undo_again(self, workflow_id: str, notes: list[str]) -> None:
        records = self._db.records_of(workflow_id)
        for record in [records[each] for each in notes if each in records]:
            place = record.step.completion_order or 0
            # guard: memory-standing-undone-in-between = False
            later = any((each.step.called_after or 0) >= place for each in records.values())
            record.step = record.step._replace(output=json.dumps({"again": "after" if later else True}))

    def _retry_cancelled_children(self, parent: str) -> None:
        for each in list(self._cancelled_with(parent)):
            row = self._db.workflows[each]
            self.go_on(each, row, "retry", self.failed_steps(each, row), actor_of(str(row.new.parent)), None)

    def _cancelled_with(self, parent: str) -> Iterator[str]:
        """The workflows that were cancelled because of it, generation after generation."""
        for each, row in list(self._db.workflows.items()):
            if (
                row.new.parent == parent
                and row.status in FAILED
                and row.map is None
                and row.new.queue != parent
                and json.loads(row.error or "{}").get("message") == WITH_PARENT
            ):
                yield each
                yield from self._cancelled_with(each)


def _begins_more(of_map: Workflow | None) -> bool:
    if of_map is None or of_map.map is None:
        return False
    # guard: memory-items-of-failed-maps-retried = of_map.status is Status.PENDING
    return of_map.status is Status.PENDING and not of_map.map["stopped"]


def _instead(row: Workflow) -> str:
    """The hint for a workflow that has not failed."""
    if row.status is Status.SUCCESS:
        return "a success never changes: fork it"
    if row.held is None:
        return "it has not ended: cancel it first, or wait"
    if json.loads(row.held)["reason"] == PAUSED:
        return "it is paused: resume it, or cancel it first"
    return "it is held: resume it to try again now, or cancel it first"
