"""Runs: workflows by the filters of the address, the newest first."""

from __future__ import annotations

from outlast.core.holds import REASONS
from outlast.core.resources import WAITS, WORKFLOWS
from outlast.core.status import Status
from outlast.core.verbs import VERBS
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import render_listed
from outlast.web.http.calls import Sendable

BULK_VERBS = tuple(
    each.name for each in VERBS if each.bulk and not any(one.required for one in each.arguments)
)
"""What can be done to many with nothing else to say."""

_IN_SIGHT = {"function", "status", "prefix", "error", "attribute", "cursor"}
"""The filters that are there without asking for more."""


async def show(asked: Asked) -> Sendable:
    """The list."""
    return await render_listed(
        asked,
        "runs.html",
        WORKFLOWS,
        statuses=[each.value for each in Status],
        waits=WAITS,
        reasons=list(REASONS),
        verbs=BULK_VERBS,
        more=not asked.query.keys() <= _IN_SIGHT,
    )
