"""What somebody records by hand for a step fits its type, where its function is served here."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from outlast.core.codec import Codec
from outlast.core.errors import InvalidInput, with_reasons
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.steps import AsyncStep, SyncStep
from outlast.sdk.transactions import AsyncTransaction, SyncTransaction

_RECORDED = (AsyncStep, SyncStep, AsyncTransaction, SyncTransaction)


def check_output(workflow: WorkflowDefinition, step: str, output: Any) -> None:
    """See that the body could be handed `output` as what `step` returned. Raises InvalidInput.

    A record knows its step by name. One that the workflow's file doesn't have, or has twice, is believed.
    """
    codec = _codec(workflow, step)
    if codec is None:
        return
    try:
        codec.decode(to_json(output).decode())
    except ValidationError as error:
        errors: list[dict[str, Any]] = [
            {"type": each["type"], "loc": ["output", *each["loc"]], "msg": each["msg"]}
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        message = with_reasons(f"the output does not fit what {step} returns", errors)
        raise InvalidInput(message, errors) from None


def _codec(workflow: WorkflowDefinition, step: str) -> Codec | None:
    found = {
        id(each.definition): each.definition.codec
        for each in workflow.fn.__globals__.values()
        if isinstance(each, _RECORDED) and each.definition.name == step
    }
    return next(iter(found.values())) if len(found) == 1 else None
