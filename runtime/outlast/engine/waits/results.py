"""The result of a workflow for Python code that waits for it: its value, or its exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core.errors import DatabaseUnavailable, Overloaded, ShuttingDown, StepFailed, WorkflowFailed
from outlast.core.failures import decode_failure
from outlast.core.outcomes import value_of
from outlast.core.records import WorkflowState
from outlast.core.status import Status
from outlast.sdk.http import HTTPException

_NOWHERE = "\0"
"""No step's name: with it, an exception that can't be rebuilt differs from a workflow's own StepFailed."""


def result_of(state: WorkflowState, scope: Mapping[str, Any]) -> Any:
    """The return value of an ended workflow, as plain JSON.

    Raises the exception of its function (the class is looked up in `scope` first), WorkflowFailed if that
    can't be rebuilt, or another WorkflowError for another end.
    """
    recorded = from_json(state.error) if state.status is Status.ERROR and state.error else {}
    if recorded.get("code") == "http_exception":
        raise HTTPException(recorded["status"], recorded["detail"], dict(recorded["headers"]))
    if "failure" not in recorded:
        return value_of(state)
    error = decode_failure(to_json(recorded["failure"]).decode(), _NOWHERE, scope)
    unknown = isinstance(error, StepFailed) and error.step == _NOWHERE
    # The caller would take these for its own outages, and retry for ever.
    if unknown or isinstance(error, DatabaseUnavailable | Overloaded | ShuttingDown):
        failure = recorded["failure"]
        text = f"{failure['type']}: {failure['message']}"
        raise WorkflowFailed(state.workflow_id, f"{state.workflow_id} failed: {text}") from error
    raise error
