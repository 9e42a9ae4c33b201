"""Messages on this instance: the receives that wait, and one loop that delivers and reads for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from outlast.core.background import Loop
from outlast.core.observations import Observer, RowsRefused
from outlast.core.ports import MessageStore
from outlast.core.records import Arrivals, InboxQuery, Message
from outlast.engine.waits.arrivals import Arrival

POLL_MIN_S = 0.02
POLL_MAX_S = 0.1


class Inbox:
    """The messages of one topic for one execution."""

    def __init__(self, workflow_id: str, topic: str, after: int) -> None:
        """`after`: the number of the last message received before."""
        self.topic = topic
        self.seen = -1
        """All messages up to this number are known; -1 before the first look."""
        self._workflow_id = workflow_id
        self._after = after
        self._messages: deque[Message] = deque()
        self.arrival = Arrival()
        """Wakes the waiters when messages arrive. Another waiter may take them first."""

    @property
    def empty(self) -> bool:
        """Whether a look has shown that there are no messages."""
        return self.seen >= 0 and not self._messages

    def take(self) -> Message | None:
        """The next message. The caller must record it before its next await."""
        return self._messages.popleft() if self._messages else None

    def question(self) -> InboxQuery:
        """The query for new messages."""
        return InboxQuery(self._workflow_id, self.topic, self._after, self.seen)

    def put(self, arrivals: Arrivals) -> None:
        """Keep what a look found."""
        self.seen = arrivals.seen
        if arrivals.messages:
            self._messages.extend(arrivals.messages)
            self._after = arrivals.messages[-1].number
            self.arrival.tell()


class Delivery:
    """A background loop: delivers sent messages to any workflow, and reads the inboxes watched here.

    It also wakes those who wait for an ended workflow, if the commit of the end did not do this.

    `due` is called if workflows became claimable.
    """

    def __init__(self, store: MessageStore, due: Callable[[], None], observe: Observer) -> None:
        self._store = store
        self._due = due
        self._observe = observe
        self._watched: Counter[Inbox] = Counter()
        self._asked: list[asyncio.Future[None]] = []
        self._undelivered = False
        self._untold = False
        self._pause_s = POLL_MIN_S
        self.loop = Loop("messages", self._deliver_and_read, observe)
        """After it is closed, a wait for a look ends only by the cancellation of its workflow."""

    def arrived(self) -> None:
        """There are messages to deliver."""
        self._undelivered = True
        self.loop.wake()

    def untold(self) -> None:
        """There are ended workflows that others wait for."""
        self._untold = True
        self.loop.wake()

    @contextmanager
    def watching(self, inbox: Inbox) -> Iterator[None]:
        """Read this inbox repeatedly within this block."""
        self._watched[inbox] += 1
        try:
            yield
        finally:
            self._watched[inbox] -= 1
            if not self._watched[inbox]:
                del self._watched[inbox]

    async def look(self) -> None:
        """Wait for a delivery that begins after this call, and for a look at all watched inboxes after it."""
        asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self.loop.wake()
        await asked

    async def _deliver_and_read(self) -> float | None:
        asked, self._asked = self._asked, []
        undelivered, self._undelivered = self._undelivered or bool(asked), False
        untold, self._untold = self._untold, False
        try:
            if undelivered:
                await self._deliver()
            if untold:
                await self._tell()
            await self._read()
        except BaseException:
            self._asked = asked + self._asked
            self._undelivered = self._undelivered or undelivered
            self._untold = self._untold or untold
            raise
        for each in asked:
            if not each.done():
                each.set_result(None)
        self._pause_s = POLL_MIN_S if undelivered or untold else min(POLL_MAX_S, self._pause_s * 1.5)
        return self._pause_s if self._watched or self._undelivered or self._untold else None

    async def _deliver(self) -> None:
        delivered = await self._store.deliver()
        if delivered.woken:
            self._due()
        if delivered.refused:
            self._observe(RowsRefused(tuple(delivered.refused)))
        if delivered.left:
            self._undelivered = True

    async def _tell(self) -> None:
        told = await self._store.tell()
        if told.woken:
            self._due()
        self._untold = self._untold or told.left

    async def _read(self) -> None:
        inboxes = list(self._watched)
        if inboxes:
            found = await self._store.read([inbox.question() for inbox in inboxes])
            for index, arrivals in found.items():
                inboxes[index].put(arrivals)
