"""Views that are one listing: runs, errors, what is held, acts and instances."""

from __future__ import annotations

import json
from datetime import timedelta

from outlast.core.clock import machine_now
from outlast.core.holds import REASONS
from outlast.core.resources import ACTS, ERRORS, HELD, INSTANCES, WAITS, WORKFLOWS
from outlast.core.status import Status
from outlast.core.verbs import VERBS
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import listed, listing
from outlast.web.http.calls import Sendable

BULK_VERBS = tuple(
    each.name for each in VERBS if each.bulk and not any(one.required for one in each.arguments)
)
"""What can be done to many with nothing else to say."""

_IN_SIGHT = {"function", "status", "prefix", "error", "attribute", "cursor"}
"""The filters of runs that are there without asking for more."""

PERIODS = {
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
"""Of errors."""
USUAL = "7d"


async def show_runs(asked: Asked) -> Sendable:
    """Workflows by the filters of the address, the newest first."""
    found = await listed(asked, WORKFLOWS)
    return asked.render(
        "runs.html",
        found.status,
        found=found,
        statuses=[each.value for each in Status],
        waits=WAITS,
        reasons=list(REASONS),
        verbs=BULK_VERBS,
        more=not asked.query.keys() <= _IN_SIGHT,
    )


async def show_errors(asked: Asked) -> Sendable:
    """What workflows failed of in a period, by cause, the last first. One bulk retries all of a cause."""
    period = asked.one("period") if asked.one("period") in PERIODS else USUAL
    since = (machine_now() - PERIODS[period]).replace(second=0, microsecond=0)
    found = await listed(asked, ERRORS, since=since.isoformat())
    return asked.render("errors.html", found.status, found=found, periods=list(PERIODS), period=period)


show_held = listing("held.html", HELD, reasons=REASONS)
"""What doesn't go on, by function and reason, with what is recorded beside what the code calls."""

show_acts = listing("acts.html", ACTS, verbs=sorted({each.name for each in VERBS}))
"""What people did, when and why, and what stood before: the newest first."""


async def show_instances(asked: Asked) -> Sendable:
    """Their leases, what they serve and run: one whose lease ran out, or that has left, is here for a day."""
    found = await listed(asked, INSTANCES)
    serving = {each["instance_id"]: json.loads(each["versions"] or "{}") for each in found.rows}
    return asked.render("instances.html", found.status, found=found, serving=serving)
