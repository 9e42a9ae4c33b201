"""Functions in OpenAPI: paths, input, output and all answers."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from outlast.functions.routes import FunctionFile
from outlast.sdk.auth import AuthMode
from outlast.sdk.definitions import METHODS, HandlerDefinition, WorkflowDefinition
from outlast.web.http.routes import FUNCTIONS
from outlast.web.openapi.schemas import Schema, Schemas
from outlast.web.openapi.shared import (
    APIKEY,
    BEARER,
    JSON_TYPE,
    KEYS,
    NOBODY,
    Item,
    headers,
    json_content,
    reference,
    references,
)
from outlast.web.openapi.views import Gated
from outlast.web.openapi.webhooks import REFUSALS, parameters_of, security_of, webhook_of

_WITHOUT_BODY = frozenset({"GET", "DELETE"})
"""In HTTP their body has no meaning. Without a body the query's parameters are the input."""
_ANY = "*/*"
_SUBPATH: Item = {
    "name": "path",
    "in": "path",
    "required": True,
    "description": "What follows the function's name; it may hold slashes.",
    "schema": {"type": "string"},
}
_REFUSALS = {"401": "Unauthorized", "404": "NotFound", "405": "MethodNotAllowed", "503": "Unavailable"}
_OF_WORKFLOWS = {
    "202": "Accepted",
    "400": "BadRequest",
    **_REFUSALS,
    "409": "Conflict",
    "413": "PayloadTooLarge",
    "422": "UnprocessableContent",
    "429": "TooManyRequests",
    "500": "WorkflowError",
}
_OF_HANDLERS = {**_REFUSALS, "413": "PayloadTooLarge", "500": "FunctionError"}
_RESULT: Item = {"description": "What the function answers.", "content": {_ANY: {}}}
_OWN_ANSWER: Item = {
    "description": "Whatever else the function answers: a status of its own, or an error it raised as such.",
    "content": {_ANY: {}},
}
_NOTHING: Item = {"description": "Nothing, where the function answers so."}
_logger = logging.getLogger("outlast.web")


Shown = Callable[[str, Any], bool]
"""Whether the document shows what a file serves."""


def function_paths(
    files: Iterable[FunctionFile], schemas: Schemas, gated: Gated, shown: Shown
) -> dict[str, Item]:
    """Path items of the functions that can be served and are shown. Their schemas go to `schemas`."""
    paths: dict[str, Item] = {}
    for file in files:
        if file.error is not None:
            continue
        for name, served in file.served.items():
            if not shown(file.served_as, served):
                continue
            describe = _describe(name.removesuffix("/*"), served, schemas)
            auth = served.auth if isinstance(served, WorkflowDefinition | HandlerDefinition) else None
            webhook = webhook_of(served)
            needed = _security(auth, gated(file.served_as, auth)) if webhook is None else security_of(webhook)
            common = {"tags": [file.served_as], "security": needed}
            if not name.endswith("/*"):
                paths[f"{FUNCTIONS}{name}"] = _path_item(describe, common, "")
            if _reaches_below(served):
                paths[f"{FUNCTIONS}{name.removesuffix('/*')}/{{path}}"] = _path_item(
                    describe, common, ".below"
                )
    return paths


def _security(auth: Sequence[AuthMode] | None, gated: bool) -> list[Item]:
    """The credentials that a caller needs: one of these."""
    if auth is None:
        return KEYS if gated else [*KEYS, NOBODY]
    schemes = {"user": BEARER, "publishable": APIKEY, "secret": APIKEY, "none": NOBODY}
    found = [schemes[mode.kind] for mode in auth]
    return [each for number, each in enumerate(found) if each not in found[:number]]


@dataclass(slots=True)
class _Description:
    """One function: what its operations have in common."""

    function: str
    methods: Sequence[str]
    doc: str | None
    responses: Item
    parameters: list[Item] = field(default_factory=list)
    query_parameters: list[Item] = field(default_factory=list)
    body: Item = field(default_factory=lambda: {"required": False, "content": {_ANY: {}}})
    needs_body: bool = False
    """Whether a GET needs a body, because a query can't carry what is required."""

    def operation(self, method: str, suffix: str, common: Item) -> Item:
        """The operation of one method. Its id is unique, because names of functions have no dot."""
        operation: Item = {
            "operationId": f"{self.function.replace('/', '.')}{suffix}.{method.lower()}",
            "summary": (self.doc or self.function).splitlines()[0],
            **({"description": self.doc} if self.doc else {}),
            **common,
            "parameters": list(self.parameters),
            "responses": dict(sorted(self.responses.items())),
        }
        if method in _WITHOUT_BODY and not self.needs_body:
            operation["parameters"] += self.query_parameters
        else:
            operation["requestBody"] = self.body
        return operation


