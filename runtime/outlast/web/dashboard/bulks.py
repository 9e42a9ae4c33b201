"""Bulks: what is done to many workflows, how far it is, and what came of each."""

from __future__ import annotations

from outlast.core.resources import BULK_ITEMS, BULKS, WORKFLOWS
from outlast.core.status import Status
from outlast.core.verbs import VERBS
from outlast.web.dashboard.addresses import part
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import listed, render_listed
from outlast.web.http.calls import Sendable

NAMES = tuple(each.name for each in VERBS if each.bulk)
OUTCOMES = ("done", "refused", "failed")


async def show(asked: Asked) -> Sendable:
    """All of them, the newest first."""
    statuses = [each.value for each in Status]
    return await render_listed(asked, "bulks.html", BULKS, verbs=NAMES, statuses=statuses)


async def show_one(asked: Asked) -> Sendable:
    """One, with a page of what it is done to."""
    (bulk_id,) = asked.keys
    path = f"{BULKS.path}/{part(bulk_id)}"
    bulk = await asked.get(path)
    run = await asked.get(f"{WORKFLOWS.path}/{part(bulk_id)}")
    found = await listed(asked, BULK_ITEMS, f"{path}/items")
    return asked.render("bulk_one.html", found.status, bulk=bulk, run=run, found=found, outcomes=OUTCOMES)
