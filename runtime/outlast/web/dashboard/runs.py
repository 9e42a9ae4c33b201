"""Runs: workflows by the filters of the address, the newest first."""

from __future__ import annotations

from outlast.core.resources import WAITS, WORKFLOWS
from outlast.core.status import Status
from outlast.core.verbs import VERBS
from outlast.web.dashboard.asked import Asked, cursor_in
from outlast.web.http.calls import Sendable
from outlast.web.http.problems import ProblemError

BULK_VERBS = tuple(
    each.name for each in VERBS if each.bulk and not any(one.required for one in each.arguments)
)
"""What can be done to many with nothing else to say."""

_IN_SIGHT = {"function", "status", "prefix", "error", "attribute", "cursor"}
"""The filters that are there without asking for more."""


async def show(asked: Asked) -> Sendable:
    """The list. A filter that can't be is told where it stands."""
    refused = None
    try:
        found = await asked.listing(WORKFLOWS)
    except ProblemError as error:
        if error.problem.status >= 500:
            raise
        refused, found = error.problem, {"workflows": [], "next": None}
    return asked.render(
        "runs.html",
        200 if refused is None else refused.status,
        rows=found["workflows"],
        cursor=cursor_in(found),
        refused=refused,
        statuses=[each.value for each in Status],
        waits=WAITS,
        verbs=BULK_VERBS,
        filtered=bool(asked.filters(WORKFLOWS)),
        more=not asked.query.keys() <= _IN_SIGHT,
    )
