"""A page of a resource as a view shows it: its rows, or why a filter can't be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from outlast.core.resources import Resource
from outlast.web.dashboard.asked import Asked, cursor_in
from outlast.web.http.answers import Answer
from outlast.web.http.problems import Problem, ProblemError


class Listed(NamedTuple):
    """`refused` says which filter can't be; then there are no rows. `filtered`: whether there are filters."""

    rows: list[dict[str, Any]]
    cursor: str | None
    refused: Problem | None
    filtered: bool

    @property
    def status(self) -> int:
        """The answer's."""
        return 200 if self.refused is None else self.refused.status


async def listed(asked: Asked, resource: Resource, path: str | None = None, **more: Any) -> Listed:
    """The page of a resource that the query asks for. Raises ProblemError of all but what was asked."""
    filtered = bool(asked.filters(resource).keys() - {"cursor"})
    try:
        found = await asked.listing(resource, path, **more)
    except ProblemError as error:
        if error.problem.status >= 500 or error.problem.status == 404:
            raise
        return Listed([], None, error.problem, filtered)
    return Listed(found[resource.name], cursor_in(found), None, filtered)


def listing(template: str, resource: Resource, **values: Any) -> Callable[[Asked], Awaitable[Answer]]:
    """A view that shows nothing but a page of a resource."""

    async def show(asked: Asked) -> Answer:
        found = await listed(asked, resource)
        return asked.render(template, found.status, found=found, **values)

    return show
