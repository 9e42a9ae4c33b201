"""Resources over HTTP: most are nothing but a row of the table and a query."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from outlast.core.resources import RESOURCES, WORKFLOWS, Resource
from outlast.store.workflows import PostgresWorkflows
from outlast.web.http.answers import Answer
from outlast.web.http.calls import Call
from outlast.web.http.documents import documents, row_document, summary_document
from outlast.web.http.pages import PageRequest
from outlast.web.http.routes import Endpoint, raw_path
from outlast.web.management.owned import Owned, as_unavailable


class Listings:
    """Pages of resources, for holders of a secret key, and of some also for the workflow's owner."""

    def __init__(self, workflows: PostgresWorkflows, owned: Owned) -> None:
        self._workflows = workflows
        self._owned = owned

    def routes(self) -> Iterator[tuple[str, str, Endpoint]]:
        """Method, template and endpoint of each. Resources with their own endpoints come before these."""
        return (("GET", each.path, partial(self.page, each)) for each in RESOURCES)

    async def page(self, resource: Resource, call: Call, *workflow_ids: str) -> Answer:
        """A page of a resource: of all rows, of those of a workflow, or of those of the caller."""
        owner = await self._owned.owner(call, secret=resource.secret)
        asked = PageRequest(call, resource)
        given = asked.filters if workflow_ids else {**asked.filters, "subject": owner}
        for workflow_id in workflow_ids:
            # guard: anybodys-rows-listed
            await self._owned.ownership(workflow_id, owner)
            given = {**given, "workflow_id": workflow_id}
        with as_unavailable():
            rows, more = await self._workflows.listing(resource, given, asked.after, asked.limit)
        if resource is WORKFLOWS:
            items = documents(map(summary_document, rows))
        else:
            items = documents(row_document(resource.columns, row, secret=owner is None) for row in rows)
        return asked.answer(items, raw_path(call), rows[-1] if more else None)
