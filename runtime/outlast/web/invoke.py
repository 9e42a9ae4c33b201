"""The way of a request to a workflow: who calls, which workflow it is, start or attach, wait, answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from pydantic_core import to_json

from outlast.core.clock import Clock
from outlast.core.errors import DatabaseUnavailable, InvalidJson, OutlastError, ShuttingDown
from outlast.core.names import fingerprint_of, fresh_workflow_id, parse_key, workflow_id_of
from outlast.core.records import NewWorkflow, Standing
from outlast.core.status import Status
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.http import Request
from outlast.web.answers import Answer
from outlast.web.calls import Call
from outlast.web.credentials import Admitted
from outlast.web.preferences import preference_of
from outlast.web.problems import Problem, ProblemError, problem_of
from outlast.web.results import ended_answer, location_of, pending_answer

_REGION = "forceFunctionRegion"
"""supabase-js adds it to the query; it says where to run, not what."""


class Engine(Protocol):
    """What of the engine an invocation needs."""

    clock: Clock

    async def start_new(
        self, new: NewWorkflow, definition: WorkflowDefinition, arguments: dict[str, Any] | None
    ) -> Standing | None:
        """Insert and run; None if it is new, else how the one that is there stands."""
        ...

    async def wait(self, workflow_id: str, timeout_s: float | None) -> Standing | None:
        """How the workflow ended; None if it hasn't in time."""
        ...


@dataclass(frozen=True, slots=True)
class Invocation:
    """A call that is a certain workflow: what to insert, or to attach to."""

    new: NewWorkflow
    definition: WorkflowDefinition
    arguments: dict[str, Any]


class Invoker:
    """Invokes workflows. Its limits: seconds to wait, bytes of a body, calls in flight of one caller."""

    def __init__(
        self, engine: Engine, sync_wait_s: float, body_bytes_max: int, calls_per_caller_max: int
    ) -> None:
        self._engine = engine
        self._sync_wait_s = sync_wait_s
        self._body_bytes_max = body_bytes_max
        self._calls_per_caller_max = calls_per_caller_max
        self._calls: Counter[str] = Counter()

    async def invoke(
        self,
        call: Call,
        admitted: Admitted,
        function: str,
        subpath: str,
        definition: WorkflowDefinition,
        version: str,
    ) -> Answer:
        """Answer a call of a workflow. Raises ProblemError, OutlastError, ClientGone."""
        check_method(call, definition.methods)
        with self._in_flight(call, admitted):
            invocation = await self.identify(call, admitted, function, subpath, definition, version)
            preference = preference_of(call.header_values(b"prefer"), self._sync_wait_s)
            workflow_id = invocation.new.workflow_id
            try:
                standing, replayed = await self.start(invocation)
                if standing is None or not standing.status.ended:
                    status = standing.status if standing is not None else Status.PENDING
                    standing = await self._wait(workflow_id, preference.wait_s)
                    if standing is None:
                        return pending_answer(workflow_id, status, preference.applied)
            except OutlastError as error:
                raise ProblemError(_refused(error, workflow_id)) from error
            answer = ended_answer(standing, replayed=replayed)
            if preference.applied is not None and "wait=" in preference.applied:
                answer.headers.append((b"preference-applied", preference.applied.encode()))
            return answer

    async def identify(
        self,
        call: Call,
        admitted: Admitted,
        function: str,
        subpath: str,
        definition: WorkflowDefinition,
        version: str,
    ) -> Invocation:
        """Which workflow the call is, and whether its input fits. Nothing is written yet."""
        key = parse_key(call.header_values(b"idempotency-key"))
        if key is None and definition.idempotency == "required":
            raise ProblemError(
                Problem(
                    400,
                    "idempotency_key_missing",
                    f"{function} must be called with an Idempotency-Key header",
                )
            )
        body = await call.body(self._body_bytes_max)
        query = _without_region(call.query)
        input_text, arguments = _bind(definition, body, query)
        request = Request(call.method, subpath, query.decode("latin-1"), call.text_headers(), body)
        workflow_id = (
            fresh_workflow_id(function) if key is None else workflow_id_of(function, admitted.subject, key)
        )
        timeout_s = definition.timeout_s
        new = NewWorkflow(
            workflow_id=workflow_id,
            function=function,
            input=input_text,
            request=request.record(with_body=input_text is None),
            idempotency_key=key,
            fingerprint=fingerprint_of(call.method, function, subpath, query, body),
            subject=admitted.subject,
            version=version,
            deadline_s=None if timeout_s is None else self._engine.clock.now_s() + timeout_s,
        )
        return Invocation(new, definition, arguments)

    async def start(self, invocation: Invocation) -> tuple[Standing | None, bool]:
        """Start the workflow or attach to it: how it stands (None: it is new), and whether it was there."""
        standing = await self._engine.start_new(invocation.new, invocation.definition, invocation.arguments)
        if standing is None:
            return None, False
        if not standing.status.ended and invocation.definition.duplicates == "conflict":
            raise ProblemError(
                Problem(
                    409,
                    "idempotency_conflict",
                    "a call with this idempotency key is still running",
                    retryable=True,
                    workflow_id=standing.workflow_id,
                    headers=(("retry-after", "1"),),
                )
            )
        return standing, True

    async def _wait(self, workflow_id: str, wait_s: float) -> Standing | None:
        return None if wait_s <= 0 else await self._engine.wait(workflow_id, wait_s)

    @contextmanager
    def _in_flight(self, call: Call, admitted: Admitted) -> Iterator[None]:
        """Count a caller's calls; past the limit 429, before a row exists. Secret keys have no limit."""
        if admitted.secret:
            yield
            return
        client = call.scope.get("client")
        caller = admitted.subject or (client[0] if client else "")
        if self._calls[caller] >= self._calls_per_caller_max:
            raise ProblemError(
                Problem(
                    429,
                    "rate_limited",
                    f"{self._calls_per_caller_max} calls of this caller are in flight",
                    retryable=True,
                    headers=(("retry-after", "1"),),
                )
            )
        self._calls[caller] += 1
        try:
            yield
        finally:
            self._calls[caller] -= 1
            if not self._calls[caller]:
                del self._calls[caller]


