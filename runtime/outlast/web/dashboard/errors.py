"""Errors: what workflows failed of, by cause, the last first; all of a cause are retried by one bulk."""

from __future__ import annotations

from datetime import timedelta

from outlast.core.clock import machine_now
from outlast.core.resources import ERRORS
from outlast.web.dashboard.asked import Asked, cursor_in
from outlast.web.http.calls import Sendable
from outlast.web.http.problems import ProblemError

PERIODS = {
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
USUAL = "7d"


async def show(asked: Asked) -> Sendable:
    """The groups of a period."""
    period = asked.one("period") if asked.one("period") in PERIODS else USUAL
    since = (machine_now() - PERIODS[period]).replace(second=0, microsecond=0)
    refused = None
    try:
        found = await asked.listing(ERRORS, since=since.isoformat())
    except ProblemError as error:
        if error.problem.status >= 500:
            raise
        refused, found = error.problem, {"errors": [], "next": None}
    return asked.render(
        "errors.html",
        200 if refused is None else refused.status,
        groups=found["errors"],
        cursor=cursor_in(found),
        refused=refused,
        periods=list(PERIODS),
        period=period,
    )
