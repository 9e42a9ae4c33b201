"""The way of a request to a workflow: who calls, which workflow it is, start or attach, wait, answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Send

from outlast.core.clock import monotonic
from outlast.core.errors import (
    DatabaseUnavailable,
    InvalidJson,
    InvalidKey,
    NotSerializable,
    OutlastError,
    QueueBusy,
)
from outlast.core.holds import public_hold
from outlast.core.names import fingerprint_of, is_uuid, parse_key, workflow_id_of
from outlast.core.observations import CallWaited, Observer, ignore
from outlast.core.records import NewWorkflow, WorkflowState
from outlast.core.status import Status
from outlast.engine.engine import Engine
from outlast.engine.new_workflows import new_workflow
from outlast.functions.routes import Target
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.forms import Fields
from outlast.sdk.requests import record_request
from outlast.web.callers.admission import ANONYMOUS, Admitted
from outlast.web.callers.shares import Shares
from outlast.web.http.answers import Answer, ClientGone
from outlast.web.http.bodies import BodyLimits, refuse_encoded
from outlast.web.http.calls import Call, run_by_size
from outlast.web.http.problems import Problem, ProblemError, nul_character
from outlast.web.invoking.preferences import placement_of, preference_of
from outlast.web.invoking.results import ended_answer, pending_answer, problem_with_location

_REGION = b"forceFunctionRegion"
"""Clients add it to the query. It says where to run, and so isn't part of the call."""

_ANONYMOUS_KEY = (
    "anonymous callers share one space of keys: the Idempotency-Key must be a UUID, which nobody can guess"
)

_SOON_S = 1.0
"""Most calls end within this time. Only after it the client is watched, which costs two tasks."""


@dataclass(slots=True)
class Begun:
    """A workflow that a call has started or attached to (`replayed`)."""

    workflow_id: str
    status: Status
    replayed: bool
    _ended: WorkflowState | None = None

    def take_ended(self) -> WorkflowState | None:
        """The state of a workflow that had ended before the call; only once, so that its result isn't kept
        here.
        """
        ended, self._ended = self._ended, None
        return ended


class _Refused(Exception):
    """The call isn't accepted now: the function's code has changed, or the caller has too many.

    The very same call may have been accepted before.
    """

    def __init__(self, workflow_id: str, fingerprint: str, why: OutlastError | ProblemError) -> None:
        super().__init__()
        self.workflow_id = workflow_id
        self.fingerprint = fingerprint
        self.why = why


