"""Starts a workflow of a test: with arguments as in a Python call, or as in the body of a request."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from outlast.core.callers import Caller
from outlast.core.errors import UsageError
from outlast.core.names import workflow_id_of
from outlast.core.records import NewWorkflow
from outlast.engine.new_workflows import new_workflow
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.inputs import Inputs
from outlast.sdk.workflows import Handler, Workflow
from outlast.testing.catalog import GivenCatalog
from outlast.testing.doubles import say_given
from outlast.testing.processes import PUBLIC_URL
from outlast.testing.worlds import World

FUNCTIONS = "/functions/v1/"
FAULTS = ("kills", "hand-overs", "mishaps")


def definition_of(workflow: Any, what: str) -> WorkflowDefinition:
    """The definition of a decorated function. Raises UsageError."""
    if not isinstance(workflow, Workflow):
        raise UsageError(
            f"outlast.{what} takes a function decorated with @workflow, not {say_given(workflow)}"
        )
    return workflow.definition


def workflow_of_call(
    world: World,
    definition: WorkflowDefinition,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    caller: Caller,
    key: str,
) -> NewWorkflow:
    """Its row. If a workflow takes one model, keywords that name its fields are its body, as over HTTP.

    Raises UsageError, InvalidInput, NotSerializable.
    """
    function = world.catalog.name_of(definition)
    text = _encode(definition.inputs, args, kwargs)
    return new_workflow(
        workflow_id_of(function if key is None else definition.keyed_as(function), caller.id, key),
        function,
        definition,
        text,
        version=world.catalog.version(function),
        now_s=world.now_s(),
        key=key,
        subject=caller.id,
        claims=caller.record(),
    )


def called(catalog: GivenCatalog, function: Any, path: str) -> tuple[str, str]:
    """The path at which a function is called over HTTP, and its usual method. Raises UsageError."""
    if isinstance(function, str):
        function = function.removeprefix(PUBLIC_URL)  # what `callback` returned
        if not function.startswith("/"):
            raise UsageError(
                f"outlast.call takes a function, or a whole path: /functions/v1/{function}, not {function!r}"
            )
        return function + path, "POST" if function.startswith(FUNCTIONS) else "GET"
    if not isinstance(function, Workflow | Handler):
        raise UsageError(
            "outlast.call takes a function decorated with @workflow or @handler, or a path such as "
            f"/functions/v1/NAME, not {function!r}"
        )
    definition = function.definition
    usual = "POST" if "POST" in definition.methods else definition.methods[0]
    return f"{FUNCTIONS}{catalog.path_of(definition)}{path}", usual


def _encode(inputs: Inputs, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    if inputs.whole is not None and not args and inputs.whole not in kwargs:
        text = to_json(kwargs).decode()
        inputs.take_json(text)
        return text
    return inputs.encode_call(args, kwargs)


def take_option(definition: WorkflowDefinition, kwargs: dict[str, Any], name: str, default: Any) -> Any:
    """Take an option out of a call's keywords, unless the workflow has a parameter of that name."""
    if name in definition.inputs.signature.parameters:
        return default
    return kwargs.pop(name, default)


def choose_faults(said: str | list[str]) -> frozenset[str]:
    """The faults that were asked for. Raises UsageError."""
    chosen = frozenset(FAULTS if said == "all" else [said] if isinstance(said, str) else said)
    if unknown := chosen - set(FAULTS):
        raise UsageError(f"outlast.explore(faults) is 'all', or some of {FAULTS}, not {sorted(unknown)}")
    return chosen
