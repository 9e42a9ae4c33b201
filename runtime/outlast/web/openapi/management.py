"""The management routes in OpenAPI."""

from __future__ import annotations

import re
from collections.abc import Sequence

from outlast.core.messages import TOPIC_CHARS_MAX
from outlast.core.queues import RATE_MAX
from outlast.core.resources import (
    COUNTED_MAX,
    EVENTS,
    RESOURCES,
    WORKFLOW,
    WORKFLOWS,
    Column,
    Filter,
    Kind,
    Resource,
)
from outlast.core.status import Status
from outlast.core.verbs import CANCEL, SEND, VERBS, Argument, Verb
from outlast.web.http.pages import PAGE_MAX
from outlast.web.management.metrics import METRICS
from outlast.web.management.workflows import WAIT_S_MAX
from outlast.web.openapi.callbacks import CALLBACK_PATH, callback_operations
from outlast.web.openapi.shared import (
    KEYS,
    NOBODY,
    PARAMETERS,
    Item,
    answer_item,
    json_content,
    not_found_name,
    reference,
    references,
)

_TEXT: Item = {"type": "string"}
_GIVEN: Item = {"type": "string", "pattern": r"^[^\x00]+$"}
"""A parameter's text: not empty, and without NUL, which Postgres can't hold."""

_STATUS: Item = reference("schemas", "Status")
_DATE_TIME: Item = {"type": "string", "format": "date-time"}
_COLUMNS: dict[Kind, Item] = {
    Kind.TEXT: _TEXT,
    Kind.COUNT: {"type": "integer", "minimum": 0},
    Kind.COUNT_AT_LEAST: {"type": "integer", "minimum": 0, "maximum": COUNTED_MAX},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.DURATION: {"type": "number", "minimum": 0},
    Kind.FLAG: {"type": "boolean"},
    Kind.RATE: {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "maximum": RATE_MAX},
            "per": {"type": "number", "description": "Seconds.", "minimum": 1e-6},
            "smooth": {"type": "boolean", "description": "Whether they are spread evenly over it."},
        },
        "required": ["n", "per"],
        "additionalProperties": False,
    },
    Kind.TIMESTAMP: _DATE_TIME,
    Kind.OBJECT: {"type": "object"},
    Kind.JSON: {"description": "JSON as it was recorded."},
    Kind.STATUS: _STATUS,
    Kind.STEP_STATUS: {
        "type": "string",
        "enum": ["SUCCESS", "ERROR", "CANCELLED", "SLEEPING", "RECEIVING", "WAITING", "RUNNING"],
    },
}
_FILTERS: dict[Kind, Item] = {
    Kind.TEXT: _GIVEN,
    Kind.FLAG: {"type": "boolean"},
    Kind.STATUS: {"type": "array", "items": _STATUS},
    Kind.TIMESTAMP: {"anyOf": [_DATE_TIME, {"type": "string", "format": "date"}]},
    Kind.PAIR: {"type": "array", "items": {"type": "string", "pattern": r"^[^:\x00]+:[^\x00]*$"}},
}
_PATH_PARAMETERS: dict[str, Item] = {
    WORKFLOWS.key: {"description": "Percent-encoded, slashes too.", "schema": _TEXT},
    "topic": {"schema": {**_GIVEN, "maxLength": TOPIC_CHARS_MAX}},
}
_OF_A_WORKFLOW = ("Workflow-Id", "Status-Link")


def _describe(schema: Item, about: str, *, nullable: bool) -> Item:
    schema = dict(schema)
    if nullable and "type" in schema:
        schema["type"] = [schema["type"], "null"]
    return {**schema, "description": about} if about else schema


def _schema(columns: Sequence[Column]) -> Item:
    return {
        "type": "object",
        "properties": {
            column.name: _describe(_COLUMNS[column.kind], column.about, nullable=column.nullable)
            for column in columns
        },
        "required": [column.name for column in columns if not column.optional],
    }