class Invoker:
    """Invokes workflows. Its limits: seconds to wait, bytes of a body, what callers may start."""

    def __init__(
        self,
        engine: Engine,
        sync_wait_s: float,
        bodies: BodyLimits,
        shares: Shares,
        observe: Observer = ignore,
    ) -> None:
        self._engine = engine
        self._observe = observe
        self._sync_wait_s = sync_wait_s
        self._bodies = bodies
        self._shares = shares

    async def invoke(
        self, call: Call, admitted: Admitted, target: Target, definition: WorkflowDefinition, send: Send
    ) -> None:
        """Answer a call of a workflow. Raises ProblemError, OutlastError, ClientGone."""
        began = monotonic()
        preference = preference_of(call.header_values(b"prefer"), self._sync_wait_s)
        begun = await self.begin(call, admitted, target, definition)
        if preference.applied is None and _is_acknowledged(definition):
            await pending_answer(begun.workflow_id, begun.status, None).send(send)
            return
        wait_s = preference.wait_s

        async def answer() -> Answer:
            nonlocal wait_s
            ended = begun.take_ended() or await self._wait(call, begun.workflow_id, wait_s)
            if ended is None:
                return pending_answer(begun.workflow_id, begun.status, preference.applied)
            if not ended.status.ended:  # it is held: nobody knows for how long
                held = public_hold(ended.held, whole=admitted.secret)
                return pending_answer(begun.workflow_id, ended.status, preference.applied, held)
            wait_s = max(wait_s, _SOON_S)  # without room now, the result is read once more later
            waited = preference.applied if preference.wait_s > 0 else None
            return ended_answer(ended, replayed=begun.replayed, secret=admitted.secret, applied=waited)

        await call.answer(answer, send)
        if preference.wait_s > 0 and call.header(b"traceparent") is not None:
            self._tell_wait(call, begun.workflow_id, target.function, monotonic() - began)

    def _tell_wait(self, call: Call, workflow_id: str, function: str, duration_s: float) -> None:
        known = ((name, call.header(name.encode())) for name in ("traceparent", "tracestate"))
        headers = tuple((name, value) for name, value in known if value is not None)
        self._observe(CallWaited(workflow_id, function, headers, duration_s))

    async def begin(
        self, call: Call, admitted: Admitted, target: Target, definition: WorkflowDefinition
    ) -> Begun:
        """Start the call's workflow, or attach to it. Raises ProblemError, OutlastError, ClientGone."""
        check_method(call, definition.methods)
        try:
            new, arguments = await self._identify(call, admitted, target, definition)
            await self._may_start(call, admitted, new)
        except _Refused as refused:
            return _attach(await self._find_taken(refused), definition)
        try:
            state = await self._engine.starts.start_new(new, definition, arguments, admitted.token)
        except DatabaseUnavailable as error:  # it may have started
            raise ProblemError(problem_with_location(error, new.workflow_id)) from error
        except QueueBusy as error:
            if error.workflow_id is None:
                raise
            raise ProblemError(problem_with_location(error, error.workflow_id)) from error
        finally:
            call.release()  # from here on the engine counts what is in memory
        if state is None:
            status = Status.ENQUEUED if new.waits else Status.PENDING
            return Begun(new.workflow_id, status, replayed=False)
        return _attach(state, definition)

    async def _may_start(self, call: Call, admitted: Admitted, new: NewWorkflow) -> None:
        """Raise ProblemError (429) if the caller has too many; _Refused with a key, as that may exist."""
        try:
            await self._shares.may_start(call, admitted, new.workflow_id)
        except ProblemError as error:
            # guard: known-keys-limited = True
            if new.idempotency_key is None or new.fingerprint is None:
                raise
            raise _Refused(new.workflow_id, new.fingerprint, error) from error

    async def _find_taken(self, refused: _Refused) -> WorkflowState:
        """The workflow of the very same call, which the code of that time accepted.

        Raises why it isn't accepted now.
        """
        state = await self._engine.starts.look(refused.workflow_id)
        if state is None or state.fingerprint != refused.fingerprint:
            raise refused.why
        return state

    def now_s(self) -> float:
        """Unix time in seconds, as the engine knows it."""
        return self._engine.clock.now_s()

    async def _identify(
        self, call: Call, admitted: Admitted, target: Target, definition: WorkflowDefinition
    ) -> tuple[NewWorkflow, dict[str, Any]]:
        """The workflow of the call, and the arguments if its input fits. Nothing is written yet.

        Raises _Refused if it has a key but doesn't fit.
        """
        function = target.function
        key = call.key or parse_key(call.header_values(b"idempotency-key"))
        if key is None and definition.idempotency == "required":
            raise ProblemError(_key_missing(function))
        # guard: guessable-keys-of-strangers
        if key is not None and admitted.space == ANONYMOUS and not is_uuid(key):
            raise InvalidKey(_ANONYMOUS_KEY)
        body = await self._body(call, admitted, definition)
        keyed_as = await self._engine.starts.keyed_as(target.function, definition, admitted.space, key)
        identified = partial(self._build_new, call, admitted, target, definition, key, keyed_as, body)
        return await run_by_size(len(body), identified)

    async def _body(self, call: Call, admitted: Admitted, definition: WorkflowDefinition) -> bytes:
        bytes_max = self._bodies.limit_of(definition.body_bytes_max)
        if not definition.inputs.reads_json:
            return await call.body(bytes_max)
        refuse_encoded(call)
        return await call.json_body(bytes_max)

    def _build_new(
        self,
        call: Call,
        admitted: Admitted,
        target: Target,
        definition: WorkflowDefinition,
        key: str | None,
        keyed_as: str,
        body: bytes,
    ) -> tuple[NewWorkflow, dict[str, Any]]:
        """The rest, which takes a while for a large body, so it may run in a thread.

        `keyed_as`: the name of the function to which its key belongs.
        """
        query = _drop_region(call.query)
        # A webhook's query isn't signed, so it doesn't distinguish deliveries.
        meant = query if definition.webhook is None else b""
        workflow_id = workflow_id_of(target.function if key is None else keyed_as, admitted.space, key)
        fingerprint = fingerprint_of(call.method, keyed_as, target.subpath, meant, body)
        try:
            input_text, arguments = _bind(definition, body, query)
            new = new_workflow(
                workflow_id,
                target.function,
                definition,
                input_text,
                version=target.version,
                now_s=self._engine.clock.now_s(),
                key=key,
                subject=admitted.subject,
                claims=admitted.record,
                request=_record(call, target, definition, body if input_text is None else None),
                fingerprint=fingerprint,
                placement=placement_of(call, definition, secret=admitted.secret),
            )
        except (OutlastError, ProblemError) as error:
            # guard: known-keys-refused
            if key is not None:
                raise _Refused(workflow_id, fingerprint, error) from error
            raise
        return new, arguments

    async def _wait(self, call: Call, workflow_id: str, wait_s: float) -> WorkflowState | None:
        """How the workflow ended, or that it is held; None after `wait_s`.

        Raises ProblemError, ClientGone.
        """
        if wait_s <= 0:
            return None
        try:
            ended = await self._engine.wait(workflow_id, min(wait_s, _SOON_S), or_held=True)
            if ended is None and wait_s > _SOON_S:
                ended = await self._wait_watching(call, workflow_id, wait_s - _SOON_S)
        except OutlastError as error:  # the workflow has started all the same
            raise ProblemError(problem_with_location(error, workflow_id)) from error
        return ended

    async def _wait_watching(self, call: Call, workflow_id: str, wait_s: float) -> WorkflowState | None:
        """Go on waiting until the client goes away: then nothing is kept for it."""
        loop = asyncio.get_running_loop()
        waiting = loop.create_task(self._engine.wait(workflow_id, wait_s, or_held=True))
        leaving = loop.create_task(call.until_gone())
        try:
            await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientGone
            return waiting.result()
        finally:
            waiting.cancel()
            leaving.cancel()


