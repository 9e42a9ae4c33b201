"""The views of the dashboard as a table, and their routes. A view is a function, a template, and a row here.

The first row that fits a path is taken. A workflow's id may hold slashes, so what follows an id comes before
what ends with one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import NamedTuple

from outlast.core.errors import OutlastError
from outlast.core.resources import WORKFLOWS
from outlast.web.callbacks.pages import asks
from outlast.web.callers.origins import is_dashboard
from outlast.web.dashboard import bulk, commands, doing, functions, lists, run, steps
from outlast.web.dashboard.api import Api
from outlast.web.dashboard.asked import Asked, address_of, read_query
from outlast.web.dashboard.gate import Gate
from outlast.web.dashboard.pages import Pages
from outlast.web.dashboard.static import STATIC
from outlast.web.dashboard.viewers import Viewer
from outlast.web.http.calls import Call, Sendable
from outlast.web.http.problems import Problem, ProblemError, expected_problem, problem_headers
from outlast.web.http.routes import DASHBOARD as DASHBOARD
from outlast.web.http.routes import Endpoint, decode_part, not_found


class View(NamedTuple):
    """One row. `path` is below DASHBOARD and may hold `{workflow_id}` or another key in braces."""

    method: str
    path: str
    show: Callable[[Asked], Awaitable[Sendable]]
    rail: str = ""
    """Its word in the left rail; not there without one."""
    icon: str = ""
    """Its sign there: a name of templates/parts/icons.html."""


_RUN = "/workflows/{workflow_id}"
VIEWS: tuple[View, ...] = (
    View("GET", "", lists.show_runs, "Runs", "runs"),
    View("GET", "/errors", lists.show_errors, "Errors", "errors"),
    View("GET", "/queues", lists.show_queues, "Queues", "queues"),
    View("GET", "/schedules", lists.show_schedules, "Schedules", "schedules"),
    View("GET", "/functions", functions.show, "Functions", "functions"),
    View("GET", "/instances", lists.show_instances, "Instances", "instances"),
    View("GET", "/held", lists.show_held, "Held", "held"),
    View("GET", "/acts", lists.show_acts, "Acts", "acts"),
    View("GET", "/bulks", lists.show_bulks, "Bulks", "bulk"),
    View("GET", "/commands", commands.show_list),
    View("GET", "/bulk", bulk.ask),
    View("POST", "/bulk", bulk.do),
    View("GET", f"{_RUN}/steps", steps.show),
    View("GET", f"{_RUN}/commands", commands.show),
    View("GET", f"{_RUN}/value/{{member}}", run.show_value),
    *(
        View(method, f"{below}/do/{{verb}}", show)
        for below in (_RUN, "/queues/{name}", "/schedules/{name}", "/schedules")
        for method, show in (("GET", doing.ask), ("POST", doing.do))
    ),
    View("GET", "/queues/{name}", lists.show_queue),
    View("GET", "/schedules/{name}", lists.show_schedule),
    View("GET", "/functions/{function}", functions.show_one),
    View("POST", "/functions/{function}", functions.call),
    View("GET", "/bulks/{bulk_id}", lists.show_bulk),
    View("GET", _RUN, run.show),
)

RAIL = tuple((DASHBOARD + each.path, each.rail, each.icon) for each in VIEWS if each.rail)
"""Address, word and sign of each view in the left rail, in order."""


def dashboard_routes(api: Api, gate: Gate) -> Iterator[tuple[str, str, Endpoint]]:
    """Method, template and endpoint of each view, and of what the pages load."""
    pages = gate.pages
    yield "GET", f"{STATIC}{{edition}}/{{file}}", gate.public(pages.assets.answer)
    yield "GET", f"{DASHBOARD}/", gate.guarded(partial(_show, VIEWS[0], api, pages))
    for view in VIEWS:
        yield view.method, DASHBOARD + view.path, gate.guarded(partial(_show, view, api, pages))


async def answer_dashboard(call: Call, answer: Endpoint, api: Api, gate: Gate) -> Sendable:
    """What `answer` makes of a call; below the dashboard a page says it too where nothing is served."""
    try:
        return await answer(call)
    except ProblemError as error:
        if not is_dashboard(call.path):
            raise
        refusal = View(call.method, "", partial(_refuse, error.problem))
        return await gate.refuse(call, error.problem, partial(_show, refusal, api, gate.pages))


async def _refuse(problem: Problem, asked: Asked) -> Sendable:
    raise ProblemError(problem)


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
        page = asked.render("problem.html", problem.status, problem=problem)
        page.headers += problem_headers(problem)
        return page
