"""A call's progress as server-sent events: steps and published events as they come, then the result."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic_core import from_json
from starlette.types import Send

from outlast.core.errors import OutlastError
from outlast.core.events import event_of
from outlast.core.holds import public_hold
from outlast.core.records import WorkflowState
from outlast.engine.engine import Engine
from outlast.functions.routes import Target
from outlast.sdk.definitions import WorkflowDefinition
from outlast.store.workflows import PostgresWorkflows
from outlast.web.callers.admission import Admitted
from outlast.web.callers.shares import Shares
from outlast.web.http.answers import JSON
from outlast.web.http.calls import Call
from outlast.web.http.documents import Verbatim, document, event_document
from outlast.web.http.problems import Problem, ProblemError
from outlast.web.invoking.following import LOOK_MAX, follow, told_of
from outlast.web.invoking.invoke import Begun, Invoker
from outlast.web.invoking.preferences import last_event_id, resumes_after
from outlast.web.invoking.results import accepted_headers, ended_answer
from outlast.web.invoking.sending import EVENT_STREAM, send_event


class Streamer:
    """Streams what a workflow does. Event ids are completion orders; the result has the next number."""

    def __init__(self, engine: Engine, invoker: Invoker, shares: Shares, steps: PostgresWorkflows) -> None:
        self._engine = engine
        self._shares = shares
        self._invoker = invoker
        self._steps = steps

    async def stream(
        self, call: Call, admitted: Admitted, target: Target, definition: WorkflowDefinition, send: Send
    ) -> None:
        """Start or attach, then send events until the end. Errors before the start are plain answers."""
        _check_named(call)
        with self._shares.count_stream(call, admitted):
            begun = await self._invoker.begin(call, admitted, target, definition)
            headers = [*accepted_headers(begun.workflow_id), EVENT_STREAM]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            status = {"workflow_id": begun.workflow_id, "status": begun.status.value}
            # The first event has a number, so that a client that was cut off sends it when it reconnects.
            await send_event(send, "status", document(status), last_event_id(call))
            try:
                await self._follow(call, admitted, begun, send)
            except (OutlastError, ProblemError) as error:
                await send_event(send, "error", told_of(error, begun.workflow_id))
            await send({"type": "http.response.body", "body": b""})

    async def _follow(self, call: Call, admitted: Admitted, begun: Begun, send: Send) -> None:
        """Send the events that the caller hasn't seen, and the result when the workflow has ended."""
        seen = last_event_id(call)

        async def tell(row: dict[str, Any]) -> None:
            if row["completion_order"] > seen:
                kind, data = _document(row)
                await send_event(send, kind, data, row["completion_order"])

        async def tell_held(state: WorkflowState) -> None:
            held = public_hold(state.held, whole=admitted.secret)
            told = {"workflow_id": begun.workflow_id, "status": state.status.value, "held": held}
            # Without a number: it is no record, and what comes next resumes from the last one.
            await send_event(send, "status", document(told))

        rows_after = partial(self._steps.steps_after, begun.workflow_id, limit=LOOK_MAX)
        ended, order = await follow(
            self._engine,
            call,
            begun.workflow_id,
            rows_after,
            tell,
            send,
            ended=begun.take_ended(),
            lasts_s=admitted.lasts_s(self._invoker.now_s()),
            tell_held=tell_held,
        )

        seen_end: WorkflowState | None = ended
        del ended

        async def result() -> Verbatim:
            nonlocal seen_end
            # Without room now, the result is read once more later.
            state = seen_end or await self._engine.wait(begun.workflow_id, None)
            seen_end = None
            assert state is not None  # a wait without a limit
            return document(_result(state, begun.replayed, admitted.secret))

        async with call.hold(result, Verbatim.size) as data:
            await send_event(send, "result", data, order + 1)


def _check_named(call: Call) -> None:
    """Refuse to resume a stream of a call without a key. Raises ProblemError.

    It would be another workflow. An EventSource, which can't send a key, would begin one every few seconds:
    it comes again whenever a stream ends, unless a status other than 200 tells it not to (HTML, 9.2.3).
    """
    if resumes_after(call) is not None and call.key is None and not call.header_values(b"idempotency-key"):
        detail = (
            "Last-Event-ID resumes the stream of a call, which only an Idempotency-Key names; "
            "send both, or neither to call anew"
        )
        raise ProblemError(Problem("idempotency_key_missing", detail))


def _document(row: dict[str, Any]) -> tuple[str, Verbatim]:
    """A published event with its value, or of a step only how it ended."""
    event = event_of(row["name"], row["kind"])
    if event is not None:
        named = {"number": row["completion_order"], "event": event, "value": row["value"]}
        return "event", event_document({**named, "published_at": row["completed_at"]})
    step = {
        "step_id": row["step_id"],
        "name": row["name"],
        "status": "SUCCESS" if row["succeeded"] else "ERROR",
        "completed_at": row["completed_at"],
    }
    return "step", document(step)


def _result(state: WorkflowState, replayed: bool, secret: bool) -> dict[str, Any]:
    answer = ended_answer(state, replayed=replayed, secret=secret)
    body: Any = None
    if answer.body:
        body = from_json(answer.body) if JSON in answer.headers else answer.body.decode("utf-8", "replace")
    return {"status": answer.status, "replayed": replayed, "body": body}
