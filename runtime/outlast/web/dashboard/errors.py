"""Errors: what workflows failed of, by cause, the last first; all of a cause are retried by one bulk."""

from __future__ import annotations

from datetime import timedelta

from outlast.core.clock import machine_now
from outlast.core.resources import ERRORS
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import listed
from outlast.web.http.calls import Sendable

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
    found = await listed(asked, ERRORS, since=since.isoformat())
    return asked.render("errors.html", found.status, found=found, periods=list(PERIODS), period=period)
