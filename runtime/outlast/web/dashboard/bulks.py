"""Bulks: what is done to many workflows, how far it is, and what came of each."""

from __future__ import annotations

from outlast.core.resources import BULK_ITEMS, BULKS, WORKFLOWS, path_of
from outlast.core.status import Status
from outlast.core.verbs import VERBS
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import listed, listing
from outlast.web.http.calls import Sendable

NAMES = tuple(each.name for each in VERBS if each.bulk)
OUTCOMES = ("done", "refused", "failed")


show = listing("bulks.html", BULKS, verbs=NAMES, statuses=[each.value for each in Status])


async def show_one(asked: Asked) -> Sendable:
    """One, with a page of what it is done to."""
    (bulk_id,) = asked.keys
    bulk = await asked.get(path_of(BULKS.item_path, bulk_id))
    run = await asked.get(path_of(WORKFLOWS.item_path, bulk_id))
    found = await listed(asked, BULK_ITEMS, path_of(BULK_ITEMS.path, bulk_id))
    return asked.render("bulk_one.html", found.status, bulk=bulk, run=run, found=found, outcomes=OUTCOMES)
