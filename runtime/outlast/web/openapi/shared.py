"""What many operations share: problems, headers, parameters, and how callers prove who they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from outlast.core.errors import ValidatorFailed
from outlast.core.outcomes import PUBLIC_FAILURE
from outlast.core.resources import RESOURCES, WORKFLOWS, Resource
from outlast.core.status import Status
from outlast.core.verbs import CANCEL
from outlast.web.http.problems import FUNCTION_FAILED, INTERNAL, TOO_LONG, Problem
from outlast.web.http.routes import not_found

Item = dict[str, Any]

JSON_TYPE = "application/json"
BEARER: Item = {"bearer": []}
APIKEY: Item = {"apikey": []}
KEYS: list[Item] = [BEARER, APIKEY]
NOBODY: Item = {}
"""A security requirement that asks for nothing."""

_TEXT: Item = {"type": "string"}
_KEY = r"""^(?:[!#-+\x2d-:<-\[\]-~]{1,255}|"(?:[ !#-\[\]-~]|\\["\\]){1,255}")$"""
"""The grammar of `core.names.parse_key` for JSON Schema."""

_ID = "checkout:order-1"
_NAME = "mail"
_RETRY = (("retry-after", "1"),)

SECURITY_SCHEMES: Item = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key or token of the project."},
    "apikey": {"type": "apiKey", "in": "header", "name": "apikey", "description": "A key of the project."},
}

_HEADERS = {
    "Workflow-Id": "The id of the workflow that this call is.",
    "Workflow-Generation": "Of a workflow that was retried, from 2 on: how often it was let run to an end.",
    "Idempotency-Replayed": "`true` if an earlier call with the same key started the workflow.",
    "Status-Link": '`</workflows/v1/ID>; rel="status"`: where its status is.',
    "Next-Link": '`<URL>; rel="next"`: the next page, if there is one.',
    "Location": "Where the workflow's status is.",
    "Preference-Applied": "What of `Prefer` was honoured (RFC 7240).",
    "Retry-After": "Seconds to wait before the next try.",
    "Allow": "The methods that are allowed.",
    "WWW-Authenticate": "`Bearer`.",
    "sb-error-code": "The problem's `code` again.",
}
_NO_TEXT: Item = {
    "Idempotency-Replayed": {"type": "string", "enum": ["true", "false"]},
    "Retry-After": {"type": "integer"},
    "Workflow-Generation": {"type": "integer"},
    "status": {"type": "integer"},
    "retryable": {"type": "boolean"},
    "errors": {"type": "array", "items": {"type": "object"}},
}
"""The schemas of headers and members that aren't just texts."""


HEADERS: Item = {
    name: {"description": about, "schema": _NO_TEXT.get(name, _TEXT)} for name, about in _HEADERS.items()
}


def _header(name: str, description: str, example: str, schema: Item = _TEXT) -> Item:
    return {"name": name, "in": "header", "description": description, "schema": schema, "example": example}


PARAMETERS: dict[str, Item] = {
    each["name"]: each
    for each in (
        _header(
            "Idempotency-Key",
            "Names this call: the same key gives the same workflow and the same answer, however often and "
            'wherever it is sent. 1 to 255 visible ASCII characters without `" , ; \\`, or a quoted '
            "structured-field string.",
            "order-1",
            {"type": "string", "pattern": _KEY},
        ),
        _header(
            "Prefer",
            "`respond-async` answers 202 once the workflow is durable; `wait=N` waits N seconds at most "
            "for the result (RFC 7240).",
            "respond-async, wait=5",
        ),
        _header(
            "Last-Event-ID",
            "With `Accept: text/event-stream`: the number of the last event seen; the stream goes on after "
            "it. What is no number is ignored. A call goes on only by its `Idempotency-Key`.",
            "3",
        ),
    )
}

_PROBLEM = {
    "type": "`urn:outlast:problem:CODE`.",
    "title": "What its status means.",
    "status": "The answer's status.",
    "detail": "What happened and what to do, for people.",
    "error": "As `detail`.",
    "code": "What happened, for programs. Never changes.",
    "message": "As `detail`.",
    "msg": "As `detail`.",
    "retryable": "Whether the same call may succeed later.",
    "workflow_id": "The workflow it is about, if any.",
    "errors": "With `invalid_input`: where the input does not fit, and why.",
    "parameter": "With `invalid_parameter`: which one.",
    **{
        each.key: "With `…_not_found`: which one." for each in RESOURCES if each.key and each is not WORKFLOWS
    },
    "workflow_status": "With `workflow_ended` and `workflow_not_ended`: how it stands.",
}
PROBLEM: Item = {
    "type": "object",
    "description": (
        "What went wrong, for readers of RFC 9457 (`type`, `title`, `status`, `detail`), of supabase-py "
        "(`error`) and of Supabase's gateway (`code`, `message`, `msg`)."
    ),
    "properties": {
        name: {**_NO_TEXT.get(name, _TEXT), "description": about} for name, about in _PROBLEM.items()
    },
    "required": ["type", "title", "status", "detail", "error", "code", "message", "msg", "retryable"],
}


def reference(kind: str, name: str) -> Item:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def references(names: Mapping[str, str]) -> Item:
    """Responses of the components by status."""
    return {status: reference("responses", name) for status, name in names.items()}


def not_found_name(resource: Resource) -> str:
    """The component that is 404 for one row of a resource."""
    return f"{resource.one.capitalize()}NotFound"


def headers(*names: str) -> Item:
    """Response headers by name. There are two components for `Link`."""
    return {"Link" if name.endswith("-Link") else name: reference("headers", name) for name in names}


def json_content(schema: Item, **more: Any) -> Item:
    """Content that is JSON."""
    return {JSON_TYPE: {"schema": schema, **more}}


def answer_item(description: str, schema: Item, *names: str) -> Item:
    """A response with a JSON body and these headers."""
    return {"description": description, "headers": headers(*names), "content": json_content(schema)}


def problem_item(description: str, *problems: Problem, names: tuple[str, ...] = ()) -> Item:
    """A response that is a problem; `problems` are its examples, exactly as they are sent."""
    examples = {each.code: {"value": from_json(each.answer().body)} for each in problems}
    content = json_content(reference("schemas", "Problem"), examples=examples)
    return {"description": description, "headers": headers("sb-error-code", *names), "content": content}


_KEY_REPEATED = Problem("idempotency_key_invalid", "Idempotency-Key is repeated; send it once")
_BAD_LIMIT = "limit must be a whole number from 1 to 1000, not '0'"
_OR_ANOTHERS = ", or it is another caller's"
_BAD_WHY = "why must be a text of 1 to 1,000 characters"
_BAD_ARGUMENT = {"type": "invalid_argument", "loc": ["why"], "msg": _BAD_WHY}
_MISSING = {"type": "missing", "loc": ["quantity"], "msg": "Field required"}

RESPONSES: Item = {
    "Accepted": {
        "description": "The workflow goes on: its status is at `Location`.",
        "headers": headers("Workflow-Id", "Status-Link", "Location", "Retry-After", "Preference-Applied"),
        "content": json_content(reference("schemas", "Accepted")),
    },
    "BadRequest": problem_item(
        "The key is missing or malformed, or the body is no JSON.",
        Problem("idempotency_key_missing", "checkout must be called with an Idempotency-Key header"),
        _KEY_REPEATED,
        Problem("invalid_json", "the body is no JSON"),
    ),
    "InvalidParameter": problem_item(
        "A parameter is unknown or can't be read; `parameter` names it.",
        Problem("invalid_parameter", _BAD_LIMIT, more={"parameter": "limit"}),
    ),
    "SearchTooLong": problem_item("No page was found in time: narrow the search.", TOO_LONG),
    "Unauthorized": problem_item(
        "No key or token, a bad one, or one that doesn't open this.",
        Problem("UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"),
        Problem("UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT: it is none, or it is damaged"),
        Problem("UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT: it has expired; sign in again"),
        Problem("INVALID_CREDENTIALS", "These credentials don't open this function: user is needed"),
        names=("WWW-Authenticate",),
    ),
    "NotFound": problem_item(
        "Nothing is served here.", Problem("NOT_FOUND", "no function is served under this name")
    ),
    **{
        not_found_name(each): problem_item(
            f"There is no such {each.one}{_OR_ANOTHERS if each is WORKFLOWS else ''}.",
            not_found(each, _ID if each is WORKFLOWS else _NAME),
        )
        for each in RESOURCES
        if each.key
    },
    "MethodNotAllowed": problem_item(
        "Another method is needed.",
        Problem("METHOD_NOT_ALLOWED", "PATCH is not allowed here; use POST, OPTIONS"),
        names=("Allow",),
    ),
    "Conflict": problem_item(
        "The workflow was cancelled; or it still runs, and the function refuses duplicates meanwhile.",
        Problem("workflow_cancelled", "the workflow was cancelled", _ID),
        Problem("idempotency_conflict", "a call with this idempotency key is still running", _ID),
        names=("Workflow-Id", "Workflow-Generation", "Status-Link", "Idempotency-Replayed", "Retry-After"),
    ),
    "InvalidArgument": problem_item(
        "An argument is missing, unknown or out of range; `errors` names it.",
        Problem("invalid_input", _BAD_WHY, more={"errors": [_BAD_ARGUMENT]}),
    ),
    "WrongState": problem_item(
        "As things are it can't be done.", Problem("wrong_state", "it is paused already")
    ),
    "WrongStatus": problem_item(
        "It stands otherwise; `workflow_status` says how.",
        Problem(
            "workflow_ended",
            CANCEL.refusal(Status.SUCCESS),
            _ID,
            more={"workflow_status": "SUCCESS"},
        ),
    ),
    "BadMessage": problem_item(
        "The body is no JSON, or the key or the topic can't be one.",
        Problem("invalid_json", "the body must be the message, as JSON: EOF while parsing a value"),
        _KEY_REPEATED,
        Problem("invalid_parameter", "a topic is 1 to 255 characters in UTF-8", more={"parameter": "topic"}),
    ),
    "MessageKeyReused": problem_item(
        "The key was used with another message to the same workflow.",
        Problem("idempotency_key_reused", "this idempotency key was used with another message"),
    ),
    "PayloadTooLarge": problem_item(
        "The body is too large.", Problem("payload_too_large", "the body is larger than 20971520 bytes")
    ),
    "UnprocessableContent": problem_item(
        "The input does not fit the function, or the key was used with another payload.",
        Problem("invalid_input", "the input does not fit: quantity", more={"errors": [_MISSING]}),
        Problem("idempotency_key_reused", "this idempotency key was used with another payload"),
    ),
    "TooManyRequests": problem_item(
        "Too many calls of this caller are in flight; nothing was started.",
        Problem("rate_limited", "100 calls of this caller are in flight", headers=_RETRY),
        names=("Retry-After",),
    ),
    "WorkflowError": problem_item(
        "The workflow ended without a result: the same key gives the same answer until it is retried. "
        "`function_error`: a validator of its input failed, and nothing was started.",
        Problem("workflow_error", PUBLIC_FAILURE, _ID),
        Problem("workflow_timeout", "checkout passed its timeout", _ID),
        Problem("recovery_exhausted", "the instances that ran it were lost too often", _ID),
        Problem("function_error", str(ValidatorFailed("checkout's input", KeyError()))),
        INTERNAL,
        names=("Workflow-Id", "Workflow-Generation", "Status-Link", "Idempotency-Replayed"),
    ),
    "FunctionError": problem_item("The function failed.", FUNCTION_FAILED, INTERNAL),
    "InternalError": problem_item("The host failed to answer.", INTERNAL),
    "Unavailable": problem_item(
        "Not now: try again. With the same idempotency key that is always safe.",
        Problem("database_unavailable", "the database can't be reached"),
        Problem("shutting_down", "this instance shuts down; the workflow goes on elsewhere", _ID),
        Problem("overloaded", "this instance runs 1000 workflows and takes no more now"),
        Problem("jwks_unavailable", "the keys to verify tokens by can't be fetched now; try again"),
        Problem("BOOT_ERROR", "the function could not be loaded"),
        names=("Retry-After", "Location"),
    ),
}

ACCEPTED: Item = {
    "type": "object",
    "properties": {"workflow_id": _TEXT, "status": reference("schemas", "Status")},
    "required": ["workflow_id", "status"],
}
