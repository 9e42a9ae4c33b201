"""The views of the dashboard as a table. A view is a file with `show`, a template, and a row here.

The first row that fits a path is taken. A workflow's id may hold slashes, so what follows an id comes before
what ends with one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from outlast.web.dashboard import runs
from outlast.web.dashboard.asked import Asked
from outlast.web.http.calls import Sendable

DASHBOARD = "/dashboard"


class View(NamedTuple):
    """One row. `path` is below DASHBOARD and may hold `{workflow_id}` or another key in braces."""

    method: str
    path: str
    show: Callable[[Asked], Awaitable[Sendable]]
    rail: str = ""
    """Its word in the left rail; not there without one."""
    icon: str = ""
    """Its sign there: a name of templates/parts/icons.html."""


VIEWS: tuple[View, ...] = (View("GET", "", runs.show, "Runs", "runs"),)

RAIL = tuple((DASHBOARD + each.path, each.rail, each.icon) for each in VIEWS if each.rail)
"""Address, word and sign of each view in the left rail, in order."""