def _path_item(description: _Description, common: Item, suffix: str) -> Item:
    item = {each.lower(): description.operation(each, suffix, common) for each in description.methods}
    return {"parameters": [_SUBPATH], **item} if suffix else item


def _describe(function: str, served: Any, schemas: Schemas) -> _Description:
    if isinstance(served, WorkflowDefinition):
        return _workflow(function, served, schemas)
    if isinstance(served, HandlerDefinition):
        refusals = references(_OF_HANDLERS | (REFUSALS if served.webhook else {}))
        responses = {"200": _RESULT, "204": _NOTHING, **refusals, "default": _OWN_ANSWER}
        parameters = parameters_of(served.webhook) if served.webhook else []
        return _Description(function, served.methods, inspect.getdoc(served.fn), responses, parameters)
    refusals = references({"401": "Unauthorized", "503": "Unavailable"})
    responses = {"204": _NOTHING, **refusals, "default": _OWN_ANSWER}
    return _Description(function, METHODS, f"{function}, an application of its own", responses)


def _workflow(function: str, served: WorkflowDefinition, schemas: Schemas) -> _Description:
    schema = _schema(function, served.codec.json_schema)
    output = schemas.add(function, "output", _drop_durations(schema))
    # Without an annotation it may also return a Response.
    otherwise: Item = {} if schema else {_ANY: {}}
    nothing: Item = {} if schema else {"204": _NOTHING}
    result: Item = {
        "description": "The workflow's result; the same for every call with the same key.",
        "headers": headers(
            "Workflow-Id", "Workflow-Generation", "Status-Link", "Idempotency-Replayed", "Preference-Applied"
        ),
        "content": {
            **json_content(output),
            **otherwise,
            "text/event-stream": {
                "schema": {
                    "type": "string",
                    "description": "Events `status`, `step`, `event`, without ids `emitted` and `dropped`, "
                    "then `result` or `error`.",
                }
            },
        },
    }
    refusals = references(_OF_WORKFLOWS | (REFUSALS if served.webhook else {}))
    responses = {"200": result, **nothing, **refusals, "default": _OWN_ANSWER}
    description = _Description(function, served.methods, inspect.getdoc(served.fn), responses)
    key = reference("parameters", "Idempotency-Key")
    if served.idempotency == "required":
        key = reference("parameters", "Required-Idempotency-Key")
    names = ("Prefer", "Last-Event-ID")
    identifying = [key] if served.webhook is None else parameters_of(served.webhook, key)
    description.parameters = [*identifying, *(reference("parameters", name) for name in names)]
    if not served.inputs.reads_json:
        return description
    schema = schemas.add(function, "input", _schema(function, served.inputs.json_schema))
    needed = bool(schemas.resolve(schema).get("required"))
    description.body = {"required": needed, "content": {JSON_TYPE: {"schema": schema}}}
    description.query_parameters = [
        {"name": name, "in": "query", "required": required, "schema": each}
        for name, required, each in schemas.query_properties(schema)
    ]
    description.needs_body = served.webhook is not None or not schemas.fits_query(schema)
    return description


def _schema(function: str, make: Callable[[], Schema]) -> Schema:
    """The schema; an empty one, which allows anything, if the user's types can't be described."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - pydantic calls the types' own code
        _logger.warning("%s has a type that OpenAPI can't describe: %s", function, error)
        return {}


def _drop_durations(value: Any) -> Any:
    """The schema without `format: duration`: pydantic writes `PT1H1S`, which RFC 3339 doesn't allow."""
    if isinstance(value, list):
        return [_drop_durations(each) for each in value]
    if not isinstance(value, dict):
        return value
    duration = value.get("type") == "string" and value.get("format") == "duration"
    return {key: _drop_durations(each) for key, each in value.items() if not (duration and key == "format")}


def _reaches_below(served: Any) -> bool:
    """Whether paths below its own reach it too."""
    return not isinstance(served, WorkflowDefinition) or bool(served.inputs.request_parameters)
