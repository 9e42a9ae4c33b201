"""Starts: a row is queued, and its workflow runs here once that is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from outlast.core.budget import SMALL_BYTES, Budget
from outlast.core.callers import CallerToken
from outlast.core.errors import DatabaseUnavailable, KeyReused, NotRecordable, Overloaded, ShuttingDown
from outlast.core.observations import WorkflowStarted
from outlast.core.ports import BadData, WorkflowStore
from outlast.core.records import ClaimedWorkflow, NewWorkflow, WorkflowState
from outlast.engine.concurrency import settled
from outlast.engine.entrance import Entrance, reaching
from outlast.engine.execution.services import Services
from outlast.engine.executor import Executor
from outlast.engine.options import EngineOptions
from outlast.engine.waits.ends import Waits
from outlast.sdk.definitions import WorkflowDefinition


class Starts:
    """Those of one instance that are on their way to the database, and how others are let in."""

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
    ) -> None:
        """`running`: workflows in memory. `used_bytes`: what they take, with so many more."""
        self.under_way: dict[str, asyncio.Future[float | None]] = {}
        """By workflow id. They come to the time of the row; None if it was there."""
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

    async def start_new(
        self,
        new: NewWorkflow,
        definition: WorkflowDefinition,
        arguments: dict[str, Any] | None,
        token: CallerToken | None = None,
    ) -> WorkflowState | None:
        """Insert a workflow and run it; None once its row is durable, or how the one that is there stands.

        `token` is the caller's, for as long as the workflow stays in memory. Raises ShuttingDown, Overloaded
        and DatabaseUnavailable before a row exists (the last also when that is unknown), KeyReused where the
        fingerprints differ.
        """
        self._entrance.check()
        workflow_id = new.workflow_id
        started = self.under_way.get(workflow_id)
        if started is None and workflow_id not in self._executor.live:
            self._admit(new)
            started = self._begin(new, definition, arguments, token)
            # guard: answered-before-durable = True
            if await self._durable(started):
                return None
        elif started is not None:
            await self._durable(started)
        state = await self.look(workflow_id)
        if state is None:
            raise DatabaseUnavailable("the workflow was removed this very moment; the same key is safe")
        # guard: fingerprints-not-compared
        if state.fingerprint != new.fingerprint and not await self._same_payload(new):
            raise KeyReused("this idempotency key was used with another payload")
        return state

    async def _same_payload(self, new: NewWorkflow) -> bool:
        """Whether what differs in its bytes is the same JSON; it may have come another way."""
        with reaching():
            return new.input is not None and await self._workflows.same_payload(new)

    def _admit(self, new: NewWorkflow) -> None:
        # guard: starts-while-leaving
        if self._entrance.stopping:
            raise ShuttingDown("this instance shuts down")
        # A child is never turned away for want of room: its parent takes some and waits for it.
        child = new.parent is not None
        running = self._running()
        crowded = running >= self._options.workflows_max and not child
        if crowded or self._journal.full:
            raise Overloaded(f"this instance runs {running} workflows and takes no more now")
        # Small ones are bounded by their number.
        large = not child and new.load_bytes > SMALL_BYTES
        # guard: large-calls-without-budget
        if large and not self._budget.fits(self._used_bytes(new.load_bytes), new.load_bytes):
            raise Overloaded("this instance has no memory left for an input of this size now")
        if self._journal.away:
            raise DatabaseUnavailable("the database can't be reached")

    def _begin(
        self,
        new: NewWorkflow,
        definition: WorkflowDefinition,
        arguments: dict[str, Any] | None,
        token: CallerToken | None,
    ) -> asyncio.Future[float | None]:
        """Queue the row; the workflow runs once it is durable, whether or not somebody still waits."""
        started = self.under_way[new.workflow_id] = self._journal.start(new)
        term = self._services.lease.term
        self.load_bytes += new.load_bytes

        def settle(done: asyncio.Future[float | None]) -> None:
            del self.under_way[new.workflow_id]
            self.load_bytes -= new.load_bytes
            # guard: lost-race-runs without 3
            if done.cancelled() or done.exception() is not None or (created_s := done.result()) is None:
                return
            trigger: Literal["call", "child"] = "call" if new.parent is None else "child"
            self._services.observe(WorkflowStarted(new.workflow_id, new.function, trigger))
            # guard: late-start-launched
            if new.workflow_id in self._executor.live:
                return  # its answer came late: it was recovered, and claimed by this instance itself
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
        if not await settled(started, self._options.database_wait_s):
            raise DatabaseUnavailable("it is unknown whether the start was committed; the same key is safe")
        try:
            return started.result() is not None
        except BadData as error:
            raise NotRecordable(f"the database refused to store this call: {error}") from error

    async def look(self, workflow_id: str) -> WorkflowState | None:
        """How a workflow stands; None if there is none. Raises DatabaseUnavailable."""
        with reaching():
            return await self._waits.look(workflow_id)
