"""Views of resources: a listing of each, and of queues, schedules and bulks one with what belongs to it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, NamedTuple

from outlast.core.clock import machine_now
from outlast.core.holds import REASONS
from outlast.core.resources import (
    ACTS,
    BULK_ITEMS,
    BULKS,
    ERRORS,
    HELD,
    INSTANCES,
    QUEUES,
    SCHEDULES,
    TICKS,
    WAITS,
    WORKFLOWS,
    Resource,
    path_of,
)  # fmt: skip
from outlast.core.status import Status
from outlast.core.verbs import VERBS
from outlast.web.dashboard.asked import Asked, cursor_in
from outlast.web.http.answers import Answer
from outlast.web.http.calls import Sendable
from outlast.web.http.problems import Problem, ProblemError

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

BESIDE = 20
"""Rows of what is shown beside one."""


class Listed(NamedTuple):
    """`refused` says which filter can't be; then there are no rows. `filtered`: whether there are filters."""

    rows: list[dict[str, Any]]
    cursor: str | None
    refused: Problem | None
    filtered: bool

    @property
    def status(self) -> int:
        """The answer's."""
        return 200 if self.refused is None else self.refused.status


async def listed(asked: Asked, resource: Resource, path: str | None = None, **more: Any) -> Listed:
    """The page of a resource that the query asks for. Raises ProblemError of all but what was asked."""
    filtered = bool(asked.filters(resource).keys() - {"cursor"})
    try:
        found = await asked.listing(resource, path, **more)
    except ProblemError as error:
        if error.problem.status >= 500 or error.problem.status == 404:
            raise
        return Listed([], None, error.problem, filtered)
    return Listed(found[resource.name], cursor_in(found), None, filtered)


def listing(template: str, resource: Resource, **values: Any) -> Callable[[Asked], Awaitable[Answer]]:
    """A view that shows nothing but a page of a resource."""

    async def show(asked: Asked) -> Answer:
        found = await listed(asked, resource)
        return asked.render(template, found.status, found=found, **values)

    return show


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


show_queues = listing("queues.html", QUEUES)
"""How many run and wait in each, who has paused or limited it."""


async def show_queue(asked: Asked) -> Sendable:
    """One, with its newest workflows and what was done to it."""
    (name,) = asked.keys
    queue = await asked.get(path_of(QUEUES.item_path, name))
    runs = await asked.get(WORKFLOWS.path, queue=name, limit=BESIDE)
    acts = await asked.get(ACTS.path, queue=name, limit=BESIDE)
    return asked.render("queue.html", queue=queue, runs=runs["workflows"], acts=acts["acts"])


show_schedules = listing(
    "schedules.html", SCHEDULES, states=("active", "paused", "orphaned", "ended", "unusable")
)
"""What they start and when next."""


async def show_schedule(asked: Asked) -> Sendable:
    """One, with the ticks that did not go as planned and what was done to it."""
    (name,) = asked.keys
    schedule = await asked.get(path_of(SCHEDULES.item_path, name))
    ticks = await asked.get(path_of(TICKS.path, name), limit=BESIDE)
    acts = await asked.get(ACTS.path, schedule=name, limit=BESIDE)
    return asked.render("schedule.html", schedule=schedule, ticks=ticks["ticks"], acts=acts["acts"])


show_bulks = listing(
    "bulks.html",
    BULKS,
    verbs=tuple(each.name for each in VERBS if each.bulk),
    statuses=[each.value for each in Status],
)
"""What is done to many workflows, how far it is."""


async def show_bulk(asked: Asked) -> Sendable:
    """One, with a page of what it is done to, and what came of each."""
    (bulk_id,) = asked.keys
    bulk = await asked.get(path_of(BULKS.item_path, bulk_id))
    run = await asked.get(path_of(WORKFLOWS.item_path, bulk_id))
    found = await listed(asked, BULK_ITEMS, path_of(BULK_ITEMS.path, bulk_id))
    outcomes = ("done", "refused", "failed")
    return asked.render("bulk_one.html", found.status, bulk=bulk, run=run, found=found, outcomes=outcomes)
