"""A whole value as plain text: what a page shows the beginning of."""

from __future__ import annotations

from outlast.core.resources import STEPS, WORKFLOWS, path_of
from outlast.web.dashboard.asked import Asked
from outlast.web.dashboard.shown import pretty, visible
from outlast.web.dashboard.viewers import viewer_refused
from outlast.web.http.answers import NO_STORE, Answer
from outlast.web.http.calls import Sendable
from outlast.web.http.off_loop import run_by_size
from outlast.web.http.problems import Problem, ProblemError

_MEMBERS = ("input", "output", "error", "response", "request")


async def show(asked: Asked) -> Sendable:
    """A member of a run that `_MEMBERS` names, or with `step` the output of that step."""
    workflow_id, member = asked.keys
    if not asked.viewer.sees_values:
        raise ProblemError(viewer_refused("see values"))
    if member == "step":
        steps = (await asked.get(path_of(STEPS.path, workflow_id), step_id=asked.one("step")))["steps"]
        found = steps[0]["output"] if steps else None
    elif member in _MEMBERS:
        found = (await asked.get(path_of(WORKFLOWS.item_path, workflow_id)))[member]
    else:
        raise ProblemError(
            Problem("NOT_FOUND", f"there is no value {member!r}; use {', '.join(_MEMBERS)} or step")
        )
    size = len(found) if isinstance(found, str) else 0
    text = await run_by_size(size, lambda: visible(pretty(found)))
    return Answer(200, text.encode(), [(b"content-type", b"text/plain; charset=utf-8"), NO_STORE])
