"""What OpenAPI says of the management routes."""

from __future__ import annotations

from outlast.core.messages import TOPIC_CHARS_MAX
from outlast.core.status import Status
from outlast.web.http.pages import PAGE_DEFAULT, PAGE_MAX
from outlast.web.http.routes import WORKFLOWS
from outlast.web.management.workflows import WAIT_S_MAX
from outlast.web.openapi.shared import (
    KEYS,
    NOBODY,
    PARAMETERS,
    Item,
    answer_item,
    json_content,
    reference,
)

_TEXT: Item = {"type": "string"}
_GIVEN: Item = {"type": "string", "pattern": r"^[^\x00]+$"}
"""A parameter's text: Postgres holds no NUL, and an empty one would mean nothing."""

_COUNT: Item = {"type": "integer", "minimum": 0}
_MOMENT: Item = {"type": "string", "format": "date-time"}
_MAYBE_TEXT: Item = {"type": ["string", "null"]}
_MAYBE_MOMENT: Item = {"type": ["string", "null"], "format": "date-time"}
_ANYTHING: Item = {"description": "JSON as it was recorded."}

_SUMMARY: Item = {
    "workflow_id": _TEXT,
    "function": _TEXT,
    "version": {**_MAYBE_TEXT, "description": "Of its function's file, when it was started."},
    "status": reference("schemas", "Status"),
    "error": {"type": ["object", "null"], "description": "`code` and the beginning of its `message`."},
    "queue": _MAYBE_TEXT,
    "parent": {**_MAYBE_TEXT, "description": "The workflow that started it."},
    "attributes": {"type": ["object", "null"], "description": "What it can be found by."},
    "recovery_attempts": {**_COUNT, "description": "How often an instance that ran it was lost."},
    "claimable_at": {
        **_MAYBE_MOMENT,
        "description": "When an instance may claim it; null while owned or ended.",
    },
    "created_at": _MOMENT,
    "started_at": _MAYBE_MOMENT,
    "updated_at": _MOMENT,
    "completed_at": _MAYBE_MOMENT,
}
_DETAILS: Item = {
    "input": _ANYTHING,
    "output": _ANYTHING,
    "error": {
        "type": ["object", "null"],
        "description": "`code` and `message`; `failure` holds the exception and its traceback.",
    },
    "response": {
        "type": ["object", "null"],
        "description": "`status` and `headers`, where the function set them.",
    },
    "idempotency_key": _MAYBE_TEXT,
    "subject": {**_MAYBE_TEXT, "description": "The signed-in user whose call it was."},
    "priority": {"type": "integer"},
    "owner": {**_MAYBE_TEXT, "description": "The instance that runs it."},
    "epoch": {**_COUNT, "description": "Raised by each claim; every write carries it."},
    "deadline": _MAYBE_MOMENT,
}
_STEP_STATUSES = ["SUCCESS", "ERROR", "CANCELLED", "SLEEPING", "RECEIVING", "RUNNING"]
_STEP: Item = {
    "step_id": _TEXT,
    "name": _TEXT,
    "status": {"type": "string", "enum": _STEP_STATUSES},
    "output": _ANYTHING,
    "error": {"type": ["object", "null"]},
    "attempts": _COUNT,
    "completion_order": {"type": ["integer", "null"]},
    "started_at": _MAYBE_MOMENT,
    "completed_at": _MAYBE_MOMENT,
}

_EVENT: Item = {
    "number": {**_COUNT, "description": "Its place among all that the workflow has recorded."},
    "event": {**_TEXT, "description": "Its name."},
    "value": _ANYTHING,
    "published_at": _MOMENT,
}

