"""What many operations share: problems, headers, parameters, and how callers prove who they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from outlast.web.http.answers import Answer
from outlast.web.http.problems import INTERNAL, Problem

Item = dict[str, Any]

JSON_TYPE = "application/json"
BEARER: Item = {"bearer": []}
APIKEY: Item = {"apikey": []}
KEYS: list[Item] = [BEARER, APIKEY]
NOBODY: Item = {}
"""A security requirement that asks for nothing."""

_TEXT: Item = {"type": "string"}
_FLAG: Item = {"type": "boolean"}
_KEY = r"""^(?:[!#-+\x2d-:<-\[\]-~]{1,255}|"(?:[ !#-\[\]-~]|\\["\\]){1,255}")$"""
"""What `core.names.parse_key` takes, for readers of JSON Schema."""

_ID = "checkout:order-1"
_RETRY = (("retry-after", "1"),)

SECURITY_SCHEMES: Item = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key or token of the project."},
    "apikey": {"type": "apiKey", "in": "header", "name": "apikey", "description": "A key of the project."},
}

HEADERS: Item = {
    "Workflow-Id": {"description": "The id of the workflow that this call is.", "schema": _TEXT},
    "Idempotency-Replayed": {
        "description": "`true` if an earlier call with the same key started the workflow.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "Status-Link": {
        "description": '`</workflows/v1/ID>; rel="status"`: where its status is.',
        "schema": _TEXT,
    },
    "Next-Link": {"description": '`<URL>; rel="next"`: the next page, if there is one.', "schema": _TEXT},
    "Location": {"description": "Where the workflow's status is.", "schema": _TEXT},
    "Preference-Applied": {"description": "What of `Prefer` was honoured (RFC 7240).", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer"}},
    "Allow": {"description": "The methods that are allowed.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "`Bearer`.", "schema": _TEXT},
    "sb-error-code": {"description": "The problem's `code` again.", "schema": _TEXT},
}

PARAMETERS: Item = {
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": (
            "Names this call: the same key gives the same workflow and the same answer, however often and "
            'wherever it is sent. 1 to 255 visible ASCII characters without `" , ; \\`, or a quoted '
            "structured-field string."
        ),
        "schema": {"type": "string", "pattern": _KEY},
        "example": "order-1",
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": (
            "`respond-async` answers 202 once the workflow is durable; `wait=N` waits N seconds at most "
            "for the result (RFC 7240)."
        ),
        "schema": _TEXT,
        "example": "respond-async, wait=5",
    },
    "Last-Event-ID": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": (
            "With `Accept: text/event-stream`: the number of the last event seen; the stream goes on after "
            "it. What is no number is ignored. A call goes on only by its `Idempotency-Key`."
        ),
        "schema": _TEXT,
        "example": "3",
    },
}

PROBLEM: Item = {
    "type": "object",
    "description": (
        "What went wrong, for readers of RFC 9457 (`type`, `title`, `status`, `detail`), of supabase-py "
        "(`error`) and of Supabase's gateway (`code`, `message`, `msg`)."
    ),
    "properties": {
        "type": {**_TEXT, "description": "`urn:outlast:problem:CODE`."},
        "title": _TEXT,
        "status": {"type": "integer", "description": "The answer's status."},
        "detail": {**_TEXT, "description": "What happened and what to do, for people."},
        "error": {**_TEXT, "description": "As `detail`."},
        "code": {**_TEXT, "description": "What happened, for programs. Never changes."},
        "message": {**_TEXT, "description": "As `detail`."},
        "msg": {**_TEXT, "description": "As `detail`."},
        "retryable": {**_FLAG, "description": "Whether the same call may succeed later."},
        "workflow_id": {**_TEXT, "description": "The workflow it is about, if any."},
        "errors": {
            "type": "array",
            "items": {"type": "object"},
            "description": "With `invalid_input`: where the input does not fit, and why.",
        },
        "parameter": {**_TEXT, "description": "With `invalid_parameter`: which one."},
        "workflow_status": {**_TEXT, "description": "With `workflow_ended`: how it ended."},
    },
    "required": ["type", "title", "status", "detail", "error", "code", "message", "msg", "retryable"],
}


def reference(kind: str, name: str) -> Item:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def references(names: Mapping[str, str]) -> Item:
    """Responses of the components by status."""
    return {status: reference("responses", name) for status, name in names.items()}


def headers(*names: str) -> Item:
    """Response headers by name; the two kinds of `Link` are told apart by the component."""
    return {"Link" if name.endswith("-Link") else name: reference("headers", name) for name in names}


def json_content(schema: Item, **more: Any) -> Item:
    """Content that is JSON."""
    return {JSON_TYPE: {"schema": schema, **more}}


def answer_item(description: str, schema: Item, *names: str) -> Item:
    """A response with a JSON body and these headers."""
    return {"description": description, "headers": headers(*names), "content": json_content(schema)}


def problem_item(description: str, *problems: Problem, names: tuple[str, ...] = ()) -> Item:
    """A response that is a problem; `problems` are its examples, exactly as they are sent."""
    examples = {each.code: {"value": _body(each.answer())} for each in problems}
    content = json_content(reference("schemas", "Problem"), examples=examples)
    return {"description": description, "headers": headers("sb-error-code", *names), "content": content}


def _body(answer: Answer) -> Any:
    return from_json(answer.body)


