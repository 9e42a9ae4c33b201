"""Schedules: what they start and when next; and one schedule with what didn't go as planned."""

from __future__ import annotations

from outlast.core.resources import ACTS, SCHEDULES
from outlast.web.dashboard.addresses import part
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import listing
from outlast.web.dashboard.queues import BESIDE
from outlast.web.http.calls import Sendable

show = listing("schedules.html", SCHEDULES, states=("active", "paused", "orphaned", "ended", "unusable"))


async def show_one(asked: Asked) -> Sendable:
    """One, with the ticks that did not go as planned and what was done to it."""
    (name,) = asked.keys
    path = f"{SCHEDULES.path}/{part(name)}"
    schedule = await asked.get(path)
    ticks = await asked.get(f"{path}/ticks", limit=BESIDE)
    acts = await asked.get(ACTS.path, schedule=name, limit=BESIDE)
    return asked.render("schedule.html", schedule=schedule, ticks=ticks["ticks"], acts=acts["acts"])
