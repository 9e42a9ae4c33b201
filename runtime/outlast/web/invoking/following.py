"""Follows a workflow to its end by server-sent events: each record as it comes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.types import Send

from outlast.core.clock import monotonic
from outlast.core.errors import DatabaseUnavailable, OutlastError
from outlast.core.ports import Unreachable
from outlast.core.records import WorkflowState
from outlast.core.resources.resource import Page
from outlast.engine.engine import Engine
from outlast.web.callers.tokens import token_ended
from outlast.web.http.answers import ClientGone
from outlast.web.http.calls import Call
from outlast.web.http.documents import Verbatim
from outlast.web.http.problems import ProblemError, problem_of
from outlast.web.invoking.sending import Emitted, emitted_by, send_comment

POLL_S = 0.2
PING_S = 15.0
WAIT_MIN_S = 0.001
AHEAD_S = 0.02
"""How long records are waited for that precede an emitted value."""
LOOK_MAX = 200
"""The rows of one query."""


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
    emitted: bool = True,
    tell_held: Callable[[WorkflowState], Awaitable[None]] | None = None,
) -> tuple[WorkflowState, int]:
    """Tell every row after number `after`. Returns how the workflow ended, and the last row's number.

    `tell_held` gets the workflow's state once it is held; it may go on later. Values that steps emit on this
    instance are told in between at their place, unless `emitted` is false. After `lasts_s` the caller's token
    expires, and the stream ends with ProblemError (401). `rows_after` returns rows in order of
    `completion_order`, and raises Unreachable. Raises ClientGone, DatabaseUnavailable, ShuttingDown.
    """
    order, began = after, monotonic()
    looks_at, told_at = began + POLL_S, began
    ends_at = None if lasts_s is None else began + lasts_s
    held_told = tell_held is None
    with emitted_by(engine, workflow_id, send, told=emitted) as values:
        async with _watch(call) as leaving:
            while True:
                ended = ended or await _end_or_value(engine, workflow_id, values, looks_at, not held_told)
                if ended is not None and not ended.status.ended:
                    assert tell_held is not None
                    held_told, told_at = True, monotonic()
                    await tell_held(ended)
                    ended = None
                now = monotonic()
                # guard: stream-outlives-token
                if ends_at is not None and now >= ends_at:
                    raise token_ended()
                if leaving.done():
                    raise ClientGone
                if ended is not None or now >= looks_at or values.ahead:
                    newest = values.newest()
                    async with call.hold(partial(_read, rows_after, order), _size_of) as (rows, more):
                        for row in rows:
                            await values.tell(row["completion_order"])
                            order = row["completion_order"]
                            await tell(row)
                        told = bool(rows)
                        del rows
                    if told:
                        told_at, held_told = now, tell_held is None
                    if more:
                        continue
                    values.looked(newest)
                    looks_at = monotonic() + POLL_S
                if await values.tell(sys.maxsize if ended is not None else values.known):
                    told_at = now
                if ended is not None:
                    return ended, order
                if now >= told_at + PING_S:
                    told_at = now
                    await send_comment(send, "still running")


async def _end_or_value(
    engine: Engine, workflow_id: str, values: Emitted, looks_at: float, or_held: bool
) -> WorkflowState | None:
    """Wait for the workflow's end, or until there is something to tell. The state, if it has ended."""
    if values.ahead:  # records must be read first, but not more often than this
        return await engine.wait(workflow_id, AHEAD_S, or_held=or_held)
    # Not less: the difference of two times may be too small to wait for, and then it would never pass.
    wait_s = max(WAIT_MIN_S, looks_at - monotonic())
    if not values.listens:
        return await engine.wait(workflow_id, wait_s, or_held=or_held)
    loop = asyncio.get_running_loop()
    ending = loop.create_task(engine.wait(workflow_id, wait_s, or_held=or_held))
    arrival = loop.create_task(values.arrival())
    try:
        await asyncio.wait({ending, arrival}, return_when=asyncio.FIRST_COMPLETED)
        return ending.result() if ending.done() else None
    finally:
        ending.cancel()
        arrival.cancel()


def told_of(error: OutlastError | ProblemError, workflow_id: str) -> Verbatim:
    """The problem that ends a stream, as the data of its event."""
    problem = error.problem if isinstance(error, ProblemError) else problem_of(error, workflow_id)
    return Verbatim(problem.answer().body)


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
