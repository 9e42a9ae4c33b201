"""Run: all there is to know of one workflow, and what can be done to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from outlast.core.lines import LINES_MAX
from outlast.core.resources import ACTS, EVENTS, LOGS, MESSAGES, STEPS, WORKFLOW, WORKFLOWS, path_of
from outlast.core.status import LIVE, Status
from outlast.core.verbs import BULK, PAUSE, RESUME, SEND, SETTLE, VERBS, Verb
from outlast.web.dashboard.asked import Asked, cursor_in
from outlast.web.dashboard.shown import decoded, loose, pretty, visible
from outlast.web.dashboard.steps import steps_page
from outlast.web.dashboard.viewers import HIDDEN, viewer_refused
from outlast.web.http.answers import NO_STORE, Answer
from outlast.web.http.calls import Sendable, run_by_size
from outlast.web.http.problems import Problem, ProblemError

_NEVER = {"wake_at": None, "retry_at": None, "instance": None, "settled": None}
"""Members that a step may lack."""

_MEMBERS = ("input", "output", "error", "response", "request")
"""Of a run, each a value that is shown as a whole, too."""

FEW = 20
"""So many events, messages, children and acts stand on the page; the rest is a page further."""


async def show(asked: Asked) -> Sendable:
    """The page of one workflow; with `step` also that step, in the panel."""
    (workflow_id,) = asked.keys
    run = await asked.get(path_of(WORKFLOWS.item_path, workflow_id), brief=True)
    steps, step, parts = await asyncio.gather(
        steps_page(asked, workflow_id), _step(asked, workflow_id), _parts(asked, workflow_id)
    )
    return asked.render(
        "run.html",
        run={**run, "error": loose(run["error"]), "held": loose(run["held"])},
        live=Status(run["status"]) in LIVE,
        steps=steps,
        parts=parts,
        step=step,
        values=[each.name for each in WORKFLOW if each.name in ("input", "output", "response", "request")],
        large=_large(run),
        verbs=allowed_verbs(run) if asked.viewer.may_act else [],
    )


async def show_value(asked: Asked) -> Sendable:
    """A whole value as plain text, of which the page shows the beginning.

    It is a member of the run that `_MEMBERS` names, or with `step` the output of that step.
    """
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


async def _parts(asked: Asked, workflow_id: str) -> dict[str, dict[str, Any]]:
    """The first of what belongs to it, by name: `rows`, and whether there are `more`."""
    asking: dict[str, tuple[str, dict[str, Any]]] = {
        "events": (path_of(EVENTS.path, workflow_id), {}),
        "messages": (path_of(MESSAGES.path, workflow_id), {}),
        "workflows": (WORKFLOWS.path, {"parent": workflow_id}),
        "acts": (ACTS.path, {"workflow": workflow_id}),
        "logs": (path_of(LOGS.path, workflow_id), {"limit": LINES_MAX}),
    }
    pages = await asyncio.gather(
        *(_optional(asked, path, {"limit": FEW, **query}) for path, query in asking.values())
    )
    return {
        name: {"rows": page.get(name, []), "more": cursor_in(page) is not None}
        for name, page in zip(asking, pages, strict=True)
    }


async def _optional(asked: Asked, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page. What a viewer may not read is empty."""
    try:
        return await asked.get(path, **query)
    except ProblemError as error:
        if error.problem.status != 403:
            raise
        return {"next": None}


async def _step(asked: Asked, workflow_id: str) -> dict[str, Any] | None:
    """The step that is asked for, whole, with its lines."""
    step_id = asked.one("step")
    if not step_id:
        return None
    found = await asked.get(path_of(STEPS.path, workflow_id), step_id=step_id)
    if not found["steps"]:
        return {**_NEVER, "step_id": step_id, "name": "", "gone": True}
    lines: dict[str, Any] = {"logs": []}
    if asked.viewer.sees_values:
        lines = await asked.get(path_of(LOGS.path, workflow_id), step_id=step_id)
    return {**_NEVER, **found["steps"][0], "gone": False, "lines": lines["logs"]}


def _large(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of values that are left out: how large they are, and how they begin."""
    large = run.get("large")
    if large is None or large is HIDDEN:
        return {}
    found: dict[str, Any] = decoded(large)
    return found


def allowed_verbs(run: Mapping[str, Any]) -> list[Verb]:
    """The verbs for a workflow as the API shows it, those first that mend."""
    status, held = Status(run["status"]), run.get("held") is not None
    return [each for each in VERBS if each.noun is WORKFLOWS and each.of_one and _fits(each, status, held)]


def _fits(verb: Verb, status: Status, held: bool) -> bool:
    """By the table of changes; what is held is what can be resumed, and of live ones what can be settled."""
    if verb in (SEND, BULK) or status not in verb.statuses:
        return False
    if verb is RESUME or (verb is SETTLE and status in LIVE):
        return held
    return not (verb is PAUSE and held)
