"""Follows a workflow to its end by server-sent events: each record as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.types import Send

from outlast.core.clock import monotonic
from outlast.core.errors import DatabaseUnavailable, OutlastError
from outlast.core.listing import Page
from outlast.core.ports import Unreachable
from outlast.core.records import WorkflowState
from outlast.engine.engine import Engine
from outlast.web.callers.tokens import token_ended
from outlast.web.http.answers import ClientGone
from outlast.web.http.calls import Call
from outlast.web.http.documents import Verbatim
from outlast.web.http.problems import ProblemError, problem_of

EVENT_STREAM = (b"content-type", b"text/event-stream")
POLL_S = 0.2
PING_S = 15.0
LOOK_MAX = 200
"""Rows of one query."""


async def follow(
    engine: Engine,
    call: Call,
    workflow_id: str,
    rows_after: Callable[[int], Awaitable[Page]],
    tell: Callable[[dict[str, Any]], Awaitable[None]],
    send: Send,
    *,
    after: int = 0,
    ended: WorkflowState | None = None,
    lasts_s: float | None = None,
) -> tuple[WorkflowState, int]:
    """Tell every row after number `after`. Returns how the workflow ended, and the last row's number.

    After `lasts_s` the caller's token has ended, and so does the stream: ProblemError (401).
    `rows_after` gives rows in order of `completion_order`, and raises Unreachable.
    Raises ClientGone, DatabaseUnavailable, ShuttingDown.
    """
    order, silent_s = after, 0.0
    ends_at = None if lasts_s is None else monotonic() + lasts_s
    async with _watch(call) as leaving:
        while True:
            ended = ended or await engine.wait(workflow_id, POLL_S)
            # guard: stream-outlives-token
            if ends_at is not None and monotonic() >= ends_at:
                raise token_ended()
            async with call.hold(partial(_read, rows_after, order), _size_of) as (rows, more):
                for row in rows:
                    order = row["completion_order"]
                    await tell(row)
                told = bool(rows)
                del rows
            if leaving.done():
                raise ClientGone
            if more:
                continue
            if ended is not None:
                return ended, order
            silent_s = 0.0 if told else silent_s + POLL_S
            if silent_s >= PING_S:
                silent_s = 0.0
                await send_comment(send, "still running")


def wants_stream(call: Call) -> bool:
    """Whether the caller asks for a stream of events."""
    return any(
        each.partition(";")[0].strip().lower() == "text/event-stream"
        for value in call.header_values(b"accept")
        for each in value.split(",")
    )


def resumes_after(call: Call) -> int | None:
    """The number of the last event that the caller has seen; None if it doesn't say."""
    text = call.header(b"last-event-id") or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def last_event_id(call: Call) -> int:
    """The same; 0 if it doesn't say."""
    return resumes_after(call) or 0


async def send_event(send: Send, kind: str, data: Verbatim, number: int | None = None) -> None:
    """Send one event. Line breaks of JSON, which are only between values, become spaces."""
    lines = [f"event: {kind}"] + ([f"id: {number}"] if number is not None else [])
    line = data.json.replace(b"\n", b" ").replace(b"\r", b" ")
    text = b"%s\ndata: %s\n\n" % ("\n".join(lines).encode(), line)
    await send({"type": "http.response.body", "body": text, "more_body": True})


def told_of(error: OutlastError | ProblemError, workflow_id: str) -> Verbatim:
    """The problem that ends a stream, as the data of its event."""
    problem = error.problem if isinstance(error, ProblemError) else problem_of(error, workflow_id)
    return Verbatim(problem.answer().body)


async def send_comment(send: Send, text: str) -> None:
    """Send a comment, which clients ignore: a sign of life."""
    await send({"type": "http.response.body", "body": f": {text}\n\n".encode(), "more_body": True})


async def _read(rows_after: Callable[[int], Awaitable[Page]], order: int) -> Page:
    try:
        return await rows_after(order)
    except Unreachable as error:
        raise DatabaseUnavailable("the database can't be reached; the workflow goes on") from error


def _size_of(page: Page) -> int:
    """The length of its texts."""
    return sum(len(value) for row in page.rows for value in row.values() if isinstance(value, str))


@asynccontextmanager
async def _watch(call: Call) -> AsyncIterator[asyncio.Task[None]]:
    """A task that is done when the client has gone away."""
    leaving = asyncio.get_running_loop().create_task(call.until_gone())
    try:
        yield leaving
    finally:
        leaving.cancel()
