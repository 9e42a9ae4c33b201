"""A workflow's progress as server-sent events: each recorded step as it comes, then the result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

from pydantic_core import from_json, to_json
from starlette.types import Send

from outlast.core.errors import DatabaseUnavailable, OutlastError
from outlast.core.ports import Unreachable
from outlast.core.records import Standing
from outlast.sdk.definitions import WorkflowDefinition
from outlast.web.admission import Admitted
from outlast.web.answers import JSON, ClientGone
from outlast.web.calls import Call
from outlast.web.invoke import Begun, Engine, Invoker, Target
from outlast.web.problems import problem_of
from outlast.web.results import accepted_headers, ended_answer

POLL_S = 0.2
PING_S = 15.0


class Steps(Protocol):
    """Where recorded steps are read."""

    async def steps_after(self, workflow_id: str, order: int) -> list[dict[str, Any]]:
        """Completions later than the `order`-th; the first one's is 1. Raises Unreachable."""
        ...


def wants_stream(call: Call) -> bool:
    """Whether the caller asks for events rather than for the result alone."""
    return any(
        each.partition(";")[0].strip().lower() == "text/event-stream"
        for value in call.header_values(b"accept")
        for each in value.split(",")
    )


class Streamer:
    """Streams what a workflow does. Event ids are the steps' order of completion; the result's comes next."""

    def __init__(self, engine: Engine, invoker: Invoker, steps: Steps) -> None:
        self._engine = engine
        self._invoker = invoker
        self._steps = steps

    async def stream(
        self, call: Call, admitted: Admitted, target: Target, definition: WorkflowDefinition, send: Send
    ) -> None:
        """Start or attach, then send events until the end. Errors before the start are plain answers."""
        with self._invoker.in_flight(call, admitted):
            begun = await self._invoker.begin(call, admitted, target, definition)
            headers = [*accepted_headers(begun.workflow_id), (b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            status = {"workflow_id": begun.workflow_id, "status": begun.status.value}
            await _send_event(send, "status", status)
            try:
                async with _watching(call) as leaving:
                    await self._follow(begun, _last_event_id(call), send, leaving)
            except OutlastError as error:
                problem = problem_of(error, begun.workflow_id).answer()
                await _send_event(send, "error", from_json(problem.body))
            await send({"type": "http.response.body", "body": b""})

    async def _follow(self, begun: Begun, seen: int, send: Send, leaving: asyncio.Task[None]) -> None:
        """Send the steps that are later than the `seen`-th, and the result once the workflow has ended."""
        order = 0
        silent_s = 0.0
        while True:
            ended = begun.ended or await self._engine.wait(begun.workflow_id, POLL_S)
            steps = await self._steps_after(begun.workflow_id, order)
            for step in steps:
                order = step["completion_order"]
                if order > seen:
                    await _send_event(send, "step", _step(step), order)
            if ended is not None:
                await _send_event(send, "result", _result(ended, begun.replayed), order + 1)
                return
            if leaving.done():
                raise ClientGone
            silent_s = 0.0 if steps else silent_s + POLL_S
            if silent_s >= PING_S:
                silent_s = 0.0
                await send({"type": "http.response.body", "body": b": still running\n\n", "more_body": True})

    async def _steps_after(self, workflow_id: str, order: int) -> list[dict[str, Any]]:
        try:
            return await self._steps.steps_after(workflow_id, order)
        except Unreachable as error:
            raise DatabaseUnavailable("the database can't be reached; the workflow goes on") from error


@asynccontextmanager
async def _watching(call: Call) -> AsyncIterator[asyncio.Task[None]]:
    """A task that is done when the client has gone away."""
    leaving = asyncio.get_running_loop().create_task(call.until_gone())
    try:
        yield leaving
    finally:
        leaving.cancel()


def _step(step: dict[str, Any]) -> dict[str, Any]:
    return {
        "step_id": step["step_id"],
        "name": step["name"],
        "status": "SUCCESS" if step["succeeded"] else "ERROR",
        "completed_at": step["completed_at"].isoformat(),
    }


def _result(standing: Standing, replayed: bool) -> dict[str, Any]:
    answer = ended_answer(standing, replayed=replayed)
    body: Any = None
    if answer.body:
        body = from_json(answer.body) if JSON in answer.headers else answer.body.decode("utf-8", "replace")
    return {"status": answer.status, "replayed": replayed, "body": body}


def _last_event_id(call: Call) -> int:
    text = call.header(b"last-event-id") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


async def _send_event(send: Send, event: str, data: dict[str, Any], number: int | None = None) -> None:
    lines = [f"event: {event}"] + ([f"id: {number}"] if number is not None else [])
    text = "\n".join([*lines, f"data: {to_json(data).decode()}", "", ""])
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
