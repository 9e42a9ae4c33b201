"""From a raw path and a method to what answers it.

Workflow ids hold any characters, `/` and a literal `%3A` among them. So paths are split as they were sent,
and an id is decoded exactly once: `scope["path"]`, decoded already, can't tell an id's own `/steps` from a
route's.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from urllib.parse import quote, unquote_to_bytes

from outlast.core.resources import RESOURCES, WORKFLOWS, Resource
from outlast.web.http.calls import Call, Sendable
from outlast.web.http.problems import Problem, ProblemError

FUNCTIONS = "/functions/v1/"
DASHBOARD = "/dashboard"

Endpoint = Callable[..., Awaitable[Sendable]]
"""Takes the call and a value for each placeholder of its template."""


class Routes:
    """Endpoints by method and template: `/workflows/v1/{workflow_id}/steps`. The first that fits is taken.

    The key of a resource is passed decoded. A workflow's id may be sent with slashes in it; any other
    placeholder is the text between two slashes, and is passed as it was sent.
    """

    def __init__(self, routes: Iterable[tuple[str, str, Endpoint]]) -> None:
        by_template: dict[str, dict[str, Endpoint]] = {}
        for method, template, endpoint in routes:
            by_template.setdefault(template, {}).setdefault(method, endpoint)
        self._routes = [
            (_pattern(template), _resource_of(template), endpoints)
            for template, endpoints in by_template.items()
        ]

    async def answer(self, call: Call) -> Sendable:
        """The endpoint's answer. Raises ProblemError, such as 404 and 405."""
        path = raw_path(call)
        for pattern, resource, endpoints in self._routes:
            if (found := pattern.fullmatch(path)) is not None:
                endpoint = _of_method(call, endpoints)
                values = found.groupdict()
                if resource is not None:
                    values[resource.key] = _decode_key(resource, values[resource.key])
                return await endpoint(call, *values.values())
        raise ProblemError(Problem("NOT_FOUND", "nothing is served at this path"))


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("".join(map(_part, re.split(r"(\{\w+\})", template))), re.DOTALL)


def _part(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    name = part[1:-1]
    return f"(?P<{name}>{'.' if name == WORKFLOWS.key else '[^/]'}+)"


def _resource_of(template: str) -> Resource | None:
    """The resource whose key is in a template."""
    return next((each for each in RESOURCES if each.key and template.startswith(each.item_path)), None)


def raw_path(call: Call) -> str:
    """The path as it was sent, percent-encoded. It is encoded again if the server doesn't give it."""
    raw: bytes | None = call.scope.get("raw_path")
    return quote(call.path) if raw is None else raw.decode("latin-1").partition("?")[0]


def _decode_key(resource: Resource, raw: str) -> str:
    """The key in a raw path. Raises ProblemError (404) if no row can have it."""
    key = decode_part(raw)
    if key is None:
        raise ProblemError(not_found(resource, None))
    return key


def decode_part(raw: str) -> str | None:
    """The decoded part of a raw path; None for bytes that no text of Postgres can hold."""
    try:
        text = unquote_to_bytes(raw.encode("latin-1")).decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def not_found(resource: Resource, key: str | None) -> Problem:
    """404: there is no such row, or this caller may not see it."""
    detail = f"there is no {resource.one} with this {'id' if resource.key.endswith('_id') else 'name'}"
    code = f"{resource.one}_not_found"
    if resource is WORKFLOWS:
        return Problem(code, detail, workflow_id=key)
    return Problem(code, detail, more={resource.key: key}, status=404)


def _of_method(call: Call, endpoints: Mapping[str, Endpoint]) -> Endpoint:
    """The endpoint of the call's method; HEAD is GET, whose body the server leaves out."""
    method = "GET" if call.method == "HEAD" else call.method
    if (endpoint := endpoints.get(method)) is not None:
        return endpoint
    names = [name for each in endpoints for name in ((each, "HEAD") if each == "GET" else (each,))]
    allowed = ", ".join((*names, "OPTIONS"))
    detail = f"{call.method} is not allowed here; use {allowed}"
    raise ProblemError(Problem("METHOD_NOT_ALLOWED", detail, headers=(("allow", allowed),)))
