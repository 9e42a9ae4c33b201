"""Starts: a row is queued in the journal, and its workflow runs here once the row is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal

from outlast.core.budget import SMALL_BYTES, Budget
from outlast.core.callers import CallerToken
from outlast.core.claims import ClaimedWorkflow
from outlast.core.clock import monotonic
from outlast.core.errors import (
    DatabaseUnavailable,
    KeyReused,
    NotRecordable,
    Overloaded,
    QueueBusy,
    QueueFull,
    QueueKeyMissing,
    RateLimited,
    ShuttingDown,
    UsageError,
)
from outlast.core.names import workflow_id_of
from outlast.core.observations import WorkflowEnqueued, WorkflowStarted
from outlast.core.ports import BadData, HeldUp, QueueStore, WorkflowStore
from outlast.core.records import DeclaredQueue, NewWorkflow, WorkflowState
from outlast.engine.concurrency import Patience, settled
from outlast.engine.doors import Doors
from outlast.engine.entrance import Entrance, reaching
from outlast.engine.execution.services import Services
from outlast.engine.executor import Executor
from outlast.engine.options import DECLARE_S, EngineOptions
from outlast.engine.waits.ends import Waits
from outlast.sdk.definitions import WorkflowDefinition


class Starts:
    """The starts of one instance whose rows are being written, and the checks before them."""

    def __init__(
        self,
        entrance: Entrance,
        services: Services,
        workflows: WorkflowStore,
        waits: Waits,
        executor: Executor,
        running: Callable[[], int],
        used_bytes: Callable[[int], int],
        budget: Budget,
        options: EngineOptions,
        queues: QueueStore,
        queued: Callable[[float], None],
    ) -> None:
        """`running`: the number of workflows in memory. `used_bytes`: the memory they use, plus its argument.

        `queued` is called with the time (Unix seconds) when a queued workflow may begin.
        """
        self.under_way: dict[str, asyncio.Future[float | None]] = {}
        """By workflow id. Each future returns the row's creation time, or None if the row already existed."""
        self.load_bytes = 0
        self._entrance = entrance
        self._services = services
        self._journal = services.journal
        self._workflows = workflows
        self._waits = waits
        self._executor = executor
        self._running = running
        self._used_bytes = used_bytes
        self._budget = budget
        self._options = options
        self._queues = queues
        self.doors = Doors(queues, options.database_wait_s)
        self._queued = queued
        self._patience = Patience()
        self._declared: dict[str, tuple[DeclaredQueue, float]] = {}
        """Queues that only starts name, and when each was last declared."""
        self._full_queues: frozenset[str] = frozenset()

    async def start_new(
        self,
        new: NewWorkflow,
        definition: WorkflowDefinition,
        arguments: dict[str, Any] | None,
        token: CallerToken | None = None,
    ) -> WorkflowState | None:
        """Insert a workflow and run it. Returns None once it is durable, or the state of the row with its id.

        `token` is the caller's, kept while the workflow is in memory. Raises ShuttingDown, Overloaded or
        DatabaseUnavailable before a row exists; the last one also if it is unknown whether it exists. Raises
        KeyReused if the fingerprints differ.
        """
        self._entrance.check()
        workflow_id = new.workflow_id
        started = self.under_way.get(workflow_id)
        if started is None and workflow_id not in self._executor.live:
            self._admit(new)
            if new.door:
                if await self._enter(new):
                    return None
                started = None
            else:
                started = self._begin(new, definition, arguments, token)
            # guard: answered-before-durable = True
            if started is not None and await self._durable(started):
                return None
        elif started is not None:
            await self._durable(started)
        return await self._find(new)

    async def start_block(
        self, news: Sequence[NewWorkflow], definition: WorkflowDefinition, token: CallerToken | None = None
    ) -> list[WorkflowState | KeyReused | None]:
        """Call `start_new` for each of them, together in the journal. Their ids must differ.

        KeyReused isn't raised, but returned in its place.
        """
        if any(new.door for new in news):  # these enter one at a time
            return [await self._start_one(new, definition, token) for new in news]
        # A task for each start would cost more than the start itself. Those with a new id need none.
        begun: dict[str, asyncio.Future[float | None]] = {}
        self._entrance.check()
        for new in news:
            if new.workflow_id not in self.under_way and new.workflow_id not in self._executor.live:
                self._admit(new)
                begun[new.workflow_id] = self._begin(new, definition, None, token)
        found: list[WorkflowState | KeyReused | None] = []
        for new in news:
            started = begun.get(new.workflow_id)
            found.append(await self._start_one(new, definition, token, started))
        return found

    async def _start_one(
        self,
        new: NewWorkflow,
        definition: WorkflowDefinition,
        token: CallerToken | None,
        begun: asyncio.Future[float | None] | None = None,
    ) -> WorkflowState | KeyReused | None:
        try:
            if begun is None:
                return await self.start_new(new, definition, None, token)
            return None if await self._durable(begun) else await self._find(new)
        except KeyReused as error:
            return error

    async def _find(self, new: NewWorkflow) -> WorkflowState:
        """The state of the existing workflow with this id. Raises KeyReused if its payload differs."""
        state = await self.look(new.workflow_id)
        if state is None:
            raise DatabaseUnavailable("the workflow was removed this very moment; the same key is safe")
        # guard: fingerprints-not-compared
        if state.fingerprint != new.fingerprint and not await self._same_payload(new):
            raise KeyReused("this idempotency key was used with another payload")
        return state

    async def _same_payload(self, new: NewWorkflow) -> bool:
        """Whether the payload is the same JSON in other bytes, as after a start in another way."""
        with reaching():
            return new.input is not None and await self._workflows.same_payload(new)

    def _admit(self, new: NewWorkflow) -> None:
        # guard: starts-while-leaving
        if self._entrance.stopping:
            raise ShuttingDown("this instance shuts down")
        if self._journal.away:
            raise DatabaseUnavailable("the database can't be reached")
        if new.waits:
            # A workflow that waits in a queue takes no memory here.
            if self._journal.full:
                raise Overloaded("this instance has more to write than it can")
            # If the queue has a door, the backlog is counted there.
            if new.queue in self._full_queues and not new.door:
                raise QueueFull(f"queue {new.queue!r} is full: as many wait as may (max_backlog)")
            return
        # A child is never refused for lack of room: its parent occupies room and waits for it.
        child = new.parent is not None
        running = self._running()
        crowded = running >= self._options.workflows_max and not child
        if crowded or self._journal.full:
            raise Overloaded(f"this instance runs {running} workflows and takes no more now")
        # Small inputs are bounded by the number of workflows.
        large = not child and new.load_bytes > SMALL_BYTES
        # guard: large-calls-without-budget
        if large and not self._budget.fits(self._used_bytes(new.load_bytes), new.load_bytes):
            raise Overloaded("this instance has no memory left for an input of this size now")

    async def _enter(self, new: NewWorkflow) -> bool:
        """Let a workflow in by its queue's door. Returns False if it exists or was attached to another one.

        Raises QueueFull, RateLimited, QueueBusy, QueueKeyMissing, UsageError, and Overloaded if another
        transaction holds the door. Then nothing was written.
        """
        try:
            with reaching("it is unknown whether the start was committed; the same key is safe: "):
                entered = await self.doors.enter(new)
        except BadData as error:
            raise NotRecordable(f"the database refused to store this call: {error}") from error
        match entered.outcome:
            case "started":
                self._tell_queued(new)
                return True
            case "queue_full":
                raise QueueFull(f"queue {new.queue!r} is full: as many wait as may (max_backlog)")
            case "rate_limited":
                retry_s = entered.retry_s or 1.0
                raise RateLimited(f"queue {new.queue!r} takes no more calls for {retry_s:.1f} s", retry_s)
            case "queue_busy":
                raise QueueBusy(f"queue {new.queue!r} has this key at work already", entered.target)
            case "not_in_batches":
                raise UsageError(f"queue {new.queue!r} has batches, which {new.function} does not take")
            case "key_missing":
                raise QueueKeyMissing(f"queue {new.queue!r} needs a key, and the input has none")
        return False  # it exists, or was attached

    def _tell_queued(self, new: NewWorkflow) -> None:
        told = WorkflowEnqueued(new.workflow_id, new.function, _trigger_of(new), new.parent, new.request)
        self._services.observe(told)
        self._queued(self._services.clock.now_s() + new.delay_s)

    def _begin(
        self,
        new: NewWorkflow,
        definition: WorkflowDefinition,
        arguments: dict[str, Any] | None,
        token: CallerToken | None,
    ) -> asyncio.Future[float | None]:
        """Queue the row. The workflow runs once the row is durable, even if no caller waits any more."""
        started = self.under_way[new.workflow_id] = self._journal.start(new)
        term = self._services.lease.term
        waits = new.waits
        size = 0 if waits else new.load_bytes
        self.load_bytes += size

        def settle(done: asyncio.Future[float | None]) -> None:
            del self.under_way[new.workflow_id]
            self.load_bytes -= size
            # guard: lost-race-runs without 3
            if done.cancelled() or done.exception() is not None or (created_s := done.result()) is None:
                return
            if waits:
                self._tell_queued(new)
                return
            self._services.observe(
                WorkflowStarted(new.workflow_id, new.function, _trigger_of(new), new.parent, new.request)
            )
            # guard: late-start-launched
            if new.workflow_id in self._executor.live:
                return  # the answer came late: the workflow was recovered, and claimed by this instance
            claimed = ClaimedWorkflow(
                workflow_id=new.workflow_id,
                function=new.function,
                epoch=1,
                input=new.input,
                request=new.request,
                subject=new.subject,
                claims=new.claims,
                version=new.version,
                parent=new.parent,
                deadline_s=new.deadline_s,
                created_s=created_s,
                load_bytes=new.load_bytes,
                token=token,
            )
            self._executor.launch(claimed, definition, arguments, term=term)
            if self._entrance.stopping:
                self._executor.live[new.workflow_id].drain()

        started.add_done_callback(settle)
        return started

    async def _durable(self, started: asyncio.Future[float | None]) -> bool:
        if not await settled(started, self._patience, self._options.database_wait_s):
            raise DatabaseUnavailable("it is unknown whether the start was committed; the same key is safe")
        try:
            return started.result() is not None
        except BadData as error:
            raise NotRecordable(f"the database refused to store this call: {error}") from error

    async def declare(self, queue: DeclaredQueue) -> None:
        """Declare a queue that only a start names. Raises DatabaseUnavailable."""
        known, at = self._declared.get(queue.name, (None, 0.0))
        if known != queue or monotonic() >= at + DECLARE_S:
            with reaching():
                try:
                    await self._queues.declare([queue])
                except HeldUp:
                    if known != queue:
                        raise
                    # An earlier declaration is valid: it need not wait for the lock on the queue's row.
            self._declared[queue.name] = queue, monotonic()

    def learn_full_queues(self, queues: frozenset[str]) -> None:
        """These queues have reached their max_backlog: no more workflows enter them."""
        self._full_queues = queues

    async def keyed_as(
        self, function: str, definition: WorkflowDefinition, space: str | None, key: str | None
    ) -> str:
        """The name of the function for which this key was used in `space`; its first name if it wasn't used.

        Raises DatabaseUnavailable.
        """
        if key is not None and definition.aliases:
            # guard: keys-of-later-names-unseen
            for name in (*definition.aliases[1:], function):
                if await self.look(workflow_id_of(name, space, key)) is not None:
                    return name
        return definition.keyed_as(function)

    async def look(self, workflow_id: str) -> WorkflowState | None:
        """The state of a workflow; None if there is none. Raises DatabaseUnavailable."""
        with reaching():
            return await self._waits.look(workflow_id)


def _trigger_of(new: NewWorkflow) -> Literal["call", "child"]:
    return "call" if new.parent is None else "child"