SCHEMAS: dict[str, Item] = {
    "Status": {"type": "string", "enum": [status.value for status in Status]},
    "WorkflowSummary": {"type": "object", "properties": _SUMMARY, "required": list(_SUMMARY)},
    "Workflow": {
        "type": "object",
        "properties": {**_SUMMARY, **_DETAILS},
        "required": [*_SUMMARY, *_DETAILS],
    },
    "Step": {
        "type": "object",
        "properties": {
            **_STEP,
            "wake_at": {
                **_MOMENT,
                "description": "Of a sleep or a receive that isn't over: when it will be.",
            },
            "retry_at": {
                **_MAYBE_MOMENT,
                "description": "Of a step that runs and whose last attempt failed: when the next one begins.",
            },
            "instance": {**_MAYBE_TEXT, "description": "Of a step that runs: the instance that runs it."},
        },
        "required": list(_STEP),
    },
    "Event": {"type": "object", "properties": _EVENT, "required": list(_EVENT)},
    "Health": {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["ok", "degraded", "unavailable", "stopping"]},
            "checks": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "status": _TEXT,
                        "broken": {
                            "type": "array",
                            "items": _TEXT,
                            "description": "Functions that can't be loaded.",
                        },
                    },
                    "required": ["status"],
                },
            },
        },
        "required": ["status"],
    },
}


def management_paths() -> dict[str, Item]:
    """Path items of everything that is no function."""
    return {
        WORKFLOWS: {"get": _list()},
        f"{WORKFLOWS}/{{workflow_id}}": _of_workflow({"get": _show()}),
        f"{WORKFLOWS}/{{workflow_id}}/steps": _of_workflow({"get": _steps()}),
        f"{WORKFLOWS}/{{workflow_id}}/events": _of_workflow({"get": _events()}),
        f"{WORKFLOWS}/{{workflow_id}}/cancel": _of_workflow({"post": _cancel()}),
        f"{WORKFLOWS}/{{workflow_id}}/messages": _of_workflow({"post": _send("sendMessage")}),
        f"{WORKFLOWS}/{{workflow_id}}/messages/{{topic}}": _of_topic({"post": _send("sendMessageOfTopic")}),
        "/healthz": {"get": _open("alive", "Whether this instance lives", {"200": _health("It does.")})},
        "/readyz": {"get": _ready()},
    }


def _list() -> Item:
    moment = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}
    statuses = {"type": "array", "items": reference("schemas", "Status")}
    return _operation(
        "listWorkflows",
        "List workflows, newest first",
        {"200": _page("workflows", "WorkflowSummary"), "400": reference("responses", "InvalidParameter")},
        _query("function", _GIVEN, "Served under this name."),
        {**_query("status", statuses, "Any of these; repeated, or with commas between."), "explode": True},
        _query("version", _GIVEN, "Started by this version of the function's file."),
        _query("error", _GIVEN, "Whose error's text holds this, in upper or lower case."),
        _query("queue", _GIVEN, "In this queue."),
        _query("parent", _GIVEN, "Started by this workflow."),
        _query("since", moment, "Created then or later. A date alone is its midnight in UTC."),
        _query("until", moment, "Created before."),
        _query(
            "attribute",
            {"type": "string", "pattern": r"^[^:\x00]+:[^\x00]*$"},
            "A key and its value: `customer:42`.",
        ),
        *_paging(PAGE_DEFAULT),
    )


def _show() -> Item:
    seconds = {"type": "number", "minimum": 0, "maximum": WAIT_S_MAX, "default": 0}
    names = ("Workflow-Id", "Status-Link")
    return _operation(
        "showWorkflow",
        "Look at a workflow, or wait for it",
        {
            "200": answer_item("How it stands.", reference("schemas", "Workflow"), *names),
            "400": reference("responses", "InvalidParameter"),
            "404": reference("responses", "WorkflowNotFound"),
        },
        _query("wait", seconds, "Answer once it has ended, or after so many seconds."),
    )


def _steps() -> Item:
    return _operation(
        "listSteps",
        "List a workflow's steps: the recorded ones in order of completion, then what waits and what runs",
        {
            "200": _page("steps", "Step"),
            "400": reference("responses", "InvalidParameter"),
            "404": reference("responses", "WorkflowNotFound"),
        },
        *_paging(PAGE_MAX),
    )


