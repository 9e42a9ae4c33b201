"""From a raw path and a method to what answers it.

Workflow ids hold any characters, `/` and a literal `%3A` among them. So paths are split as they were sent,
and an id is decoded exactly once: `scope["path"]`, decoded already, can't tell an id's own `/steps` from a
route's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import quote, unquote_to_bytes

from outlast.web.http.calls import Call, Sendable
from outlast.web.http.problems import Problem, ProblemError

FUNCTIONS = "/functions/v1/"
WORKFLOWS = "/workflows/v1"
MESSAGES = "/messages"


Endpoint = Callable[[Call], Awaitable[Sendable]]
WorkflowEndpoint = Callable[[Call, str], Awaitable[Sendable]]
TopicEndpoint = Callable[[Call, str, str], Awaitable[Sendable]]
T = TypeVar("T")


class Routes:
    """Endpoints by path and method, and those of one workflow by what follows its id ("" for nothing).

    Those of a topic, which follows an id and `messages`, get it as it was sent.
    """

    def __init__(
        self,
        fixed: Mapping[str, Mapping[str, Endpoint]],
        of_workflow: Mapping[str, Mapping[str, WorkflowEndpoint]],
        of_topic: Mapping[str, TopicEndpoint],
    ) -> None:
        self._fixed = fixed
        self._of_workflow = of_workflow
        self._of_topic = of_topic

    async def answer(self, call: Call) -> Sendable:
        """What the endpoint answers. Raises ProblemError, 404 and 405 among it."""
        path = raw_path(call)
        if (endpoints := self._fixed.get(path)) is not None:
            return await _of_method(call, endpoints)(call)
        rest = path.removeprefix(f"{WORKFLOWS}/")
        if rest == path:
            raise ProblemError(Problem(404, "NOT_FOUND", "nothing is served at this path"))
        before, _, topic = rest.rpartition("/")
        if topic and before.endswith(MESSAGES) and before != MESSAGES:
            workflow_id = before.removesuffix(MESSAGES)
            return await _of_method(call, self._of_topic)(call, decoded_id(workflow_id), topic)
        workflow_id, action = self._split(rest)
        return await _of_method(call, self._of_workflow[action])(call, decoded_id(workflow_id))

    def _split(self, rest: str) -> tuple[str, str]:
        """A raw id and what follows it. An id that ends like an action is sent with `%2F` before that."""
        workflow_id, _, action = rest.rpartition("/")
        return (workflow_id, action) if workflow_id and action in self._of_workflow and action else (rest, "")


def raw_path(call: Call) -> str:
    """The path as it was sent, percent-encoded. Servers that don't tell get it encoded anew."""
    raw: bytes | None = call.scope.get("raw_path")
    return quote(call.path) if raw is None else raw.decode("latin-1").partition("?")[0]


def decoded_id(raw: str) -> str:
    """A workflow id out of a raw path. Raises ProblemError (404) for bytes that no id can hold."""
    try:
        workflow_id = unquote_to_bytes(raw.encode("latin-1")).decode()
    except UnicodeDecodeError:
        raise ProblemError(workflow_not_found(None)) from None
    if "\0" in workflow_id:
        raise ProblemError(workflow_not_found(None))
    return workflow_id


def decoded_topic(raw: str) -> str | None:
    """A topic out of a raw path; None for bytes that no topic can hold."""
    try:
        topic = unquote_to_bytes(raw.encode("latin-1")).decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in topic else topic


def workflow_not_found(workflow_id: str | None) -> Problem:
    """404 for an id that names nothing, or nothing that this caller may see."""
    return Problem(404, "workflow_not_found", "there is no workflow with this id", workflow_id=workflow_id)


def _of_method(call: Call, endpoints: Mapping[str, T]) -> T:
    """The endpoint of the call's method; HEAD is GET, whose body the server leaves out."""
    method = "GET" if call.method == "HEAD" else call.method
    if (endpoint := endpoints.get(method)) is not None:
        return endpoint
    names = [name for each in endpoints for name in ((each, "HEAD") if each == "GET" else (each,))]
    allowed = ", ".join((*names, "OPTIONS"))
    detail = f"{call.method} is not allowed here; use {allowed}"
    raise ProblemError(Problem(405, "METHOD_NOT_ALLOWED", detail, headers=(("allow", allowed),)))
