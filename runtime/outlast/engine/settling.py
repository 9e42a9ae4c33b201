"""What operators give fits: an output for its step, an input for its function, where that is served here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from outlast.core.codec import Codec
from outlast.core.errors import InvalidInput, with_reasons
from outlast.core.ports import Catalog, WorkflowStore
from outlast.core.verbs import FORK, SETTLE
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


def check_input(workflow: WorkflowDefinition, value: Any) -> None:
    """See that the function takes `value` as its input. Raises InvalidInput."""
    if workflow.inputs.reads_json:
        workflow.inputs.bind_json(to_json(value).decode())


async def check_many(arguments: Mapping[str, Any], store: WorkflowStore, functions: Catalog) -> None:
    """The same of a bulk, for each function of which its filter finds workflows. Raises InvalidInput."""
    verb, given = arguments.get("verb"), arguments.get("arguments")
    if not isinstance(given, Mapping):
        return
    forks = verb == FORK.name and given.get("input") is not None
    step = given.get("step") if verb == SETTLE.name and "output" in given else None
    if not forks and not isinstance(step, str):
        return
    for function, recorded in await store.concerned(arguments.get("filter"), step):
        workflow = functions.workflow(function)
        if workflow is None:
            continue
        name = given.get("name") or recorded or step
        try:
            if forks:
                check_input(workflow, given["input"])
            elif isinstance(name, str):
                check_output(workflow, name, given["output"])
        except InvalidInput as error:
            raise InvalidInput(f"{function}: {error}", error.errors) from None
