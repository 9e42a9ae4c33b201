"""`workflows.sql` in memory: workflows as the web floor reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from outlast.core.listing import Page
from outlast.core.records import Ownership
from outlast.core.resources import EVENTS, STEPS, WORKFLOWS, Resource
from outlast.testing.listings import completions, listed, shown
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

    def show(self, workflow_id: str) -> dict[str, Any] | None:
        """`show`."""
        row = self._db.workflows.get(workflow_id)
        return None if row is None else shown(row)

    def page(
        self,
        after: Sequence[Any] | None = None,
        limit: int | None = None,
        *,
        subject: str | None = None,
        **filters: Any,
    ) -> Page:
        """`workflows`."""
        return self.listing(WORKFLOWS, {**filters, "subject": subject}, after, limit)

    def steps(self, workflow_id: str, after: tuple[int, str] | None = None, limit: int | None = None) -> Page:
        """`steps`."""
        return self.listing(STEPS, {"workflow_id": workflow_id}, after, limit)

    def events(self, workflow_id: str, after: int, limit: int, event: str | None = None) -> Page:
        """`events`."""
        return self.listing(EVENTS, {"workflow_id": workflow_id, "event": event}, (after,), limit)

    def listing(
        self,
        resource: Resource,
        given: Mapping[str, Any],
        after: Sequence[Any] | None = None,
        limit: int | None = None,
    ) -> Page:
        """A page of any resource."""
        return listed(self._db, resource, given, after, limit)

    def steps_after(self, workflow_id: str, order: int, limit: int) -> Page:
        """`steps_after`."""
        return completions(self._db, workflow_id, order, limit)

    def running(self, workflow_id: str) -> list[dict[str, Any]]:
        """`running`. What other processes run is known to none here."""
        return []
