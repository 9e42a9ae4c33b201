"""The engine's stores over the in-memory database. How a statement gets there is the link's affair."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from outlast.core.budget import weigh
from outlast.core.ports import UNBOUNDED, Fence, TransactionStore, TransactionWork
from outlast.core.records import (
    RECORD_BYTES,
    Arrivals,
    Batch,
    Beat,
    ClaimedWorkflow,
    Claims,
    Committed,
    Delivered,
    InboxQuery,
    LostInstance,
    NewWorkflow,
    RunningStep,
    Standing,
    Standings,
    StepRecord,
)
from outlast.testing.database import Database
from outlast.testing.rows import Blocked, Transaction

T = TypeVar("T")


class Link(Protocol):
    """The way of one instance to the database."""

    @property
    def session(self) -> int | None:
        """The session of its lease; None through a pooler."""
        ...

    async def call(self, what: str, statement: Callable[[], T], within: Transaction | None = None) -> T:
        """Run `statement` there; what it returned or raised. Raises Unreachable: in doubt.

        `within`: the transaction it belongs to; one that ended with its connection is unreachable.
        """
        ...

    def when_lost(self, call: Callable[[], None]) -> None:
        """See InstanceStore."""
        ...

    def when_due(self, call: Callable[[], None]) -> None:
        """See InstanceStore."""
        ...

    def abandon(self, transaction: Transaction) -> None:
        """Roll back, now or when the database gets to know that the connection is gone."""
        ...


class DirectLink:
    """Statements run at once, in the caller's own loop."""

    def __init__(self, database: Database, *, sessions: bool = True) -> None:
        self._database = database
        self.session = database.connect() if sessions else None

    async def call(self, what: str, statement: Callable[[], T], within: Transaction | None = None) -> T:
        """See Link."""
        while True:
            await asyncio.sleep(0)
            try:
                return statement()
            except Blocked:
                released = asyncio.get_running_loop().create_future()
                self._database.when_released(partial(released.set_result, None))
                await released

    def when_lost(self, call: Callable[[], None]) -> None:
        """See Link. It is never lost."""

    def when_due(self, call: Callable[[], None]) -> None:
        """See Link. Nobody tells: the next tick finds it."""

    def abandon(self, transaction: Transaction) -> None:
        """See Link."""
        self._database.rollback(transaction)


class MemoryStore:
    """All stores of one instance: see core.ports."""

    def __init__(self, database: Database, link: Link, instance_id: str) -> None:
        self.journal = MemoryJournal(database, link, instance_id)
        self.transactions: TransactionStore = MemoryTransactions(database, link, instance_id)
        self.instances = MemoryInstances(database, link, instance_id)
        self.workflows = MemoryWorkflows(database, link)
        self.messages = MemoryMessages(database, link)
        self.queues = NoQueues()


class NoQueues:
    """See QueueStore. The programs consume none."""

    async def consume(self, queue: str, function: str, room: int) -> list[ClaimedWorkflow]:
        """See QueueStore."""
        raise AssertionError(queue)


class MemoryJournal:
    """See JournalStore."""

    def __init__(self, database: Database, link: Link, instance_id: str) -> None:
        self._database = database
        self._link = link
        self._instance_id = instance_id

    async def commit(self, batch: Batch) -> Committed:
        """See JournalStore."""
        return await self._link.call("commit", lambda: self._database.commit(self._instance_id, batch))

    async def confirm(self, batch: Batch) -> dict[str, float | None]:
        """See JournalStore."""
        return await self._link.call("confirm", lambda: self._database.confirm(batch))


class MemoryConnection:
    """What the body of a transaction gets."""

    def __init__(self, link: Link, transaction: Transaction) -> None:
        self._link = link
        self._transaction = transaction

    async def write(self, effect: Any) -> None:
        """Do something that stays if the transaction is committed."""
        await self._link.call("effect", lambda: self._transaction.effects.append(effect), self._transaction)


class MemoryTransactions:
    """See TransactionStore."""

    def __init__(self, database: Database, link: Link, instance_id: str) -> None:
        self._database = database
        self._link = link
        self._instance_id = instance_id

    async def transact(self, work: TransactionWork, fence: Fence | None) -> StepRecord | None:
        """See TransactionStore."""
        database, link = self._database, self._link
        transaction = await link.call("begin", database.begin)
        try:
            record = await work.run(MemoryConnection(link, transaction))
            if fence is not None and not await link.call(
                "record transaction",
                lambda: database.record_transaction(transaction, self._instance_id, fence, record),
                transaction,
            ):
                await link.call("rollback", lambda: database.rollback(transaction), transaction)
                return await link.call("recorded step", lambda: database.recorded_step(fence))
            await link.call("end transaction", lambda: database.finish(transaction), transaction)
        except BaseException:
            link.abandon(transaction)
            raise
        return record


