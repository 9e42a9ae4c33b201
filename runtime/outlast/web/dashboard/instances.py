"""Instances: their leases, what they serve and run."""

from __future__ import annotations

import json

from outlast.core.resources import INSTANCES
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import listed
from outlast.web.http.calls import Sendable


async def show(asked: Asked) -> Sendable:
    """All of them: one whose lease ran out, or that has left, is here for a day."""
    found = await listed(asked, INSTANCES)
    serving = {each["instance_id"]: json.loads(each["versions"] or "{}") for each in found.rows}
    return asked.render("instances.html", found.status, found=found, serving=serving)
