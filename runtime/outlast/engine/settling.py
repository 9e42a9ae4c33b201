"""Checks values that operators give: outputs for steps, and inputs for functions that are served here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from outlast.core.codec import Codec
from outlast.core.errors import InvalidInput, ValidatorFailed, with_reasons
from outlast.core.ports import Catalog, WorkflowStore
from outlast.core.verbs import FORK, SETTLE, Verb
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.steps import AsyncStep, SyncStep
from outlast.sdk.transactions import AsyncTransaction, SyncTransaction

_LOOKED_AT_FIRST = 100
_LOOKED_AT_MOST = 10_000
_BULK_MAX = 1_000_000
"""A bulk of more workflows is refused."""
_RECORDED = (AsyncStep, SyncStep, AsyncTransaction, SyncTransaction)


def check_output(workflow: WorkflowDefinition, step: str, output: Any) -> None:
    """Check that `output` can be handed to the body as the result of `step`.

    Raises InvalidInput and ValidatorFailed.

    A record knows its step only by name. If the workflow's file has no such step, or two, nothing is checked.
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
    except BaseException as error:
        raise ValidatorFailed(f"what {step} returns", error) from error


def _codec(workflow: WorkflowDefinition, step: str) -> Codec | None:
    found = {
        id(each.definition): each.definition.codec
        for each in workflow.fn.__globals__.values()
        if isinstance(each, _RECORDED) and each.definition.name == step
    }
    return next(iter(found.values())) if len(found) == 1 else None


def check_input(workflow: WorkflowDefinition, value: Any) -> None:
    """Check that the function takes `value` as its input. Raises InvalidInput."""
    if workflow.inputs.reads_json:
        workflow.inputs.bind_json(to_json(value).decode())


async def check_one(
    verb: Verb, workflow_id: str, arguments: Mapping[str, Any], store: WorkflowStore, functions: Catalog
) -> None:
    """Check that an input, or a settled output, fits the workflow's function. Raises InvalidInput."""
    forks, step = "input" in arguments, arguments.get("step")  # null is a valid input
    settles = verb is SETTLE and "output" in arguments and isinstance(step, str)
    if not forks and not settles:
        return
    state = (await store.states([workflow_id])).found.get(workflow_id)
    workflow = None if state is None else functions.workflow(state.function)
    if workflow is None:
        return
    if forks:
        # guard: forks-with-any-input
        check_input(workflow, arguments["input"])
    if settles:
        name = arguments.get("name") or await store.step_name(workflow_id, str(step)) or str(step)
        # guard: settled-with-any-output
        check_output(workflow, name, arguments["output"])


async def check_many(arguments: Mapping[str, Any], store: WorkflowStore, functions: Catalog) -> None:
    """The same check for a bulk, for each function of its workflows. Raises InvalidInput."""
    verb, given = arguments.get("verb"), arguments.get("arguments")
    if not isinstance(given, Mapping):
        return
    forks = verb == FORK.name and "input" in given
    step = given.get("step") if verb == SETTLE.name and "output" in given else None
    if not forks and not isinstance(step, str):
        return
    asked = None if forks or given.get("name") else step
    async for function, recorded in _concerned(arguments.get("filter"), asked, store, functions):
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


async def _concerned(
    filter: Any, step: str | None, store: WorkflowStore, functions: Catalog
) -> AsyncIterator[tuple[str, str | None]]:
    """Each function of the workflows that the filter finds, with each name that they have for the step.

    Reads up to a million of them in pages. Without a step it stops once it has seen each served function.
    """
    unseen = set(functions.workflow_names())
    if isinstance(filter, Mapping) and isinstance(only := filter.get("function"), str):
        unseen &= {only}
    told = set[tuple[str, str | None]]()
    number, after, most = 0, None, _LOOKED_AT_FIRST
    while (unseen or step is not None) and number <= _BULK_MAX:
        page = await store.concerned(filter, step, after, most)
        for each in sorted(page.names - told, key=str):
            yield each
        told |= page.names
        unseen -= {function for function, _ in page.names}
        number, after, most = number + page.number, page.last, min(10 * most, _LOOKED_AT_MOST)
        # guard: bulks-looked-at-in-part = True
        if after is None:
            return
