"""A workflow's progress as server-sent events: each recorded step as it comes, then the result."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic_core import from_json, to_json
from starlette.types import Send

from outlast.core.errors import OutlastError
from outlast.core.records import Standing
from outlast.core.status import Status
from outlast.sdk.definitions import WorkflowDefinition
from outlast.web.calls import Call
from outlast.web.credentials import Admitted
from outlast.web.invoke import Engine, Invoker, check_method
from outlast.web.problems import problem_of
from outlast.web.results import accepted_headers, ended_answer

POLL_S = 0.2
PING_S = 15.0


class Steps(Protocol):
    """Where recorded steps are read."""

    async def steps_after(self, workflow_id: str, order: int) -> list[dict[str, Any]]:
        """Completions later than the `order`-th."""
        ...


def wants_stream(call: Call) -> bool:
    """Whether the caller asks for events rather than for the result alone."""
    return "text/event-stream" in (call.header(b"accept") or "")


class Streamer:
    """Streams what a workflow does. Event ids are the steps' order of completion."""

    def __init__(self, engine: Engine, invoker: Invoker, steps: Steps) -> None:
        self._engine = engine
        self._invoker = invoker
        self._steps = steps

    async def stream(
        self,
        call: Call,
        admitted: Admitted,
        function: str,
        subpath: str,
        definition: WorkflowDefinition,
        version: str,
        send: Send,
    ) -> None:
        """Start or attach, then send events until the end. Errors before the start are plain answers."""
        check_method(call, definition.methods)
        invocation = await self._invoker.identify(call, admitted, function, subpath, definition, version)
        standing, replayed = await self._invoker.start(invocation)
        workflow_id = invocation.new.workflow_id
        headers = [*accepted_headers(workflow_id), (b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        status = standing.status if standing is not None else Status.PENDING
        await _send_event(send, "status", {"workflow_id": workflow_id, "status": status.value})
        seen = _last_event_id(call)
        if standing is not None and not standing.status.ended:
            standing = None
        try:
            seen, standing = await self._follow(workflow_id, seen, standing, send)
            await _send_event(send, "result", _result(standing, replayed), seen + 1)
        except OutlastError as error:
            problem = from_json(problem_of(error, workflow_id).answer().body)
            await _send_event(send, "error", problem)
        await send({"type": "http.response.body", "body": b""})

    async def _follow(
        self, workflow_id: str, seen: int, standing: Standing | None, send: Send
    ) -> tuple[int, Standing]:
        """Send steps until the workflow has ended; the last one's number, and how it ended."""
        silent_s = 0.0
        while True:
            ended = standing or await self._engine.wait(workflow_id, POLL_S)
            steps = await self._steps.steps_after(workflow_id, seen)
            for step in steps:
                seen = step["completion_order"]
                event = {"step_id": step["step_id"], "name": step["name"]}
                event["status"] = "SUCCESS" if step["succeeded"] else "ERROR"
                event["completed_at"] = step["completed_at"].isoformat()
                await _send_event(send, "step", event, seen)
            if ended is not None:
                return seen, ended
            silent_s = 0.0 if steps else silent_s + POLL_S
            if silent_s >= PING_S:
                silent_s = 0.0
                await send({"type": "http.response.body", "body": b": still running\n\n", "more_body": True})


def _result(standing: Standing, replayed: bool) -> dict[str, Any]:
    answer = ended_answer(standing, replayed=replayed)
    document: dict[str, Any] = {"status": answer.status, "replayed": replayed}
    try:
        document["body"] = from_json(answer.body) if answer.body else None
    except ValueError:
        document["body"] = answer.body.decode("utf-8", "replace")
    return document


def _last_event_id(call: Call) -> int:
    text = call.header(b"last-event-id") or ""
    return int(text) if text.isdigit() and len(text) < 10 else 0


async def _send_event(send: Send, event: str, data: dict[str, Any], number: int | None = None) -> None:
    lines = [f"event: {event}"] + ([f"id: {number}"] if number is not None else [])
    text = "\n".join([*lines, f"data: {to_json(data).decode()}", "", ""])
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
