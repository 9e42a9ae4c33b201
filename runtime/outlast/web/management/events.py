"""A workflow's published events over HTTP: pages of them, or a stream until the workflow's end."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from starlette.types import Send

from outlast.core.errors import OutlastError
from outlast.core.resources import EVENTS
from outlast.core.resources.resource import Page
from outlast.engine.engine import Engine
from outlast.store.workflows import PostgresWorkflows
from outlast.web.callers.shares import Shares
from outlast.web.http.answers import Answer
from outlast.web.http.calls import Call
from outlast.web.http.documents import document, event_document
from outlast.web.http.parameters import Parameters
from outlast.web.http.problems import ProblemError
from outlast.web.invoking.following import LOOK_MAX, follow, told_of
from outlast.web.invoking.preferences import last_event_id, wants_stream
from outlast.web.invoking.results import accepted_headers
from outlast.web.invoking.sending import EVENT_STREAM, send_comment, send_event
from outlast.web.management.listings import Listings
from outlast.web.management.owned import Owned, owner_of


class EventRoutes:
    """The endpoint under a workflow's `/events`. A stream counts among a caller's streams and calls."""

    def __init__(
        self, engine: Engine, events: PostgresWorkflows, owned: Owned, shares: Shares, listings: Listings
    ) -> None:
        self._engine = engine
        self._listings = listings
        self._events = events
        self._owned = owned
        self._shares = shares

    async def events(self, call: Call, workflow_id: str) -> Answer | EventStream:
        """A page of events in their order, or a stream if the caller asks for one."""
        if not wants_stream(call) or call.method != "GET":
            return await self._listings.page(EVENTS, call, workflow_id)
        admitted = await self._owned.admitted(call)
        event = Parameters(call, ("event",)).one("event")
        # guard: events-of-anybody-streamed
        await self._owned.ownership(workflow_id, owner_of(admitted))
        slots = (self._shares.count_call(call, admitted), self._shares.count_stream(call, admitted))
        lasts_s = admitted.lasts_s(self._engine.clock.now_s())
        return EventStream(self._engine, self._events, call, workflow_id, event, slots, lasts_s)


@dataclass(frozen=True, slots=True)
class EventStream:
    """An answer that lasts until the workflow's end: each event as it comes, then `end`."""

    engine: Engine
    store: PostgresWorkflows
    call: Call
    workflow_id: str
    event: str | None
    slots: tuple[AbstractContextManager[None], AbstractContextManager[None]]
    lasts_s: float | None

    def size(self) -> int:
        """0: `follow` takes room for each piece."""
        return 0

    async def send(self, send: Send) -> None:
        """Send it. Raises ProblemError (429) before it begins, ClientGone."""
        of_calls, of_streams = self.slots
        with of_calls, of_streams:
            headers = [*accepted_headers(self.workflow_id), EVENT_STREAM]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send_comment(send, "following")
            try:
                await self._follow(send)
            except (OutlastError, ProblemError) as error:
                await send_event(send, "error", told_of(error, self.workflow_id))
            await send({"type": "http.response.body", "body": b""})

    async def _follow(self, send: Send) -> None:
        async def rows_after(order: int) -> Page:
            given = {"workflow_id": self.workflow_id, "event": self.event}
            rows, more = await self.store.listing(EVENTS, given, (order,), LOOK_MAX)
            return Page([{**row, "completion_order": row["number"]} for row in rows], more)

        async def tell(row: dict[str, Any]) -> None:
            number = row.pop("completion_order")
            await send_event(send, "event", event_document(row), number)

        after = last_event_id(self.call)
        ended, _ = await follow(
            self.engine,
            self.call,
            self.workflow_id,
            rows_after,
            tell,
            send,
            after=after,
            lasts_s=self.lasts_s,
            emitted=self.event is None,
        )
        end = {"workflow_id": self.workflow_id, "status": ended.status.value}
        await send_event(send, "end", document(end))
