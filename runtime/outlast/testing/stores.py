"""The engine's stores over the in-memory database. A link brings the statements there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from outlast.core.budget import weigh
from outlast.core.claims import ClaimedWorkflow, Claims, LostInstance, QueueClaims
from outlast.core.ports import (
    Fence,
    HoldStore,
    InstanceStore,
    JournalStore,
    MapStore,
    MessageQueueStore,
    MessageStore,
    QueueStore,
    RetentionStore,
    ScheduleStore,
    TransactionStore,
    TransactionWork,
    WorkflowStore,
)
from outlast.core.records import RECORD_BYTES, Delivered, StepRecord
from outlast.store.refusals import Refusals
from outlast.testing.database import Database
from outlast.testing.rows import Blocked, Transaction
from outlast.testing.statements.holds import HoldStatements
from outlast.testing.statements.instances import InstanceStatements
from outlast.testing.statements.journal import JournalStatements
from outlast.testing.statements.maps import MapStatements
from outlast.testing.statements.messages import MessageStatements
from outlast.testing.statements.pages import PageStatements
from outlast.testing.statements.pgmq import MessageQueueStatements
from outlast.testing.statements.queues import QueueStatements
from outlast.testing.statements.retention import RetentionStatements
from outlast.testing.statements.schedules import ScheduleStatements
from outlast.testing.statements.workflows import WorkflowStatements

T = TypeVar("T")


class Link(Protocol):
    """Brings statements to the database: at once, or as a simulated network allows."""

    @property
    def session(self) -> int | None:
        """The session of its lease; None through a pooler."""

    async def call(self, what: str, statement: Callable[[], T], within: Transaction | None = None) -> T:
        """Run `statement` there; return or raise its outcome. Raises Unreachable if the outcome is unknown.

        `within`: the transaction it belongs to; a transaction that ended with its connection is unreachable.
        """

    def when_lost(self, call: Callable[[], None]) -> None:
        """See InstanceStore."""

    def when_due(self, call: Callable[[], None]) -> None:
        """See InstanceStore."""

    def abandon(self, transaction: Transaction) -> None:
        """Roll back, now or when the database learns that the connection is gone."""


class DirectLink:
    """Runs statements at once, in the caller's own loop."""

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
        journal = JournalStatements(database, instance_id)
        workflows = PageStatements(database)
        instances = InstanceStatements(database, instance_id, lambda: link.session)
        messages = MessageStatements(database)
        self.journal: JournalStore = Linked(link, journal)
        self.transactions: TransactionStore = MemoryTransactions(database, link, journal)
        self.instances: InstanceStore = Linked(
            link,
            instances,
            when_lost=link.when_lost,
            when_due=link.when_due,
            **instances_leaving_out(link, instances),
        )
        self.workflows: WorkflowStore = Linked(link, workflows, load=partial(_load, link, workflows))
        self.messages: MessageStore = Linked(link, messages, deliver=deliver_leaving_out(link, messages))
        self.holds: HoldStore = Linked(link, HoldStatements(database, instance_id))
        self.queues: QueueStore = Linked(link, QueueStatements(database, instance_id))
        maps = MapStatements(database, instance_id)
        self.maps: MapStore = Linked(link, maps, ends=maps.ends, failures=maps.failures)
        self.schedules: ScheduleStore = Linked(link, ScheduleStatements(database, instance_id))
        self.retention: RetentionStore = Linked(link, RetentionStatements(database))
        self.message_queues: MessageQueueStore = Linked(link, MessageQueueStatements(database, instance_id))


class Linked:
    """The async face of some statements: each goes over a link under its own name. None: there are none."""

    def __init__(self, link: Link, statements: object | None, **others: Callable[..., Any]) -> None:
        """`others` are no statements."""
        for name in dir(statements):
            if not name.startswith("_"):
                setattr(self, name, partial(_call, link, name, getattr(statements, name)))
        vars(self).update(others)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class MemoryConnection:
    """The connection that the body of a transaction gets."""

    def __init__(self, link: Link, transaction: Transaction) -> None:
        self._link = link
        self._transaction = transaction

    async def write(self, effect: Any) -> None:
        """Make a change that stays if the transaction is committed."""
        await self._link.call("effect", lambda: self._transaction.effects.append(effect), self._transaction)


