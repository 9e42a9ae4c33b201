"""A workflow's state or result as an HTTP answer: the same bytes for the first caller and every later one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pydantic_core import to_json

from outlast.core.errors import OutlastError
from outlast.core.outcomes import public_error
from outlast.core.records import WorkflowState
from outlast.core.status import Status
from outlast.sdk.http import Response
from outlast.web.http.answers import JSON, NO_STORE, Answer, Pairs, json_answer, text_pairs
from outlast.web.http.problems import Problem, problem_of

_OURS = frozenset({b"workflow-id", b"workflow-generation", b"cache-control", b"idempotency-replayed"})
_UNQUOTED = re.compile(r"[A-Za-z0-9_.~:-]*")
_STATUSES = {"workflow_cancelled": 409, "expired": 409, "invalid_input": 422}
_REPLAYED = {True: (b"idempotency-replayed", b"true"), False: (b"idempotency-replayed", b"false")}


def location_of(workflow_id: str) -> str:
    """Where a workflow's status is."""
    plain = _UNQUOTED.fullmatch(workflow_id) is not None
    return f"/workflows/v1/{workflow_id if plain else quote(workflow_id, safe=':~')}"


def accepted_headers(workflow_id: str) -> Pairs:
    """Header fields of every accepted call."""
    location = location_of(workflow_id).encode()
    return [
        (b"workflow-id", header_text(workflow_id).encode()),
        NO_STORE,
        (b"link", b'<%b>; rel="status"' % location),
    ]


def generation_header(generation: int) -> Pairs:
    """The header field of a workflow that was retried: how often it ran to an end."""
    return [] if generation == 1 else [(b"workflow-generation", str(generation).encode())]


def header_text(workflow_id: str) -> str:
    """The id for a header field: percent-encoded if it has characters that a header can't have."""
    if workflow_id.isascii() and workflow_id.isprintable():
        return workflow_id
    return quote(workflow_id, safe=":~ ")


def ended_answer(
    state: WorkflowState, *, replayed: bool, secret: bool = False, applied: str | None = None
) -> Answer:
    """The answer of a workflow that ended. `applied` is the part of `Prefer` that was applied.

    A holder of a `secret` key is told where to see more of a failure.
    """
    answer = _recorded_answer(state, secret)
    answer.headers = [pair for pair in answer.headers if pair[0] not in _OURS]
    answer.headers += [
        *accepted_headers(state.workflow_id),
        *generation_header(state.generation),
        _REPLAYED[replayed],
        *_applied_header(applied),
    ]
    return answer


def pending_answer(
    workflow_id: str, status: Status, applied: str | None, held: Mapping[str, Any] | None = None
) -> Answer:
    """202: the workflow goes on, with the address of its status; or it is `held`, with the reason."""
    headers = [*accepted_headers(workflow_id), (b"location", location_of(workflow_id).encode())]
    headers += [JSON, (b"retry-after", b"1"), *_applied_header(applied)]
    document: dict[str, Any] = {"workflow_id": workflow_id, "status": status.value}
    if held is not None:
        document["held"] = held
    return Answer(202, to_json(document), headers)


def problem_with_location(error: OutlastError, workflow_id: str) -> Problem:
    """The problem, with the workflow's location: it goes on, or may have started."""
    problem = problem_of(error, workflow_id)
    return replace(problem, headers=(*problem.headers, ("location", location_of(workflow_id))))


def exception_answer(
    status: int, detail: Any, headers: Iterable[tuple[str, str]], workflow_id: str | None = None
) -> Answer:
    """The answer for an HTTPException: a text becomes a problem, any other detail is sent as JSON."""
    code = "http_exception"
    if detail is None or isinstance(detail, str):
        text = detail or "the function refused the call"
        answer = Problem(code, text, workflow_id, status=status).answer()
    else:
        answer = json_answer(detail, status, [(b"sb-error-code", code.encode())])
    own = text_pairs(headers)
    named = {name for name, _ in own}
    answer.headers = [pair for pair in answer.headers if pair[0] not in named] + own
    return answer


def _recorded_answer(state: WorkflowState, secret: bool) -> Answer:
    if state.status is Status.SUCCESS:
        if state.response is None:
            return Answer(200, (state.output or "null").encode(), [JSON])
        response = Response.from_record(state.response, state.output)
        return Answer(response.status, response.body, text_pairs(response.headers.pairs()))
    public = public_error(state.error)
    if public["code"] == "http_exception":
        return exception_answer(
            public["status"], public["detail"], public["headers"], workflow_id=state.workflow_id
        )
    status = _STATUSES.get(public["code"], 500)
    message = public["message"]
    if secret and status == 500:
        message += f": {_where_to_look(state.workflow_id)}"
    return Problem(public["code"], message, state.workflow_id, status=status).answer()


def _where_to_look(workflow_id: str) -> str:
    return f"see GET {location_of(workflow_id)}, or `outlast workflows show {shlex.quote(workflow_id)}`"


def _applied_header(preferences: str | None) -> Pairs:
    return [] if preferences is None else [(b"preference-applied", preferences.encode())]
