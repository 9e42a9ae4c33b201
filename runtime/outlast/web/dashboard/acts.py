"""Acts: what people did, when and why, and what stood before."""

from __future__ import annotations

from outlast.core.resources import ACTS
from outlast.core.verbs import VERBS
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import render_listed
from outlast.web.http.calls import Sendable

NAMES = tuple(sorted({each.name for each in VERBS}))


async def show(asked: Asked) -> Sendable:
    """All of them, the newest first."""
    return await render_listed(asked, "acts.html", ACTS, verbs=NAMES)
