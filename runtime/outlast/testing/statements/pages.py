"""`workflows.sql` in memory: workflows as the web floor reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from outlast.core.callbacks import Link, message_key
from outlast.core.kinds import CALLBACK
from outlast.core.ports import BadData, NotNow, Unacceptable
from outlast.core.records import BulkRan, Concerned, Ownership
from outlast.core.resources import QUEUES, WORKFLOWS, Resource
from outlast.core.resources.resource import Page
from outlast.core.status import LIVE, Status
from outlast.core.verbs import BULK, UNDO, Verb
from outlast.testing.listings import completions, listed, shown
from outlast.testing.statements.bulks import BulkStatements
from outlast.testing.statements.queue_verbs import QueueVerbs
from outlast.testing.statements.schedules import ScheduleStatements
from outlast.testing.statements.workflow_verbs import WorkflowVerbs
from outlast.testing.statements.workflows import WorkflowStatements


class PageStatements(WorkflowStatements):
    """See PostgresWorkflows."""

    def ownership(self, ids: Iterable[str]) -> dict[str, Ownership]:
        """`ownership`."""
        rows = {each: self._db.workflows[each] for each in ids if each in self._db.workflows}
        return {
            each: Ownership(each, row.new.function, row.status, row.new.subject, row.new.parent)
            for each, row in rows.items()
        }

    def counts(self, subject: str, sleeping_max: int, stored_max: int) -> tuple[int, int]:
        """`counts`."""
        theirs = [each for each in self._db.workflows.values() if each.new.subject == subject]
        sleeping = sum(each.owner is None and each.claimable_at is not None for each in theirs)
        return min(sleeping, sleeping_max), min(len(theirs), stored_max)

    def concerned(
        self, filter: Any, step: str | None, after: tuple[datetime, str] | None, most: int
    ) -> Concerned:
        """`concerned`."""
        try:
            found = BulkStatements(self._db).found(filter, after, most)
        except Unacceptable:
            return Concerned(set(), 0, None)
        names = {
            (self._db.workflows[each].new.function, None if step is None else self.step_name(each, step))
            for _, each in found
        }
        return Concerned(names, len(found), found[-1] if len(found) == most else None)

    def show(self, workflow_id: str, *, whole: bool = True, brief: bool = False) -> dict[str, Any] | None:
        """`show`."""
        row = self._db.workflows.get(workflow_id)
        return None if row is None else shown(self._db, row)

    def listing(
        self,
        resource: Resource,
        given: Mapping[str, Any],
        after: Sequence[Any] | None = None,
        limit: int | None = None,
    ) -> Page:
        """A page of any resource."""
        return listed(self._db, resource, given, after, limit)

    def cancel(self, workflow_id: str, by: str, why: str | None = None, mode: str = UNDO) -> Status | None:
        """`cancel`. Raises NotNow, Blocked, and the error with which its row refuses."""
        try:
            return super().cancel(workflow_id, by, why, mode)
        except BadData as error:
            raise NotNow(f"the database refuses it: {error}") from error

    def act(self, verb: Verb, key: str | None, arguments: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Call the function of a verb."""
        if verb is BULK:
            return BulkStatements(self._db).begin(arguments, by)
        if verb.noun is WORKFLOWS:
            try:
                return WorkflowVerbs(self._db).act(verb, key or "", arguments, by)
            except BadData as error:
                raise NotNow(f"the database refuses it: {error}") from error
        if verb.noun is QUEUES:
            done = QueueVerbs(self._db).act(verb, key or "", arguments, by)
        else:
            done = ScheduleStatements(self._db, by).act(verb, key, arguments, by)
        if not arguments.get("dry_run"):
            name = arguments["name"] if key is None else key
            self._db.note_act(verb.noun.one, name, verb.name, by, arguments.get("why"))
        return done

    def run_bulk(self) -> BulkRan:
        """`run_bulk`."""
        return BulkStatements(self._db).run()

    def steps_after(self, workflow_id: str, order: int, limit: int) -> Page:
        """`steps_after`."""
        return completions(self._db, workflow_id, order, limit)

    def callback(self, link: Link) -> dict[str, Any] | None:
        """`callback`."""
        workflow_id, step_id = link.workflow_id, link.step_id
        row = self._db.workflows.get(workflow_id)
        if row is None:
            return None
        record = self._db.records.get((workflow_id, step_id))
        keys = message_key(step_id, link.mark, "")
        letters = [each for each in self._db.letters if each.workflow_id == workflow_id]
        return {
            "function": row.new.function,
            "version": row.new.version,
            "live": row.status in LIVE and row.saga in (None, "open"),
            "output": record.step.output if record is not None and record.step.kind == CALLBACK else None,
            "used": sum((each.key or "").startswith(keys) for each in letters),
        }

    def running(self, workflow_id: str) -> list[dict[str, Any]]:
        """`running`. What other processes run isn't known here."""
        return []
