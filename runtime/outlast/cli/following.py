"""Waits for a workflow's end, also while hosts restart: the workflow outlasts them, and so does the wait."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Any, TypeVar

from outlast.cli.failures import CommandFailed
from outlast.cli.remote import ANSWER_MARGIN_S, Remote, is_temporary
from outlast.core.clock import monotonic
from outlast.core.resources import WORKFLOWS, path_of
from outlast.core.status import LIVE

POLL_S = 60.0
"""How long one request waits: the most that the host allows."""

ABSENCE_MAX_S = 60.0
_RETRY_MIN_S = 0.1
_RETRY_MAX_S = 2.0
_QUICK_S = 0.5

T = TypeVar("T")


def follow(remote: Remote, workflow_id: str, ends: float | None) -> dict[str, Any]:
    """The workflow, once it has ended.

    Raises CommandFailed: `still_running` if it has not ended at `ends`, a time of `monotonic`.
    """
    while True:
        asked = monotonic()

        def ask() -> dict[str, Any]:
            # Computed each time, because it may be asked again much later.
            wait_s = POLL_S if ends is None else max(0.0, min(POLL_S, ends - monotonic()))
            answer = remote.call(
                "GET",
                path_of(WORKFLOWS.item_path, workflow_id),
                params={"wait": f"{wait_s:.3f}"},
                answer_timeout_s=wait_s + ANSWER_MARGIN_S,
            )
            return remote.check(answer).document()

        workflow = retry_while_away(ask, ends)
        if workflow.get("status") not in LIVE:
            return workflow
        if ends is not None and monotonic() >= ends:
            raise CommandFailed(
                "still_running",
                _how_it_stands(workflow_id, workflow),
                workflow_id=workflow_id,
                status=workflow.get("status"),
            )
        # An answer that a proxy gives too early must not cause a busy loop.
        _pause(_QUICK_S - (monotonic() - asked), ends)


def _how_it_stands(workflow_id: str, workflow: dict[str, Any]) -> str:
    held = workflow.get("held")
    if not isinstance(held, dict):
        return (
            f"{workflow_id} has not ended yet and goes on: outlast workflows wait {shlex.quote(workflow_id)}"
        )
    why = workflow.get("waiting_on") or f"held: {held.get('reason')}"
    verb = "resume" if held.get("reason") == "paused" else "show"
    told = f"{workflow_id} has not ended yet, and does not go on ({why})"
    return f"{told}: outlast workflows {verb} {shlex.quote(workflow_id)}"


def retry_while_away(
    ask: Callable[[], T], ends: float | None = None, passes: Callable[[CommandFailed], bool] = is_temporary
) -> T:
    """Return what `ask` returns, repeated while the host is away: for a minute, and not beyond `ends`.

    `passes` says which failures mean that. Raises the last failure.
    """
    since, retry_s = monotonic(), _RETRY_MIN_S
    while True:
        try:
            return ask()
        except CommandFailed as failure:
            late = monotonic() >= min(since + ABSENCE_MAX_S, ends if ends is not None else float("inf"))
            if late or not passes(failure):
                raise
        _pause(retry_s, ends)
        retry_s = min(_RETRY_MAX_S, retry_s * 2)


def failure_of(workflow: dict[str, Any]) -> CommandFailed | None:
    """The error of a workflow that did not succeed; None for SUCCESS."""
    status, workflow_id = str(workflow.get("status")), str(workflow.get("workflow_id"))
    if status == "SUCCESS":
        return None
    error = workflow.get("error")
    error = error if isinstance(error, dict) else {}
    said = f": {error['message']}" if error.get("message") else ""
    code = str(error.get("code") or "workflow_error")
    return CommandFailed(
        code, f"{workflow_id} ended as {status}{said}", workflow_id=workflow_id, status=status
    )


def _pause(seconds: float, ends: float | None) -> None:
    left_s = seconds if ends is None else min(seconds, ends - monotonic())
    if left_s > 0:
        time.sleep(left_s)
