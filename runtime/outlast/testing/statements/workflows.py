"""`workflows.sql` in memory: workflows as their instances and their waiters read them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from outlast.core.events import event_record_name
from outlast.core.kinds import PUBLISH
from outlast.core.records import (
    EventQuery,
    EventsFound,
    NewWorkflow,
    PublishedEvent,
    StepRecord,
    WorkflowState,
    WorkflowStates,
)
from outlast.core.status import LIVE, Status
from outlast.core.verbs import KILL, UNDO
from outlast.testing.rows import Workflow
from outlast.testing.statements.statements import Statements


class WorkflowStatements(Statements):
    """See core.ports.WorkflowStore. A list of states holds one at most, the shortest possible answer."""

    def load(self, ids: Collection[str]) -> dict[str, tuple[Workflow, list[StepRecord]]]:
        """`load`: by id, the row and the records."""
        return {
            each: (self._db.workflows[each], list(self._db.steps_of(each).values()))
            for each in ids
            if each in self._db.workflows
        }

    def find(self, ids: Iterable[str]) -> dict[str, WorkflowState]:
        """The states of all these workflows."""
        found: dict[str, WorkflowState] = {}
        for asked in ids:
            target, call = self._db.attached.get(asked, (asked, None))
            row = self._db.workflows.get(target)
            if row is not None:
                fingerprint = (call or row.new).fingerprint
                found[asked] = WorkflowState(
                    target, row.new.function, row.status, fingerprint, row.new.subject,
                    row.output, row.error, row.response, row.generation, row.held,
                )  # fmt: skip
        return found

    def published(self, queries: Iterable[EventQuery], limit: int = 2) -> tuple[dict[int, EventsFound], bool]:
        """`published`."""
        found: dict[int, EventsFound] = {}
        for place, query in enumerate(queries):
            target, _ = self._db.attached.get(query.workflow_id, (query.workflow_id, None))
            row = self._db.workflows.get(target)
            if row is None:
                continue
            events = sorted(
                PublishedEvent(order, step.output or "null")
                for step in self._db.steps_of(target).values()
                if step.kind == PUBLISH
                and step.name == event_record_name(query.event)
                and (order := step.completion_order) is not None
                and order > query.after
            )
            taken = events[-1:] if query.newest else events[:limit]
            found[place] = EventsFound(
                taken, row.status not in LIVE and (query.newest or len(events) < limit)
            )
        return found, False

    def same_payload(self, new: NewWorkflow) -> bool:
        """`same_payload`."""
        if new.workflow_id in self._db.attached:
            _, call = self._db.attached[new.workflow_id]
            return call.input is not None and bool(json.loads(call.input) == json.loads(new.input or "null"))
        row = self._db.workflows.get(new.workflow_id)
        if row is None or row.new.input is None or new.input is None:
            return False
        same = bool(json.loads(row.new.input) == json.loads(new.input))
        if row.new.request is None or new.request is None:
            return same
        parts = ("method", "path", "query")
        of_row, of_new = json.loads(row.new.request), json.loads(new.request)
        return same and all(of_row[part] == of_new[part] for part in parts)

    def attributes(self, workflow_id: str) -> str | None:
        """`attributes`."""
        row = self._db.workflows.get(workflow_id)
        return None if row is None else row.attributes

    def step_name(self, workflow_id: str, step_id: str) -> str | None:
        """`step_name`. Running steps aren't known here."""
        record = self._db.records.get((workflow_id, step_id))
        return None if record is None else record.step.name

    def states(self, ids: Iterable[str]) -> WorkflowStates:
        """`states`."""
        return _cut(self.find(ids))

    def ended(self, ids: Iterable[str]) -> WorkflowStates:
        """`ended`."""
        over = {
            each: found
            for each, found in self.find(ids).items()
            if found.status not in LIVE or found.held is not None
        }
        return _cut(over)

    def cancel(self, workflow_id: str, by: str, why: str | None = None, mode: str = UNDO) -> Status | None:
        """`cancel`. Raises Blocked, and the error with which its row refuses."""
        row = self._db.workflows.get(workflow_id)
        # guard: memory-cancelled-ones-not-killed = False
        over = row is not None and row.status is Status.CANCELLED and mode == KILL
        if row is None or (row.status not in LIVE and not over):
            return None
        self._db.wait_for_lock(workflow_id)
        self._db.check_writable(workflow_id)
        before = stands(row)
        if over and not self._db.kill_below(workflow_id):
            return None
        if row.saga in (None, "open") or mode == KILL:
            self._db.note_act("workflow", workflow_id, "cancel", by, why, before)
        if not over:
            self._db.cancel(row, "the workflow was cancelled", kill=mode == KILL)
        self._db.tell_ends()
        return row.status


def stands(row: Workflow) -> str:
    """`outlast.workflow_stands`, its first part."""
    return json.dumps({"status": row.status, "epoch": row.epoch})


def _cut(found: dict[str, WorkflowState]) -> WorkflowStates:
    return WorkflowStates(dict(list(found.items())[:1]), len(found) > 1)