def check_method(call: Call, methods: tuple[str, ...]) -> None:
    """Let only these methods pass. Raises ProblemError (405)."""
    if call.method not in methods:
        allowed = ", ".join((*methods, "OPTIONS"))
        raise ProblemError(
            Problem(
                405,
                "METHOD_NOT_ALLOWED",
                f"{call.method} is not allowed here; use {allowed}",
                headers=(("allow", allowed),),
            )
        )


def _bind(definition: WorkflowDefinition, body: bytes, query: bytes) -> tuple[str | None, dict[str, Any]]:
    """The text for the `input` column and the arguments it is. Raises InvalidJson, InvalidInput."""
    inputs = definition.inputs
    if not inputs.reads_json:
        return None, {}
    if not body:
        values = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        text = to_json(values).decode()
        return text, inputs.bind_values(values)
    arguments = inputs.bind_json(body)
    try:
        return body.decode(), arguments
    except UnicodeDecodeError as error:
        raise InvalidJson(f"the body is not UTF-8: {error}") from None


def _without_region(query: bytes) -> bytes:
    if _REGION.encode() not in query:
        return query
    pairs = [
        pair for pair in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if pair[0] != _REGION
    ]
    return urlencode(pairs).encode()


def _refused(error: OutlastError, workflow_id: str) -> Problem:
    """An error after the workflow's id was known: the caller learns where to look, or that the key is safe."""
    problem = problem_of(error, workflow_id)
    if not isinstance(error, ShuttingDown | DatabaseUnavailable):
        return problem
    headers = (*problem.headers, ("location", location_of(workflow_id)))
    return Problem(problem.status, problem.code, problem.detail, True, workflow_id, problem.more, headers)