class MemoryTransactions:
    """See TransactionStore."""

    def __init__(self, database: Database, link: Link, journal: JournalStatements) -> None:
        self._database = database
        self._link = link
        self._journal = journal

    async def transact(self, work: TransactionWork, fence: Fence | None) -> StepRecord | None:
        """See TransactionStore."""
        database, link, journal = self._database, self._link, self._journal
        transaction = await link.call("begin", database.begin)
        try:
            record = await work.run(MemoryConnection(link, transaction))
            if fence is not None and not await link.call(
                "record transaction",
                lambda: journal.record_transaction(transaction, fence, record),
                transaction,
            ):
                await link.call("rollback", lambda: database.rollback(transaction), transaction)
                return await link.call("recorded step", lambda: journal.recorded_step(fence))
            await link.call("end transaction", lambda: database.finish(transaction), transaction)
        except BaseException:
            link.abandon(transaction)
            raise
        return record


async def _call(link: Link, name: str, statement: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return await link.call(name, lambda: statement(*args, **options))


async def _load(
    link: Link,
    statements: WorkflowStatements,
    workflows: Sequence[ClaimedWorkflow],
    enough: Callable[[ClaimedWorkflow], bool],
) -> AsyncGenerator[ClaimedWorkflow]:
    """See WorkflowStore."""
    ids = [each.workflow_id for each in workflows]
    found = await link.call("load", lambda: statements.load(ids))
    for workflow in workflows:
        if workflow.workflow_id not in found:
            continue
        row, records = found[workflow.workflow_id]
        workflow.input, workflow.request, workflow.stop = row.new.input, row.new.request, row.stop
        if row.root is not None or row.born is not None:
            root = {} if row.root is None else {"root": row.root}
            workflow.born = json.dumps({**(row.born or {}), **root})
        workflow.generation, workflow.retried_s = row.generation, row.retried_at
        workflow.last_place = row.last_place
        workflow.load_bytes = weigh(workflow.input, workflow.request)
        for record in records:
            workflow.history.add(record)
            workflow.load_bytes += weigh(record.output, record.error) + RECORD_BYTES
        if enough(workflow):
            return
        yield workflow


def instances_leaving_out(link: Link, statements: InstanceStatements) -> Mapping[str, Callable[..., Any]]:
    """Claims, recovery and release that skip rows which refused a moment ago, as the real store does."""
    refusals = Refusals()

    async def claim(*args: Any, **options: Any) -> Claims:
        refused = refusals.now()
        claims = await link.call("claim", lambda: statements.claim(*args, **options, refused=refused))
        refusals.note(claims.refused)
        return replace(claims, refused=refusals.news())

    async def claim_queued(*args: Any, **options: Any) -> QueueClaims:
        passed = refusals.now()
        claims = await link.call(
            "claim_queued", lambda: statements.claim_queued(*args, **options, passed=passed)
        )
        refusals.note(claims.refused)
        return replace(claims, refused=refusals.news())

    async def recover(lost: Sequence[LostInstance]) -> list[tuple[str, str]]:
        passed = refusals.now()
        recovered, refused = await link.call("recover", lambda: statements.recover(lost, passed))
        refusals.note(refused)
        return recovered

    async def release(epochs: dict[str, int], *args: Any) -> None:
        passed = refusals.now()
        epochs = {each: epoch for each, epoch in epochs.items() if each not in passed}
        refusals.note(await link.call("release", lambda: statements.release(epochs, *args)))

    return {"claim": claim, "claim_queued": claim_queued, "recover": recover, "release": release}


def deliver_leaving_out(link: Link, statements: MessageStatements) -> Callable[[], Any]:
    """Delivery that skips such rows in the same way."""
    refusals = Refusals()

    async def deliver() -> Delivered:
        passed = refusals.now()
        delivered = await link.call("deliver", lambda: statements.deliver(passed))
        refusals.note(delivered.refused)
        return delivered._replace(refused=refusals.news())

    return deliver