_CHECK: Item = {
    "type": "object",
    "properties": {
        "status": _TEXT,
        "broken": {"type": "array", "items": _TEXT, "description": "Functions that can't be loaded."},
    },
    "required": ["status"],
}
SCHEMAS: dict[str, Item] = {
    "Status": {"type": "string", "enum": [status.value for status in Status]},
    "Workflow": _schema(WORKFLOW),
    **{resource.schema: _schema(resource.columns) for resource in RESOURCES},
    "Health": {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["ok", "degraded", "unavailable", "stopping"]},
            "checks": {"type": "object", "additionalProperties": _CHECK},
        },
        "required": ["status"],
    },
}


def management_paths() -> dict[str, Item]:
    """Path items of everything except functions."""
    paths: dict[str, Item] = {}

    def add(path: str, method: str, operation: Item) -> None:
        paths.setdefault(path, _path_item(path))[method.lower()] = operation

    for each in RESOURCES:
        add(each.path, "get", _listing(each))
    for each in RESOURCES:
        if each.key:
            add(each.item_path, "get", _show() if each is WORKFLOWS else _item(each))
    for verb in VERBS:
        for path in verb.paths:
            add(path, verb.method, _verb(verb, path))
    for method, operation in callback_operations().items():
        add(CALLBACK_PATH, method, operation)
    add("/healthz", "get", _open("alive", "Whether this instance lives", {"200": _health("It does.")}))
    add("/readyz", "get", _ready())
    add(METRICS, "get", _metrics())
    return paths


SECRET_PATHS = frozenset(
    [each.path for each in RESOURCES if each.secret]
    + [path for verb in VERBS if verb.secret for path in verb.paths]
    + [METRICS]
)
"""The paths that need a secret key."""


def _path_item(path: str) -> Item:
    parameters = [
        {"name": name, "in": "path", "required": True, **_PATH_PARAMETERS.get(name, {"schema": _TEXT})}
        for name in re.findall(r"\{(\w+)\}", path)
    ]
    return {"parameters": parameters} if parameters else {}


def _listing(resource: Resource) -> Item:
    page = {
        "type": "object",
        "properties": {
            resource.name: {"type": "array", "items": reference("schemas", resource.schema)},
            "next": {"type": ["string", "null"], "description": "The URL of the next page."},
        },
        "required": [resource.name, "next"],
    }
    answers = {"200": answer_item("A page.", page, "Next-Link"), **references({"400": "InvalidParameter"})}
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": resource.page_rows}
    parameters = [
        *map(_filter, resource.filters),
        _query("limit", limit, "How many a page."),
        _query("cursor", _GIVEN, "Where the page begins: part of the `next` of the page before."),
    ]
    if resource.of is not None:
        answers |= references({"404": not_found_name(resource.of)})
    if resource is WORKFLOWS:
        answers |= references({"422": "SearchTooLong"})
    if resource is EVENTS:
        told = (
            "Each `event`, its number as id, and without ids `emitted` and `dropped`; then `end` or `error`."
        )
        stream = {"type": "string", "description": told}
        answers["200"]["content"]["text/event-stream"] = {"schema": stream}
        answers |= references({"429": "TooManyRequests"})
        parameters.append(reference("parameters", "Last-Event-ID"))
    return _operation(
        f"list{resource.name.capitalize()}", resource.of or resource, resource.about, answers, *parameters
    )


def _item(resource: Resource) -> Item:
    found = answer_item("How it is now.", reference("schemas", resource.schema))
    answers = {"200": found, **references({"400": "InvalidParameter", "404": not_found_name(resource)})}
    return _operation(f"show{resource.one.capitalize()}", resource, f"Look at a {resource.one}", answers)


def _filter(each: Filter) -> Item:
    several = {"explode": True} if each.several else {}
    schema = {"type": "string", "enum": [*each.choices]} if each.choices else _FILTERS[each.kind]
    return {**_query(each.name, schema, each.about), **several}


def _show() -> Item:
    seconds = {"type": "number", "minimum": 0, "maximum": WAIT_S_MAX, "default": 0}
    return _operation(
        "showWorkflow",
        WORKFLOWS,
        "Look at a workflow, or wait for it",
        {
            "200": answer_item(
                "How it stands.",
                reference("schemas", "Workflow"),
                *_OF_A_WORKFLOW,
                "Workflow-Generation",
            ),
            **references({"400": "InvalidParameter", "404": "WorkflowNotFound"}),
        },
        _query("wait", seconds, "Answer once it has ended, or after so many seconds."),
        _query("brief", {"type": "boolean"}, "Leave out values longer than 4 KiB: `large` tells of them."),
    )


