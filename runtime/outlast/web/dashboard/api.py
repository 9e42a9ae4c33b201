"""The public API, asked within the process: what a page shows and does is what `curl` gets and does."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlencode

from pydantic_core import from_json, to_json
from starlette.types import ASGIApp, Message

from outlast.core.errors import OutlastError, ValidatorFailed
from outlast.core.resources import RESOURCES, WORKFLOW, WORKFLOWS, Column, Resource
from outlast.web.dashboard.viewers import Viewer, check_filters, hide, viewer_refused
from outlast.web.dashboard.written import Recorded, items, members
from outlast.web.http.answers import Kept, Pairs
from outlast.web.http.calls import Call, Sendable, run_by_size
from outlast.web.http.problems import Problem, ProblemError, expected_problem
from outlast.web.http.requests import tell_fault

AnswerCall = Callable[[Call], Awaitable[Sendable]]
Query = Mapping[str, Any] | Sequence[tuple[str, Any]]


class Api:
    """Asks for who looks: with their secret key, and for viewers with the host's, without the values."""

    def __init__(self, answer: AnswerCall, whole: Callable[[], ASGIApp] | None = None) -> None:
        """`answer` answers a call to the management API; it raises ProblemError and OutlastError.

        `whole` gives the whole application, which serves functions too.
        """
        self._answer = answer
        self._whole = whole

    async def get(self, call: Call, viewer: Viewer, path: str, query: Query = ()) -> dict[str, Any]:
        """The document at a raw `path`. Of recorded JSON its members are `Recorded`, for viewers `HIDDEN`.

        Raises ProblemError: the refusals of the API.
        """
        pairs = list(query.items() if isinstance(query, Mapping) else query)
        resource, columns = _find_resource(path)
        if not viewer.sees_values:
            if resource is None:
                raise ProblemError(viewer_refused("look at this"))
            check_filters(resource, [name for name, _ in pairs])
        answered = await self._ask(_request(call, viewer, "GET", path, pairs))
        return await run_by_size(len(answered.body), _read, answered.body, resource, columns, viewer)

    async def do(self, call: Call, viewer: Viewer, method: str, path: str, body: Any) -> Any:
        """Do a verb: `body` is sent as JSON. The document that is answered.

        Raises as `get`, and for viewers always.
        """
        viewer.check_may("do this")
        got = await self._ask(_request(call, viewer, method, path, body=to_json(body)))
        return from_json(got.body) if got.body else None

    async def openapi(self, call: Call, viewer: Viewer) -> dict[str, Any]:
        """The description of what can be called. Raises as `get`."""
        answered = await self._ask(_request(call, viewer, "GET", "/openapi.json"))
        document: dict[str, Any] = await run_by_size(len(answered.body), from_json, answered.body)
        return document

    async def call_function(
        self, call: Call, viewer: Viewer, path: str, body: Any, headers: Mapping[str, str]
    ) -> str:
        """Call a function by POST as anybody does; the id of its workflow. Raises ProblemError."""
        if not viewer.may_act or self._whole is None:
            raise ProblemError(viewer_refused("call functions"))
        fields = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers.items()]
        request = _request(call, viewer, "POST", path, body=to_json(body), headers=fields)
        got = Kept()
        await self._whole()(request.scope, request.receive, got)
        workflow_id = got.header(b"workflow-id")
        if got.status >= 400 or workflow_id is None:
            raise ProblemError(_refusal_in(got))
        return unquote(workflow_id)

    async def _ask(self, request: Call) -> Kept:
        got = Kept()
        try:
            await (await self._answer(request)).send(got)
        except OutlastError as error:
            # guard: refusals-of-the-engine-untold = None
            problem = expected_problem(error)
            if problem is None and not isinstance(error, ValidatorFailed):
                raise
            raise ProblemError(problem or tell_fault(request, error)) from error
        return got


def _request(
    call: Call,
    viewer: Viewer,
    method: str,
    path: str,
    query: Sequence[tuple[str, Any]] = (),
    body: bytes = b"",
    headers: Pairs | tuple[()] = (),
) -> Call:
    """A request of who looks, made here instead of read off a connection."""
    pairs = [(name, _text(value)) for name, value in query if value is not None]
    fields = [
        (b"host", (call.header(b"host") or "localhost").encode("latin-1")),
        *viewer.credentials,
        (b"accept", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *([(b"content-type", b"application/json")] if body else []),
        *headers,
    ]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": call.scope.get("scheme", "http"),
        "client": call.scope.get("client"),
        "server": call.scope.get("server"),
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": urlencode(pairs).encode(),
        "headers": fields,
    }
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop(0) if messages else await call.receive()

    return Call(scope, receive)


def _refusal_in(got: Kept) -> Problem:
    """What an answer that is a refusal says."""
    try:
        told = from_json(got.body)
        return Problem(str(told["code"]), str(told["detail"]), status=max(400, got.status))
    except (ValueError, TypeError, KeyError):
        return Problem("function_error", f"the function answered {got.status}", status=max(400, got.status))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _find_resource(path: str) -> tuple[Resource | None, tuple[Column, ...]]:
    """The resource that a path lists or shows one of, and the columns of its documents."""
    for each in sorted(RESOURCES, key=lambda each: -len(each.path)):
        if _matches(each.path, path):
            return each, each.columns
    for each in RESOURCES:
        if each.key and _matches(each.item_path, path):
            return each, WORKFLOW if each is WORKFLOWS else each.columns
    return None, ()


def _matches(template: str, path: str) -> bool:
    parts = re.split(r"\{\w+\}", template)
    return re.fullmatch("[^/]+".join(map(re.escape, parts)), path) is not None


def _read(
    body: bytes, resource: Resource | None, columns: Sequence[Column], viewer: Viewer
) -> dict[str, Any]:
    """An answer's document, with the recorded members as they are."""
    text = body.decode()
    recorded = frozenset(each.name for each in columns if each.recorded)
    if resource is None:
        document: dict[str, Any] = from_json(body)
        return document
    parts = dict(members(text))
    if resource.name not in parts or "next" not in parts:
        return _row(text, recorded, columns, viewer)
    rows = [_row(each, recorded, columns, viewer) for each in items(parts[resource.name])]
    return {resource.name: rows, "next": from_json(parts["next"])}


def _row(text: str, recorded: frozenset[str], columns: Sequence[Column], viewer: Viewer) -> dict[str, Any]:
    row = {
        name: Recorded(part) if name in recorded and part != "null" else from_json(part)
        for name, part in members(text)
    }
    return row if viewer.sees_values else hide(columns, row)
