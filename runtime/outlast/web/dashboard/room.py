"""Joins the dashboard's views with the public API and with the gate that says who looks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from outlast.core.errors import OutlastError
from outlast.core.resources import WORKFLOWS
from outlast.web.callbacks.pages import asks
from outlast.web.dashboard.api import Api
from outlast.web.dashboard.asked import Asked, address_of, read_query
from outlast.web.dashboard.gate import Gate
from outlast.web.dashboard.pages import Pages
from outlast.web.dashboard.static import STATIC
from outlast.web.dashboard.viewers import Viewer
from outlast.web.dashboard.views import DASHBOARD, VIEWS, View
from outlast.web.http.calls import Call, Sendable
from outlast.web.http.problems import ProblemError, expected_problem
from outlast.web.http.routes import Endpoint, decode_part, not_found


def dashboard_routes(api: Api, gate: Gate) -> Iterator[tuple[str, str, Endpoint]]:
    """Method, template and endpoint of each view, and of what the pages load."""
    pages = gate.pages
    yield "GET", f"{STATIC}{{edition}}/{{file}}", gate.public(pages.assets.answer)
    yield "GET", f"{DASHBOARD}/", gate.guarded(partial(_show, VIEWS[0], api, pages))
    for view in VIEWS:
        yield view.method, DASHBOARD + view.path, gate.guarded(partial(_show, view, api, pages))


async def _show(view: View, api: Api, pages: Pages, call: Call, viewer: Viewer, *raw: str) -> Sendable:
    """The view's answer. What can't be shown is a page that says why."""
    keys = tuple(key for key in map(decode_part, raw) if key is not None)
    asked = Asked(call, viewer, keys, api, pages, address_of(call))
    try:
        if len(keys) < len(raw):
            raise ProblemError(not_found(WORKFLOWS, None))
        asked.query.update(read_query(call))
        return await view.show(asked)
    except (ProblemError, OutlastError) as error:
        problem = expected_problem(error)
        if problem is None or not asks(call):
            raise
        return asked.render("problem.html", problem.status, problem=problem)