def _verb(verb: Verb, path: str) -> Item:
    if verb is SEND:
        return _send(path)
    refusals = {"400": "InvalidParameter"}
    if verb.of_one:
        refusals["404"] = not_found_name(verb.noun)
    answered = reference("schemas", verb.noun.schema)
    if verb is CANCEL:
        refusals["409"], answered = "WrongStatus", reference("schemas", "Accepted")
    elif verb.answer:
        answered = _schema(verb.answer)
    if verb.refused:
        refusals["409"] = "WrongState"
    if verb.arguments:
        refusals["422"] = "InvalidArgument"
    headers = _OF_A_WORKFLOW if verb is CANCEL else ()
    answers = {"200": answer_item(verb.done, answered, *headers), **references(refusals)}
    if verb.accepted:
        answers["202"] = answer_item(verb.accepted, answered, *headers)
    operation = _operation(f"{verb.name}{verb.noun.one.capitalize()}", verb.noun, verb.about, answers)
    return {**operation, **_body(verb.arguments)}


def _body(arguments: Sequence[Argument]) -> Item:
    if not arguments:
        return {}
    required = [each.name for each in arguments if each.required]
    schema = {
        "type": "object",
        "properties": {each.name: _argument(each) for each in arguments},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }
    return {"requestBody": {"required": bool(required), "content": json_content(schema)}}


def _argument(each: Argument) -> Item:
    """The schema of an argument, within its bounds."""
    schema = dict(_COLUMNS[each.kind])
    if each.choices:
        schema["enum"] = list(each.choices)
    names = ("minLength", "maxLength") if each.kind is Kind.TEXT else ("minimum", "maximum")
    for name, bound in zip(names, (each.minimum, each.maximum), strict=True):
        if bound is not None:
            schema[name] = bound
    if each.kind is Kind.JSON:
        schema = {}
    return _describe(schema, each.about, nullable=each.nullable)


def _send(path: str) -> Item:
    sent = {
        "type": "object",
        "properties": {"workflow_id": _TEXT, "message_id": _COLUMNS[Kind.COUNT]},
        "required": ["workflow_id", "message_id"],
    }
    refusals = {
        "400": "BadMessage",
        "404": "WorkflowNotFound",
        "409": "WrongStatus",
        "413": "PayloadTooLarge",
        "422": "MessageKeyReused",
    }
    operation = _operation(
        "sendMessageOfTopic" if "{topic}" in path else "sendMessage",
        WORKFLOWS,
        SEND.about,
        {"202": answer_item(SEND.done, sent, *_OF_A_WORKFLOW), **references(refusals)},
        {**PARAMETERS["Idempotency-Key"], "description": "The same key sends the message once."},
    )
    return {**operation, "requestBody": {"required": True, "content": json_content({})}}


def _ready() -> Item:
    answers = {"200": _health("It is; with `degraded`, all but the broken functions work.")}
    answers["503"] = _health("It is not, or shuts down.", "Retry-After")
    return _open("ready", "Whether this instance is ready for calls", answers)


def _metrics() -> Item:
    text = {"description": "All of them.", "content": {"text/plain": {"schema": _TEXT}}}
    return {
        "operationId": "metrics",
        "summary": "Metrics for Prometheus; not there where OUTLAST_METRICS is false",
        "tags": ["health"],
        "security": KEYS,
        "responses": {"200": text, **references({"401": "Unauthorized", "500": "InternalError"})},
    }


def _operation(name: str, resource: Resource, summary: str, responses: Item, *parameters: Item) -> Item:
    common = {
        "401": "Unauthorized",
        "405": "MethodNotAllowed",
        "500": "InternalError",
        "503": "Unavailable",
    }
    return {
        "operationId": name,
        "summary": summary,
        "tags": [resource.name],
        "security": KEYS,
        "parameters": list(parameters),
        "responses": {**responses, **references(common)},
    }


def _open(name: str, summary: str, responses: Item) -> Item:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["health"],
        "security": [NOBODY],
        "responses": responses,
    }


def _query(name: str, schema: Item, description: str) -> Item:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _health(description: str, *names: str) -> Item:
    return answer_item(description, reference("schemas", "Health"), *names)