def check_method(call: Call, methods: tuple[str, ...]) -> None:
    """Raise ProblemError (405) for any other method."""
    if call.method not in methods:
        allowed = ", ".join((*methods, "OPTIONS"))
        detail = f"{call.method} is not allowed here; use {allowed}"
        raise ProblemError(Problem("METHOD_NOT_ALLOWED", detail, headers=(("allow", allowed),)))


def _attach(state: WorkflowState, definition: WorkflowDefinition) -> Begun:
    """An attached call. If the workflow was itself attached to another one, that one."""
    if state.status.ended:
        return Begun(state.workflow_id, state.status, replayed=True, _ended=state)
    if definition.duplicates == "conflict":
        raise ProblemError(_conflict(state.workflow_id))
    return Begun(state.workflow_id, state.status, replayed=True)


def _record(call: Call, target: Target, definition: WorkflowDefinition, body: bytes | None) -> str | None:
    query = call.query.decode("latin-1")
    return record_request(call.method, target.subpath, query, call.text_pairs(), body, definition.headers)


def _bind(definition: WorkflowDefinition, body: bytes, query: bytes) -> tuple[str | None, dict[str, Any]]:
    """The text for the `input` column, and its arguments.

    Raises InvalidJson, InvalidInput, and ProblemError (400) for NUL.
    """
    if not definition.inputs.reads_json:
        return None, {}
    if body or definition.webhook is not None:  # its query isn't signed
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise InvalidJson(f"the body is no JSON: it is not UTF-8 ({error.reason})") from None
    else:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        text = definition.inputs.json_of_query(Fields(pairs))
    try:
        # guard: input-not-validated = (text, None)
        return text, definition.inputs.take_json(body or text)
    except NotSerializable as error:
        raise nul_character(error) from None


def _is_acknowledged(definition: WorkflowDefinition) -> bool:
    """Whether a webhook's sender is only told that the delivery is durable, even if the workflow has ended.

    Told of a failure, it would send again what has failed for good, or stop sending.
    """
    return definition.webhook is not None and definition.webhook.at_once


def _drop_region(query: bytes) -> bytes:
    """The query without the region. The rest stays unchanged, because it is part of the fingerprint."""
    if _REGION not in query:
        return query
    return b"&".join(pair for pair in query.split(b"&") if pair.partition(b"=")[0] != _REGION)


def _key_missing(function: str) -> Problem:
    detail = f"{function} must be called with an Idempotency-Key header"
    return Problem("idempotency_key_missing", detail)


def _conflict(workflow_id: str) -> Problem:
    return Problem(
        "idempotency_conflict",
        "a call with this idempotency key is still running",
        workflow_id=workflow_id,
        headers=(("retry-after", "1"),),
    )
