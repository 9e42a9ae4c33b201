"""From a raw path and a method to what answers it.

Workflow ids hold any characters, `/` and a literal `%3A` among them. So paths are split as they were sent,
and an id is decoded exactly once: `scope["path"]`, decoded already, can't tell an id's own `/steps` from a
route's.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from urllib.parse import quote, unquote_to_bytes

from outlast.web.http.calls import Call, Sendable
from outlast.web.http.problems import Problem, ProblemError

FUNCTIONS = "/functions/v1/"
_WORKFLOW_ID = "{workflow_id}"

Endpoint = Callable[..., Awaitable[Sendable]]
"""Takes the call and a value for each placeholder of its template."""


class Routes:
    """Endpoints by method and template: `/workflows/v1/{workflow_id}/steps`. The first that fits is taken.

    A workflow's id may be sent with slashes in it, and is handed over decoded. Any other placeholder stands
    for what is between two slashes, and is handed over as it was sent.
    """

    def __init__(self, routes: Iterable[tuple[str, str, Endpoint]]) -> None:
        by_template: dict[str, dict[str, Endpoint]] = {}
        for method, template, endpoint in routes:
            by_template.setdefault(template, {}).setdefault(method, endpoint)
        self._routes = [(_pattern(template), endpoints) for template, endpoints in by_template.items()]

    async def answer(self, call: Call) -> Sendable:
        """The endpoint's answer. Raises ProblemError, such as 404 and 405."""
        path = raw_path(call)
        for pattern, endpoints in self._routes:
            if (found := pattern.fullmatch(path)) is not None:
                endpoint = _of_method(call, endpoints)
                values = found.groupdict()
                if "workflow_id" in values:
                    values["workflow_id"] = decode_id(values["workflow_id"])
                return await endpoint(call, *values.values())
        raise ProblemError(Problem("NOT_FOUND", "nothing is served at this path"))


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("".join(map(_part, re.split(r"(\{\w+\})", template))), re.DOTALL)


def _part(part: str) -> str:
    if part == _WORKFLOW_ID:
        return "(?P<workflow_id>.+)"
    return f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part)


def raw_path(call: Call) -> str:
    """The path as it was sent, percent-encoded. It is encoded again if the server doesn't give it."""
    raw: bytes | None = call.scope.get("raw_path")
    return quote(call.path) if raw is None else raw.decode("latin-1").partition("?")[0]


def decode_id(raw: str) -> str:
    """A workflow id out of a raw path. Raises ProblemError (404) for bytes that no id can hold."""
    try:
        workflow_id = unquote_to_bytes(raw.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise ProblemError(workflow_not_found(None)) from None
    if "\0" in workflow_id:
        raise ProblemError(workflow_not_found(None))
    return workflow_id


def decode_topic(raw: str) -> str | None:
    """A topic out of a raw path; None for bytes that no topic can hold."""
    try:
        topic = unquote_to_bytes(raw.encode("latin-1")).decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in topic else topic


def workflow_not_found(workflow_id: str | None) -> Problem:
    """404: there is no such workflow, or this caller may not see it."""
    return Problem("workflow_not_found", "there is no workflow with this id", workflow_id=workflow_id)


def _of_method(call: Call, endpoints: Mapping[str, Endpoint]) -> Endpoint:
    """The endpoint of the call's method; HEAD is GET, whose body the server leaves out."""
    method = "GET" if call.method == "HEAD" else call.method
    if (endpoint := endpoints.get(method)) is not None:
        return endpoint
    names = [name for each in endpoints for name in ((each, "HEAD") if each == "GET" else (each,))]
    allowed = ", ".join((*names, "OPTIONS"))
    detail = f"{call.method} is not allowed here; use {allowed}"
    raise ProblemError(Problem("METHOD_NOT_ALLOWED", detail, headers=(("allow", allowed),)))
