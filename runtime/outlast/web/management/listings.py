"""Resources over HTTP: most are nothing but a row of the table and a query."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from outlast.core.lines import Line, ReadLines
from outlast.core.resources import LOGS, RESOURCES, WORKFLOWS, Resource
from outlast.store.workflows import PostgresWorkflows
from outlast.web.http.answers import JSON, NO_STORE, Answer
from outlast.web.http.calls import Call
from outlast.web.http.documents import documents, row_document, summary_document
from outlast.web.http.pages import PageRequest
from outlast.web.http.parameters import Parameters
from outlast.web.http.problems import ProblemError
from outlast.web.http.routes import Endpoint, not_found, raw_path
from outlast.web.invoking.results import location_of
from outlast.web.management.owned import Owned, as_unavailable


class Listings:
    """Resources, for holders of a secret key, and some also for the workflow's owner."""

    def __init__(self, workflows: PostgresWorkflows, owned: Owned) -> None:
        self._workflows = workflows
        self._owned = owned

    def routes(self) -> Iterator[tuple[str, str, Endpoint]]:
        """Method, template and endpoint of each. Resources with their own endpoints come before these."""
        for each in RESOURCES:
            yield "GET", each.path, partial(self.page, each)
            if each.of is None:
                yield "GET", f"{each.path}/", partial(self.page, each)

    def item_routes(self) -> Iterator[tuple[str, str, Endpoint]]:
        """Those of single rows."""
        return (("GET", each.item_path, partial(self.show, each)) for each in RESOURCES if each.key)

    async def page(self, resource: Resource, call: Call, *of: str) -> Answer:
        """A page of a resource: of all rows, of those of what is asked for, or of those of the caller."""
        owner = await self._owned.owner(call, secret=resource.secret)
        asked = PageRequest(call, resource)
        given: dict[str, Any] = asked.filters if of else {**asked.filters, "subject": owner}
        for key in of:
            # guard: anybodys-rows-listed
            await self._check(resource.of, key, owner)
            given = {**given, resource.keys[-1]: key}
        with as_unavailable():
            rows, more = await self._workflows.listing(resource, given, asked.after, asked.limit)
        if resource is WORKFLOWS:
            items = documents(map(summary_document, rows))
        else:
            items = documents(row_document(resource.columns, row, secret=owner is None) for row in rows)
        return asked.answer(items, raw_path(call), rows[-1] if more else None)

    async def show(self, resource: Resource, call: Call, key: str) -> Answer:
        """One row, as a listing shows it."""
        # guard: rows-shown-to-users
        await self._owned.owner(call, secret=True)
        Parameters(call, ())
        return await self.item(resource, key)

    async def item(self, resource: Resource, key: str) -> Answer:
        """The answer that is one row, for a holder of a secret key. Raises ProblemError (404)."""
        row = await self._row(resource, key)
        return Answer(200, row_document(resource.columns, row, secret=True).json, [JSON, NO_STORE])

    async def _check(self, resource: Resource | None, key: str, owner: str | None) -> None:
        """Raise ProblemError (404) unless there is such a row, and the caller may see it."""
        if resource is WORKFLOWS:
            await self._owned.ownership(key, owner)
        elif resource is not None:
            await self._row(resource, key)

    async def _row(self, resource: Resource, key: str) -> Mapping[str, Any]:
        with as_unavailable():
            rows, _ = await self._workflows.listing(resource, {resource.key: key}, None, 1)
        if not rows:
            raise ProblemError(not_found(resource, key))
        return rows[0]


async def logs_page(owned: Owned, read: ReadLines, call: Call, workflow_id: str) -> Answer:
    """A page of lines out of this host's memory, the oldest first, for holders of a secret key.

    Raises ProblemError.
    """
    # guard: logs-for-users
    await owned.owner(call, secret=True)
    asked = PageRequest(call, LOGS)
    await owned.ownership(workflow_id, None)
    lines = await asyncio.to_thread(read, workflow_id)
    if (step_id := asked.filters["step_id"]) is not None:
        lines = [each for each in lines if each.step_id == step_id]
    rows = [{"at": each.at, **each._asdict()} for each in lines if _is_after(each, asked.after)]
    page, more = rows[: asked.limit], len(rows) > asked.limit
    items = documents(row_document(LOGS.columns, row, secret=True) for row in page)
    return asked.answer(items, f"{location_of(workflow_id)}/logs", page[-1] if more else None)


def _is_after(line: Line, place: tuple[object, ...] | None) -> bool:
    return place is None or (line.at, line.number) > place