UNAUTHORIZED = problem_item(
    "No key or token, a bad one, or one that doesn't open this.",
    Problem(401, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"),
    Problem(401, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT: it is none, or it is damaged"),
    Problem(401, "UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT: it has expired; sign in again"),
    Problem(401, "INVALID_CREDENTIALS", "These credentials don't open this function: user is needed"),
    names=("WWW-Authenticate",),
)
UNAVAILABLE = problem_item(
    "Not now: try again. With the same idempotency key that is always safe.",
    Problem(503, "database_unavailable", "the database can't be reached", True),
    Problem(503, "shutting_down", "this instance shuts down; the workflow goes on elsewhere", True, _ID),
    Problem(503, "overloaded", "this instance runs 1000 workflows and takes no more now", True),
    Problem(503, "jwks_unavailable", "the keys to verify tokens by can't be fetched now; try again", True),
    Problem(503, "BOOT_ERROR", "the function could not be loaded", True),
    names=("Retry-After", "Location"),
)

RESPONSES: Item = {
    "Accepted": {
        "description": "The workflow goes on: its status is at `Location`.",
        "headers": headers("Workflow-Id", "Status-Link", "Location", "Retry-After", "Preference-Applied"),
        "content": json_content(reference("schemas", "Accepted")),
    },
    "BadRequest": problem_item(
        "The key is missing or malformed, or the body is no JSON.",
        Problem(400, "idempotency_key_missing", "checkout must be called with an Idempotency-Key header"),
        Problem(400, "idempotency_key_invalid", "Idempotency-Key is repeated; send it once"),
        Problem(400, "invalid_json", "the body is no JSON"),
    ),
    "InvalidParameter": problem_item(
        "A parameter is unknown or can't be read; `parameter` names it.",
        Problem(
            400,
            "invalid_parameter",
            "limit must be a whole number from 1 to 1000, not '0'",
            more={"parameter": "limit"},
        ),
    ),
    "Unauthorized": UNAUTHORIZED,
    "NotFound": problem_item(
        "Nothing is served here.", Problem(404, "NOT_FOUND", "no function is served under this name")
    ),
    "WorkflowNotFound": problem_item(
        "There is no such workflow, or it is another caller's.",
        Problem(404, "workflow_not_found", "there is no workflow with this id", workflow_id=_ID),
    ),
    "MethodNotAllowed": problem_item(
        "Another method is needed.",
        Problem(405, "METHOD_NOT_ALLOWED", "PATCH is not allowed here; use POST, OPTIONS"),
        names=("Allow",),
    ),
    "Conflict": problem_item(
        "The workflow was cancelled; or it still runs, and the function refuses duplicates meanwhile.",
        Problem(409, "workflow_cancelled", "the workflow was cancelled", workflow_id=_ID),
        Problem(409, "idempotency_conflict", "a call with this idempotency key is still running", True, _ID),
        names=("Workflow-Id", "Status-Link", "Idempotency-Replayed", "Retry-After"),
    ),
    "WorkflowEnded": problem_item(
        "It has ended otherwise; `workflow_status` says how.",
        Problem(
            409,
            "workflow_ended",
            "the workflow has ended as SUCCESS; only one that has not ended can be cancelled",
            workflow_id=_ID,
            more={"workflow_status": "SUCCESS"},
        ),
    ),
    "BadMessage": problem_item(
        "The body is no JSON, or the key or the topic can't be one.",
        Problem(400, "invalid_json", "the body must be the message, as JSON: EOF while parsing a value"),
        Problem(400, "idempotency_key_invalid", "Idempotency-Key is repeated; send it once"),
        Problem(
            400, "invalid_parameter", "a topic is 1 to 255 characters in UTF-8", more={"parameter": "topic"}
        ),
    ),
    "MessageKeyReused": problem_item(
        "The key was used with another message to the same workflow.",
        Problem(422, "idempotency_key_reused", "this idempotency key was used with another message"),
    ),
    "PayloadTooLarge": problem_item(
        "The body is too large.", Problem(413, "payload_too_large", "the body is larger than 20971520 bytes")
    ),
    "UnprocessableContent": problem_item(
        "The input does not fit the function, or the key was used with another payload.",
        Problem(
            422,
            "invalid_input",
            "the input does not fit: quantity",
            more={"errors": [{"type": "missing", "loc": ["quantity"], "msg": "Field required"}]},
        ),
        Problem(422, "idempotency_key_reused", "this idempotency key was used with another payload"),
    ),
    "TooManyRequests": problem_item(
        "Too many calls of this caller are in flight; nothing was started.",
        Problem(429, "rate_limited", "100 calls of this caller are in flight", True, headers=_RETRY),
        names=("Retry-After",),
    ),
    "WorkflowError": problem_item(
        "The workflow ended without a result: the same key gives the same answer again.",
        Problem(
            500,
            "workflow_error",
            "the function failed with an uncaught exception; its log tells more",
            workflow_id=_ID,
        ),
        Problem(500, "workflow_timeout", "checkout passed its timeout", workflow_id=_ID),
        Problem(500, "recovery_exhausted", "the instances that ran it were lost too often", workflow_id=_ID),
        INTERNAL,
        names=("Workflow-Id", "Status-Link", "Idempotency-Replayed"),
    ),
    "FunctionError": problem_item(
        "The function failed.",
        Problem(500, "function_error", "the function failed with an uncaught exception"),
        INTERNAL,
    ),
    "InternalError": problem_item("The host failed to answer.", INTERNAL),
    "Unavailable": UNAVAILABLE,
}

ACCEPTED: Item = {
    "type": "object",
    "properties": {"workflow_id": _TEXT, "status": reference("schemas", "Status")},
    "required": ["workflow_id", "status"],
}
