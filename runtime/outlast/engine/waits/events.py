"""Published events on this instance: the readers that wait, and one loop that reads for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from outlast.core.background import Loop
from outlast.core.clock import monotonic
from outlast.core.errors import OutlastError, WorkflowNotFound
from outlast.core.events import Taken
from outlast.core.observations import Observer
from outlast.core.ports import WorkflowStore
from outlast.core.records import EventQuery, EventsFound, PublishedEvent
from outlast.engine.waits.arrivals import Arrival

T = TypeVar("T")

POLL_MIN_S = 0.02
POLL_MAX_S = 0.2
WAIT_S = 3600.0
WAIT_MIN_S = 0.001
"""A shorter time isn't worth a wait: the difference of two times may be tiny."""


class Cursor:
    """One reader's place in the events of a workflow, and the events that were read ahead."""

    def __init__(self, workflow_id: str, event: str, after: int, *, newest: bool = False) -> None:
        """`after`: the number of the last event taken. `newest`: the reader wants only the newest event."""
        self.workflow_id = workflow_id
        self.event = event
        self.after = after
        self.arrival = Arrival()
        self._newest = newest
        self._ahead: deque[PublishedEvent] = deque()
        self._ended = False
        self._missing = False

    @property
    def ready(self) -> bool:
        """Whether `take` has an answer."""
        return bool(self._ahead) or self._ended or self._missing

    def take(self) -> Taken:
        """The next event, or that the workflow has ended. Only when `ready`. Raises WorkflowNotFound."""
        if self._ahead:
            event = self._ahead.popleft()
            self.after = event.number
            return Taken(event)
        if self._missing:
            raise WorkflowNotFound(f"there is no workflow {self.workflow_id!r}")
        return Taken(None, ended=True)

    def question(self) -> EventQuery:
        """The query for the events after this place."""
        return EventQuery(self.workflow_id, self.event, self.after, self._newest)

    def put(self, found: EventsFound | None) -> None:
        """Keep what a look found. None: there is no such workflow."""
        self._missing = found is None
        if found is not None:
            self._ahead.extend(found.events)
            self._ended = found.ended
        if self.ready:
            self.arrival.tell()


class EventReading:
    """Reads for all watched cursors with one repeated query, whose pauses grow."""

    def __init__(self, store: WorkflowStore, observe: Observer) -> None:
        self._store = store
        self._watched: Counter[Cursor] = Counter()
        self._workflows: Counter[str] = Counter()
        self._asked: list[asyncio.Future[None]] = []
        self._refusal: OutlastError | None = None
        self._pause_s = POLL_MIN_S
        self.loop = Loop("events", self._read, observe)

    @contextmanager
    def watching(self, cursor: Cursor) -> Iterator[None]:
        """Read for this cursor repeatedly within this block."""
        self._watched[cursor] += 1
        self._workflows[cursor.workflow_id] += 1
        try:
            yield
        finally:
            _uncount(self._watched, cursor)
            _uncount(self._workflows, cursor.workflow_id)

    def written(self, workflow_id: str) -> None:
        """A record of this workflow was written here: look soon, if somebody waits for its events."""
        if workflow_id in self._workflows:
            self._look_soon()

    def _look_soon(self) -> None:
        self._pause_s = POLL_MIN_S
        self.loop.wake()

    def refuse(self, reason: OutlastError) -> None:
        """Raise `reason` in all current and later waits."""
        self._refusal = reason
        for cursor in self._watched:
            cursor.arrival.tell()

    async def next(
        self, cursor: Cursor, ends_at: float | None, awaiting: AbstractContextManager[None]
    ) -> Taken:
        """The next event. It waits until `ends_at` (`monotonic`), within `awaiting` if there is none yet.

        Raises WorkflowNotFound, and the error given to `refuse`.
        """
        if not cursor.ready:
            with self.watching(cursor):
                late = False
                await self._await_look()
                with awaiting:
                    while not cursor.ready and not late:
                        left_s = WAIT_S if ends_at is None else ends_at - monotonic()
                        if late := left_s < WAIT_MIN_S:
                            await self._await_look()  # a look that begins after the timeout decides
                        else:
                            await cursor.arrival.wait(min(left_s, WAIT_S))
                            self._check()
        return cursor.take() if cursor.ready else Taken(None)

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    async def _await_look(self) -> None:
        """Wait for a look at all watched cursors that begins after this call."""
        self._check()
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._look_soon()
        await asked

    async def _read(self) -> float | None:
        asked, self._asked = self._asked, []
        try:
            await self._look()
        except BaseException:
            self._asked = asked + self._asked
            raise
        for each in asked:
            if not each.done():
                each.set_result(None)
        self._pause_s = min(POLL_MAX_S, self._pause_s * 1.5)
        return self._pause_s if self._watched else None

    async def _look(self) -> None:
        cursors = [each for each in self._watched if not each.ready]
        while cursors:
            found, cut = await self._store.published([each.question() for each in cursors])
            left = []
            for place, cursor in enumerate(cursors):
                if place in found or not cut:
                    cursor.put(found.get(place))
                else:
                    left.append(cursor)
            cursors = left


def _uncount(counted: Counter[T], key: T) -> None:
    counted[key] -= 1
    if not counted[key]:
        del counted[key]
