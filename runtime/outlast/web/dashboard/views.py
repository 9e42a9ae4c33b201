"""The views of the dashboard as a table. A view is a function, a template, and a row here.

The first row that fits a path is taken. A workflow's id may hold slashes, so what follows an id comes before
what ends with one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from outlast.web.dashboard import bulk, commands, doing, functions, lists, run, steps
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.safety import DASHBOARD as DASHBOARD
from outlast.web.http.calls import Sendable


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