class MemoryInstances:
    """See InstanceStore."""

    def __init__(self, database: Database, link: Link, instance_id: str) -> None:
        self._database = database
        self._link = link
        self._instance_id = instance_id

    def when_lost(self, call: Callable[[], None]) -> None:
        """See InstanceStore."""
        self._link.when_lost(call)

    def when_due(self, call: Callable[[], None]) -> None:
        """See InstanceStore."""
        self._link.when_due(call)

    async def beat(self, lease_ttl_s: float, running: Sequence[RunningStep] | None = None) -> Beat:
        """See InstanceStore."""
        return await self._link.call(
            "beat", lambda: self._database.beat(self._instance_id, lease_ttl_s, self._link.session)
        )

    async def claim(
        self,
        functions: Sequence[str],
        room: int,
        suspects: int,
        bytes_left: int = UNBOUNDED,
        *,
        alone: bool = True,
        strict: bool = True,
        large: tuple[int, bool] | None = None,
        limit_s: float | None = None,
    ) -> Claims:
        """See InstanceStore."""
        return await self._link.call(
            "claim",
            lambda: self._database.claim(
                self._instance_id,
                functions,
                room,
                suspects,
                bytes_left,
                alone=alone,
                strict=strict,
                large=large or (bytes_left, alone),
            ),
        )

    async def recover(self, lost: Sequence[LostInstance]) -> list[tuple[str, str]]:
        """See InstanceStore."""
        return await self._link.call("recover", lambda: self._database.recover(lost))

    async def release(
        self,
        epochs: dict[str, int],
        load_bytes: Mapping[str, int] | None = None,
        due_s: Mapping[str, float | None] | None = None,
    ) -> None:
        """See InstanceStore."""
        learned, due = dict(load_bytes or {}), dict(due_s or {})
        await self._link.call(
            "release", lambda: self._database.release(self._instance_id, epochs, learned, due)
        )

    async def leave(self) -> None:
        """See InstanceStore."""
        await self._link.call("leave", lambda: self._database.leave(self._instance_id))

    async def tidy(self) -> None:
        """See InstanceStore."""
        await self._link.call("tidy", self._database.adopt_orphans)


class MemoryWorkflows:
    """See WorkflowStore."""

    def __init__(self, database: Database, link: Link) -> None:
        self._database = database
        self._link = link

    async def load(
        self, workflows: Sequence[ClaimedWorkflow], enough: Callable[[ClaimedWorkflow], bool]
    ) -> AsyncGenerator[ClaimedWorkflow]:
        """See WorkflowStore."""
        ids = [each.workflow_id for each in workflows]
        found = await self._link.call("load", lambda: self._database.load(ids))
        for workflow in workflows:
            if workflow.workflow_id not in found:
                continue
            (workflow.input, workflow.request), records = found[workflow.workflow_id]
            workflow.load_bytes = weigh(workflow.input, workflow.request)
            for record in records:
                workflow.history.append(record)
                workflow.load_bytes += weigh(record.output, record.error) + RECORD_BYTES
            if enough(workflow):
                return
            yield workflow

    async def standing(self, ids: Sequence[str]) -> Standings:
        """See WorkflowStore. One at a time: as cut as an answer can be."""
        return _cut(await self._link.call("standing", lambda: self._database.standing(ids)))

    async def ended(self, ids: Sequence[str]) -> Standings:
        """See WorkflowStore."""
        return _cut(await self._link.call("ended", lambda: self._database.ended(ids)))

    async def same_payload(self, new: NewWorkflow) -> bool:
        """See WorkflowStore."""
        return await self._link.call("same_payload", lambda: self._database.same_payload(new))

    async def cancel(self, workflow_id: str) -> bool:
        """See WorkflowStore."""
        return await self._link.call("cancel", lambda: self._database.cancel(workflow_id))


def _cut(found: dict[str, Standing]) -> Standings:
    return Standings(dict(list(found.items())[:1]), len(found) > 1)


class MemoryMessages:
    """See MessageStore."""

    def __init__(self, database: Database, link: Link) -> None:
        self._database = database
        self._link = link

    async def send(self, workflow_id: str, body: str, topic: str, key: str) -> int:
        """See MessageStore."""
        sent = await self._link.call("send", lambda: self._database.send(workflow_id, body, topic, key))
        return sent.message_id

    async def deliver(self) -> Delivered:
        """See MessageStore."""
        return await self._link.call("deliver", self._database.deliver)

    async def read(self, inboxes: Sequence[InboxQuery]) -> dict[int, Arrivals]:
        """See MessageStore."""
        return await self._link.call("read", lambda: self._database.read(inboxes))
