"""The in-memory store of a test: before and after each commit is a point to be killed at."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal, TypeVar

from outlast.core.ports import Fence, JournalStore, MessageStore, Unreachable
from outlast.core.records import Batch, Committed, Ending, StepRecord
from outlast.testing.database import Database
from outlast.testing.points import Points
from outlast.testing.rows import Blocked, Transaction
from outlast.testing.seen import Seen
from outlast.testing.statements.journal import JournalStatements
from outlast.testing.stores import DirectLink, MemoryStore, MemoryTransactions

T = TypeVar("T")


Mishap = Literal["refused", "answer lost"]


class Way:
    """The connection of all processes of a world to its database, and which commits fail on it, by number."""

    def __init__(self, mishaps: dict[int, Mishap]) -> None:
        self._mishaps = mishaps
        self._sent = 0

    def fate(self) -> Mishap | None:
        """What goes wrong with the commit that is sent now."""
        self._sent += 1
        return self._mishaps.get(self._sent)


class _Link(DirectLink):
    """A link without delay: a statement waits only for locks."""

    async def call(self, what: str, statement: Callable[[], T], within: Transaction | None = None) -> T:
        """See Link."""
        try:
            return statement()
        except Blocked:
            return await super().call(what, statement, within)


class PointedStore(MemoryStore):
    """All stores of one process."""

    def __init__(self, database: Database, instance_id: str, points: Points, seen: Seen, way: Way) -> None:
        super().__init__(database, _Link(database), instance_id)
        self.journal = _Journal(self.journal, points, way)
        link = _TransactionLink(database, points, seen, way)
        self.transactions = MemoryTransactions(database, link, JournalStatements(database, instance_id))
        self.messages = _Messages(self.messages, points)


class _Journal:
    def __init__(self, journal: JournalStore, points: Points, way: Way) -> None:
        self.confirm = journal.confirm
        self._commit = journal.commit
        self._points = points
        self._way = way

    async def commit(self, batch: Batch) -> Committed:
        """See JournalStore."""
        if self._points.reach(lambda: f"before the commit of {_describe(batch)}"):
            await self._points.here()
        fate = self._way.fate()
        if fate == "refused":
            raise Unreachable("the test says so")
        committed = await self._commit(batch)
        self._points.changed()
        if fate == "answer lost":
            raise Unreachable("the test says so")
        if self._points.reach(lambda: f"after the commit of {_describe(batch)}, before anybody knows of it"):
            await self._points.here()
        return committed


def _describe(batch: Batch) -> str:
    parts = [f"the start of {each.function}" for each in batch.starts]
    for write in batch.writes:
        parts += [_describe_record(step) for step in write.steps]
        if write.end is not None:
            parts.append("the end" if isinstance(write.end, Ending) else "the suspension")
    return ", ".join(parts)


def _describe_record(step: StepRecord) -> str:
    begun = "" if step.completion_order is not None else "the begin of "
    return f"{begun}{step.name} ({step.step_id})"


class _TransactionLink(_Link):
    """The link of transactions: their COMMIT is a point."""

    def __init__(self, database: Database, points: Points, seen: Seen, way: Way) -> None:
        super().__init__(database)
        self._way = way
        self._points = points
        self._seen = seen

    async def call(self, what: str, statement: Callable[[], T], within: Transaction | None = None) -> T:
        """See Link."""
        if what != "end transaction" or within is None or within.record is None:
            return await super().call(what, statement, within)
        (workflow_id, step_id), record = within.record
        of = f"transaction {record.step.name} ({step_id})"
        if self._points.reach(lambda: f"before the COMMIT of {of}"):
            await self._points.here()
        fate = self._way.fate()
        if fate == "refused":
            raise Unreachable("the test says so")
        result = await super().call(what, statement, within)
        self._seen.commits[workflow_id, step_id] += 1
        self._points.changed()
        if fate == "answer lost":
            raise Unreachable("the test says so")
        if self._points.reach(lambda: f"after the COMMIT of {of}, before its answer"):
            await self._points.here()
        return result


class _Messages:
    def __init__(self, messages: MessageStore, points: Points) -> None:
        self.deliver, self.tell = messages.deliver, messages.tell
        self.read, self.answer = messages.read, messages.answer
        self._send, self._send_again = messages.send, messages.send_again
        self._points = points

    async def send(self, workflow_id: str, body: str, topic: str, key: str) -> int:
        """See MessageStore."""
        return await self._at_points(workflow_id, topic, partial(self._send, workflow_id, body, topic, key))

    async def send_again(
        self, fence: Fence, workflow_id: str, body: str, topic: str, key: str, generation: int
    ) -> int | None:
        """See MessageStore."""
        send = partial(self._send_again, fence, workflow_id, body, topic, key, generation)
        return await self._at_points(workflow_id, topic, send)

    async def _at_points(self, workflow_id: str, topic: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        of = f"a message to {workflow_id}" + (f" on {topic!r}" if topic else "")
        if self._points.reach(lambda: f"before {of} is sent"):
            await self._points.here()
        sent = await send()
        self._points.changed()
        if self._points.reach(lambda: f"after {of} was sent, before that is recorded"):
            await self._points.here()
        return sent
