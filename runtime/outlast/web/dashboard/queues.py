"""Queues: how many run and wait, who has paused or limited them; and one queue with what is in it."""

from __future__ import annotations

from outlast.core.resources import ACTS, QUEUES, WORKFLOWS
from outlast.web.dashboard.addresses import part
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.listed import listing
from outlast.web.http.calls import Sendable

BESIDE = 20
"""Rows of what is shown beside one."""


show = listing("queues.html", QUEUES)


async def show_one(asked: Asked) -> Sendable:
    """One, with its newest workflows and what was done to it."""
    (name,) = asked.keys
    queue = await asked.get(f"{QUEUES.path}/{part(name)}")
    runs = await asked.get(WORKFLOWS.path, queue=name, limit=BESIDE)
    acts = await asked.get(ACTS.path, queue=name, limit=BESIDE)
    return asked.render("queue.html", queue=queue, runs=runs["workflows"], acts=acts["acts"])
