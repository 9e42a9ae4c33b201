"""How a workflow ended, for callers in Python."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from outlast.core.errors import (
    InvalidInput,
    NonDeterminism,
    RecoveryExhausted,
    WorkflowCancelled,
    WorkflowError,
    WorkflowExpired,
    WorkflowFailed,
    WorkflowTimeout,
    with_reasons,
)
from outlast.core.records import WorkflowState
from outlast.core.status import Status

PUBLIC_FAILURE = "the function failed with an uncaught exception; its log tells more"

_CHANGED = "the function's code no longer matches what is recorded of this workflow"

_BY_CODE: dict[str, type[WorkflowError]] = {
    WorkflowCancelled.code: WorkflowCancelled,
    WorkflowExpired.code: WorkflowExpired,
    WorkflowTimeout.code: WorkflowTimeout,
    RecoveryExhausted.code: RecoveryExhausted,
}


def value_of(state: WorkflowState) -> Any:
    """What an ended workflow returned, as plain JSON. Raises WorkflowError for any other end."""
    if state.status is Status.SUCCESS:
        return from_json(state.output) if state.output is not None else None
    document = public_error(state.error)
    kind = _BY_CODE.get(document["code"], WorkflowFailed)
    message = document["message"]
    if document["code"] == InvalidInput.code and state.error:
        message = with_reasons(message, from_json(state.error).get("errors", ()))
    raise kind(state.workflow_id, message, document.get("detail"))


def public_error(error: str | None) -> dict[str, Any]:
    """`code`, `message` and other public parts of the error column: never the failure itself."""
    recorded = from_json(error) if error else {}
    code = recorded.get("code", "workflow_error")
    if code == "http_exception":
        return {
            **{key: recorded[key] for key in ("code", "status", "detail", "headers")},
            "message": str(recorded["detail"]),
        }
    if code == NonDeterminism.code:
        return {"code": code, "message": public_message(code)}
    return {"code": code, "message": recorded.get("message", public_message(code))}


def public_message(code: str) -> str:
    """The public message for a code, if the error's own text isn't public."""
    return _CHANGED if code == NonDeterminism.code else PUBLIC_FAILURE
