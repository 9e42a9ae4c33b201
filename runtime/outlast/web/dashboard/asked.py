"""What a view is given: the request, who looks, the public API, and how a page is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from outlast.core.resources import Resource
from outlast.web.dashboard.api import Api
from outlast.web.dashboard.pages import Pages
from outlast.web.dashboard.viewers import Viewer
from outlast.web.http.answers import Answer
from outlast.web.http.calls import Call
from outlast.web.http.parameters import PARAMETERS_MAX, invalid
from outlast.web.http.problems import Problem

ROWS = 100
"""Of a page of a listing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a view. `keys` are what stood for the placeholders of its path, decoded.

    `query` holds the parameters that are given and not empty: a form sends every field that it has.
    """

    call: Call
    viewer: Viewer
    keys: tuple[str, ...]
    api: Api
    pages: Pages
    base: str
    """How the address begins that the caller has reached: `http://127.0.0.1:8000`."""
    query: dict[str, list[str]] = field(default_factory=dict)

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """What GET gives at a path of the public API. Raises ProblemError, as that would answer."""
        pairs = [
            (name, each)
            for name, value in query.items()
            for each in (value if isinstance(value, list) else [value])
        ]
        return await self.api.get(self.call, self.viewer, path, pairs)

    async def do(self, method: str, path: str, body: Any) -> Any:
        """The document that answers a call which changes something. Raises ProblemError."""
        return await self.api.do(self.call, self.viewer, method, path, body)

    def one(self, name: str) -> str:
        """The last value of a parameter; empty without one."""
        return self.query.get(name, [""])[-1]

    def filters(self, resource: Resource) -> dict[str, Any]:
        """Those parameters that the resource can be filtered by, and where the page begins."""
        known = {*(each.name for each in resource.filters), "cursor"}
        return {name: values for name, values in self.query.items() if name in known}

    async def listing(self, resource: Resource, path: str | None = None, **more: Any) -> dict[str, Any]:
        """A page of a resource by the query of this request. Raises ProblemError."""
        return await self.get(path or resource.path, **{"limit": ROWS, **self.filters(resource), **more})

    def link(self, **changed: str | None) -> str:
        """This page's own address with other parameters; None takes one away."""
        pairs = [(name, each) for name, values in self.query.items() for each in values]
        kept = [(name, value) for name, value in pairs if name not in changed]
        given = [(name, value) for name, value in changed.items() if value is not None]
        query = urlencode([*kept, *given])
        return f"?{query}" if query else "?"

    def render(self, template: str, status: int | None = None, **values: Any) -> Answer:
        """The page of a template. Values of every template: `asked`, `viewer`.

        Its status is that of the problem `refused`, if there is one, unless another is given.
        """
        refused: Problem | None = values.get("refused")
        status = status or (200 if refused is None else refused.status)
        shared = {"asked": self, "viewer": self.viewer}
        return self.pages.answer(self.call, template, status, {**shared, **values})


def read_query(call: Call) -> dict[str, list[str]]:
    """The parameters of a request that aren't empty, in order. Raises ProblemError (400)."""
    try:
        pairs = parse_qsl(call.query.decode("latin-1"), max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise invalid("query", f"the query has more than {PARAMETERS_MAX} parameters; send fewer") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if (text := value.strip()) and "\0" not in text:
            found.setdefault(name, []).append(text)
    return found


def address_of(call: Call) -> str:
    """Scheme and host, as the caller has written them."""
    return f"{call.scope.get('scheme', 'http')}://{call.header(b'host') or 'localhost'}"


def cursor_in(document: Mapping[str, Any]) -> str | None:
    """The cursor of the next page out of a page's `next`."""
    following = document.get("next")
    if not following:
        return None
    return dict(parse_qsl(following.partition("?")[2])).get("cursor")
