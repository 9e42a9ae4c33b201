"""Steps of a run, a page of them at a time, from any place of their order."""

from __future__ import annotations

from typing import Any

from outlast.core.resources import STEPS, path_of
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.timelines import Timeline, timeline
from outlast.web.http.calls import Sendable
from outlast.web.http.parameters import cursor_of

BLOCK = 200
"""Steps of a page. The module that scrolls asks for one block after the other by this number."""

_PLACE_MAX = 2**31 - 1


class StepsPage:
    """A page: `first` is the place in the order that it begins at, `last` the highest place there is."""

    def __init__(self, first: int, last: int, more: bool, steps: list[dict[str, Any]]) -> None:
        self.first = first
        self.last = last
        self.more = more
        self.timeline: Timeline = timeline(steps)
        self.block = BLOCK


async def show(asked: Asked) -> Sendable:
    """The page of the timeline alone."""
    (workflow_id,) = asked.keys
    found = await steps_page(asked, workflow_id)
    return asked.render("steps.html", workflow_id=workflow_id, steps=found)


async def steps_page(asked: Asked, workflow_id: str) -> StepsPage:
    """The block of steps that `from` names, of a run. Raises ProblemError."""
    path = path_of(STEPS.path, workflow_id)
    given = asked.one("from")
    first = (
        min(int(given), _PLACE_MAX - 1) if given.isdecimal() and given.isascii() and len(given) < 11 else 1
    )
    first = max(1, first)
    query: dict[str, Any] = {"limit": BLOCK, "brief": True}
    if first > 1:
        query["cursor"] = cursor_of(first, "")
    found = await asked.get(path, **query)
    steps = found["steps"]
    more = found["next"] is not None
    last = max((each["completion_order"] or 0 for each in steps), default=0)
    if more:
        newest = await asked.get(path, limit=1, newest=True, brief=True)
        orders = (each["completion_order"] or 0 for each in newest["steps"])
        last = max(last, *orders) if newest["steps"] else last
    return StepsPage(first, last, more, steps)