def _events() -> Item:
    listed = _page("events", "Event")
    stream = {"type": "string", "description": "Each `event`, then `end` or `error`. Ids are numbers."}
    listed["content"]["text/event-stream"] = {"schema": stream}
    return _operation(
        "listEvents",
        "List a workflow's published events in order, or follow them to its end",
        {
            "200": listed,
            "400": reference("responses", "InvalidParameter"),
            "404": reference("responses", "WorkflowNotFound"),
            "429": reference("responses", "TooManyRequests"),
        },
        _query("event", _GIVEN, "Of this name alone."),
        *_paging(PAGE_MAX),
        reference("parameters", "Last-Event-ID"),
    )


def _cancel() -> Item:
    return _operation(
        "cancelWorkflow",
        "Cancel a workflow; cancelling it again changes nothing",
        {
            "200": answer_item(
                "It is cancelled.", reference("schemas", "Accepted"), "Workflow-Id", "Status-Link"
            ),
            "400": reference("responses", "InvalidParameter"),
            "404": reference("responses", "WorkflowNotFound"),
            "409": reference("responses", "WorkflowEnded"),
        },
    )


def _send(name: str) -> Item:
    sent = {
        "type": "object",
        "properties": {"workflow_id": _TEXT, "message_id": _COUNT},
        "required": ["workflow_id", "message_id"],
    }
    key = {**PARAMETERS["Idempotency-Key"], "description": "The same key sends the message once."}
    operation = _operation(
        name,
        "Send a message to a workflow",
        {
            "202": answer_item("It is durable.", sent, "Workflow-Id", "Status-Link"),
            "400": reference("responses", "BadMessage"),
            "404": reference("responses", "WorkflowNotFound"),
            "409": reference("responses", "WorkflowEnded"),
            "413": reference("responses", "PayloadTooLarge"),
            "422": reference("responses", "MessageKeyReused"),
        },
        key,
    )
    return {**operation, "requestBody": {"required": True, "content": json_content({})}}


def _ready() -> Item:
    answers = {"200": _health("It is; with `degraded`, all but the broken functions work.")}
    answers["503"] = _health("It is not, or shuts down.", "Retry-After")
    return _open("ready", "Whether this instance is ready for calls", answers)


def _operation(name: str, summary: str, responses: Item, *parameters: Item) -> Item:
    common = {
        "401": reference("responses", "Unauthorized"),
        "405": reference("responses", "MethodNotAllowed"),
        "500": reference("responses", "InternalError"),
        "503": reference("responses", "Unavailable"),
    }
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["workflows"],
        "security": KEYS,
        "parameters": list(parameters),
        "responses": {**responses, **common},
    }


def _open(name: str, summary: str, responses: Item) -> Item:
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["health"],
        "security": [NOBODY],
        "responses": responses,
    }


def _of_workflow(item: Item) -> Item:
    parameter = {
        "name": "workflow_id",
        "in": "path",
        "required": True,
        "description": "Percent-encoded, slashes too.",
        "schema": _TEXT,
    }
    return {"parameters": [parameter], **item}


def _of_topic(item: Item) -> Item:
    topic = {
        "name": "topic",
        "in": "path",
        "required": True,
        "schema": {**_GIVEN, "maxLength": TOPIC_CHARS_MAX},
    }
    of_workflow = _of_workflow(item)
    return {**of_workflow, "parameters": [*of_workflow["parameters"], topic]}


def _query(name: str, schema: Item, description: str) -> Item:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _paging(default: int) -> list[Item]:
    limit = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": default}
    return [
        _query("limit", limit, "How many a page."),
        _query("cursor", _GIVEN, "Where the page begins: part of the `next` of the page before."),
    ]


def _page(name: str, schema: str) -> Item:
    page = {
        "type": "object",
        "properties": {
            name: {"type": "array", "items": reference("schemas", schema)},
            "next": {**_MAYBE_TEXT, "description": "The URL of the next page."},
        },
        "required": [name, "next"],
    }
    return answer_item("A page.", page, "Next-Link")


def _health(description: str, *names: str) -> Item:
    return answer_item(description, reference("schemas", "Health"), *names)
