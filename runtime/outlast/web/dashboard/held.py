"""Held: what doesn't go on, by function and reason, with what is recorded beside what the code calls."""

from __future__ import annotations

from outlast.core.holds import REASONS
from outlast.core.resources import HELD
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import render_listed
from outlast.web.http.calls import Sendable


async def show(asked: Asked) -> Sendable:
    """All groups."""
    return await render_listed(asked, "held.html", HELD, reasons=REASONS)
