"""The engine of one instance: its parts, how they start and stop, and what the web layer calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from outlast.core.background import LAST_ROUND_S, Loop
from outlast.core.budget import Budget
from outlast.core.callbacks import NO_SEALS, Seals
from outlast.core.clock import Clock
from outlast.core.errors import ShuttingDown
from outlast.core.observations import InstanceStopped, InstanceStopping, Observer
from outlast.core.ports import Catalog, Store
from outlast.core.records import RunningStep, WorkflowState
from outlast.core.status import Status
from outlast.core.stops import Cancelled, CancelledHere, HandedOver
from outlast.core.tracing import Tracing
from outlast.core.verbs import BULK, UNDO, Verb
from outlast.engine.bodies import patches
from outlast.engine.entrance import Entrance, reaching
from outlast.engine.execution.execution import STOP_GRACE_S
from outlast.engine.execution.services import Services
from outlast.engine.executor import Executor
from outlast.engine.function_host import FunctionHost
from outlast.engine.instances.allowance import Allowance
from outlast.engine.instances.bulks import BulkRunner
from outlast.engine.instances.cleaning import Cleaner
from outlast.engine.instances.consuming import Consumer
from outlast.engine.instances.holding import Holder
from outlast.engine.instances.membership import Membership, Pace
from outlast.engine.instances.ticking import Ticker
from outlast.engine.journal import Journal
from outlast.engine.lease import Lease
from outlast.engine.options import EngineOptions
from outlast.engine.settling import check_many, check_one
from outlast.engine.starts import Starts
from outlast.engine.waits.emissions import Emissions
from outlast.engine.waits.ends import Waits
from outlast.engine.waits.events import EventReading
from outlast.engine.waits.limits import Limits
from outlast.engine.waits.messages import Delivery
from outlast.sdk.context import MakeClients

LOOK_TICKS = 8
"""Schedules are read every so many ticks if no change is reported and none is due."""


class Engine:
    """Starts, runs, recovers and hands over workflows. Must be created on the event loop it runs on."""

    def __init__(
        self,
        instance_id: str,
        store: Store,
        catalog: Catalog,
        observe: Observer,
        options: EngineOptions,
        clients: MakeClients | None = None,
        seals: Seals = NO_SEALS,
        tracing: Tracing | None = None,
    ) -> None:
        self.clock = Clock()
        self.observe = observe
        """Receives the observations, for logs, metrics and traces."""
        self.instance_id = instance_id
        self._options = options
        self.entrance = Entrance()
        self._step_threads = ThreadPoolExecutor(options.threads_max, "outlast-step")
        self._body_threads = ThreadPoolExecutor(options.threads_max, "outlast-workflow")
        self._lease = Lease(options.lease_ttl_s)
        self._journal = Journal(store.journal, observe, self._due, depth_max=options.journal_depth_max)
        self._workflows = store.workflows
        self._catalog = catalog
        self._delivery = Delivery(store.messages, self._due, observe)
        self.emissions = Emissions()
        self._events = EventReading(store.workflows, observe)
        self._holder = Holder(
            store.holds,
            catalog,
            lambda: self._due(),
            lambda: not self.entrance.stopping,
            observe,
            options.tick_s,
            LOOK_TICKS * options.tick_s,
            options.unserved_s,
            options.held_max_days,
        )
        self._limits = Limits(
            store.queues,
            instance_id,
            lambda each: self._executor.ask_again(each),
            lambda: self._due(),
            observe,
        )
        services = Services(
            journal=self._journal,
            holds=self._holder,
            lease=self._lease,
            transactions=store.transactions,
            queues=store.queues,
            limits=self._limits,
            maps=store.maps,
            clock=self.clock,
            observe=observe,
            step_threads=self._step_threads,
            suspended=self._suspended,
            left_queue=lambda: self._queued(self.clock.now_s()),
            delivery=self._delivery,
            emissions=self.emissions,
            events=self._events,
            stopping=lambda: self.entrance.stopping,
            moment_s=options.moment_s,
            replay_arguments=options.replay_arguments,
            watch_bodies=options.watch_bodies,
            clients=clients,
            seals=seals,
            tracing=tracing,
        )
        self.seals = seals
        self._waits = Waits(store.workflows, self.runs_here, observe)
        self._executor = Executor(services, self._waits, self._body_threads, catalog.version)
        budget = Budget(options.memory_bytes_max)
        self._allowance = Allowance(budget, self._executor.taken)
        self.starts = Starts(
            self.entrance,
            services,
            store.workflows,
            self._waits,
            self._executor,
            lambda: self.running,
            self._used_bytes,
            budget,
            options,
            store.queues,
            self._queued,
        )
        self.host = services.host = FunctionHost(
            self.entrance,
            self.starts,
            self.wait,
            self.runs_here,
            self._executor,
            catalog,
            store.messages,
            services,
            store.workflows,
            self._schedules_changed,
            self.cancel,
            self.act,
        )
        pace = Pace(
            options.tick_s, options.claim_batch, options.workflows_max, options.suspect_after, self._allowance
        )
        self._membership = Membership(
            instance_id,
            store.instances,
            store.workflows,
            catalog,
            self._executor,
            self._lease,
            self.clock,
            lambda: set(self.starts.under_way),
            self._delivery.arrived,
            self._delivery.untold,
            self.starts.learn_full_queues,
            store.queues,
            observe,
            pace,
        )
        self._taken_max = max(1, pace.claims_below)
        self._consumer = Consumer(
            store.message_queues,
            catalog,
            self._lease,
            self._room,
            budget,
            self._used_bytes,
            self._membership.load,
            lambda: self._queued(self.clock.now_s()),
            observe,
        )
        self._ticker = Ticker(
            store.schedules,
            catalog,
            self.look,
            lambda: not self.entrance.stopping,
            observe,
            LOOK_TICKS * options.tick_s,
        )
        self._bulks = BulkRunner(
            store.workflows,
            self.look,
            lambda: not self.entrance.stopping,
            observe,
            LOOK_TICKS * options.tick_s,
        )
        self._membership.told = self._told
        self._cleaner = Cleaner(
            store.retention,
            catalog,
            options.retention_s,
            lambda: self.running > 0,
            lambda: not self.entrance.stopping and self._lease.trusted,
            observe,
            options.retention_look_s,
        )

        self.loops: tuple[Loop, ...] = (
            *self._membership.loops,
            self._journal.writing,
            self._journal.watching,
            *self._waits.loops,
            self._delivery.loop,
            self._events.loop,
            self._limits.loop,
            *self._consumer.loops,
            self._ticker.loop,
            self._bulks.looks.loop,
            self._cleaner.loop,
            self._holder.loop,
        )
        """All background loops."""

    # --- life ---------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Join the other instances and begin to recover. Raises Unreachable; it may then be called again."""
        self.entrance.join()
        patches.install()
        await self._membership.join()
        for loop in self.loops:
            loop.open()
        self.entrance.open()

    async def close(self) -> None:
        """Let running steps end within `drain_s`, give the other workflows back, and leave."""
        self.entrance.stopping = True
        began = asyncio.get_running_loop().time()
        self.observe(InstanceStopping(tuple(self._executor.live), self._options.drain_s))
        self._membership.stop_claiming()
        loops = *self._consumer.loops, self._ticker.loop, self._bulks.looks.loop, self._cleaner.loop
        await asyncio.gather(*(each.close(LAST_ROUND_S) for each in loops))
        gone = ShuttingDown("this instance shuts down; the workflow goes on elsewhere")
        self._waits.fail_elsewhere(gone)
        self._events.refuse(gone)
        if self.starts.under_way:
            await asyncio.wait(list(self.starts.under_way.values()), timeout=2.0)
        await self.starts.doors.close()
        for execution in list(self._executor.live.values()):
            execution.drain()
        given_back = 0
        try:
            async with asyncio.timeout(self._options.drain_s):
                await self._executor.idle()
        except TimeoutError:
            given_back = len(self._executor.live)
            for execution in list(self._executor.live.values()):
                execution.stop(HandedOver("the instance shuts down and its step took too long"))
            try:
                async with asyncio.timeout(STOP_GRACE_S + 1.0):
                    await self._executor.idle()
            except TimeoutError:
                pass  # the end of the lease below gives them back too
        self._waits.fail_all(gone)
        await self._holder.close()
        await self._delivery.loop.close()
        await self._events.loop.close()
        await self._journal.close(2.0)
        await self._limits.loop.close(LAST_ROUND_S)
        await self._membership.leave()
        await self._waits.close(gone)
        self._step_threads.shutdown(wait=False, cancel_futures=True)
        self._body_threads.shutdown(wait=False, cancel_futures=True)
        self.observe(InstanceStopped(asyncio.get_running_loop().time() - began, given_back))

    @property
    def stopping(self) -> bool:
        """Whether this instance takes no more work."""
        return self.entrance.stopping

    @property
    def running(self) -> int:
        """The number of workflows in the memory of this instance."""
        return len(self._executor.live) + len(self.starts.under_way) + self._membership.loading

    def _room(self) -> int:
        """How many workflows may be taken from a queue now.

        Some places stay free. Otherwise a long queue would take every free place, and workflows that wake,
        are recovered or are called would wait for the end of a queued one.
        """
        if self.entrance.stopping or self._journal.full or self._journal.away or not self._lease.trusted:
            return 0
        return min(self._options.claim_batch, self._taken_max - self.running)

    def _used_bytes(self, load_bytes: int = 0) -> int:
        return (
            self._allowance.used(self._executor.taken(), load_bytes)
            + self._membership.load_bytes
            + self.starts.load_bytes
        )

    @property
    def journal_stalled(self) -> bool:
        """Whether entries have been waiting for long and nothing is written."""
        return self._journal.stalled

    @property
    def held(self) -> Mapping[str, int]:
        """How many workflows in the whole database are held, by reason. A few seconds old."""
        return self._holder.counts

    @property
    def database_away(self) -> bool:
        """Whether the last commit failed because there was no connection."""
        return self._journal.away

    # --- for callers ---------------------------------------------------------------------------------------

    async def wait(
        self, workflow_id: str, timeout_s: float | None, *, or_held: bool = False
    ) -> WorkflowState | None:
        """The state of the workflow once it has ended; None after `timeout_s`. Raises ShuttingDown.

        With `or_held` also its state as soon as it is held.
        """
        self.entrance.check()
        if self.entrance.stopping and not self.runs_here(workflow_id):
            raise ShuttingDown("this instance shuts down; the workflow goes on elsewhere")
        return await self._waits.wait(workflow_id, timeout_s, or_held=or_held)

    async def cancel(
        self, workflow_id: str, by: str = "this instance", why: str | None = None, mode: str = UNDO
    ) -> Status | None:
        """Cancel a live workflow. Records who does this (`by`), and why. Raises DatabaseUnavailable.

        Returns None if it isn't live, CANCELLED, or PENDING if it first undoes what its sagas have done. In
        the mode KILL it undoes nothing.
        """
        with reaching():
            status = await self._workflows.cancel(workflow_id, by, why, mode)
        execution = self._executor.live.get(workflow_id)
        if status is Status.PENDING:
            if execution is not None:
                execution.ask_to_stop(Cancelled("the workflow was cancelled"))
            self._due()
        elif status is not None and execution is not None:
            execution.stop(CancelledHere("the workflow was cancelled"))
        if status is Status.CANCELLED:
            self._membership.look_at_owned()  # its children are cancelled too
            self._delivery.untold()
        return status

    async def act(
        self, verb: Verb, workflow_id: str, arguments: Mapping[str, Any], by: str
    ) -> Mapping[str, Any]:
        """Do a verb to a workflow. Returns what the verb's database function returns. See WorkflowStore.act.

        Raises InvalidInput for a fork's input that isn't valid for its function, and for a settled output
        that isn't valid for its step.
        """
        await check_one(verb, workflow_id, arguments, self._workflows, self._catalog)
        row = await self._workflows.act(verb, workflow_id, arguments, by)
        # A workflow that it changed may now run here, or must no longer run here.
        self.look()
        return row

    async def act_on_many(self, arguments: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Do a verb to all workflows of a filter. See WorkflowStore.act, and `act` for the errors."""
        # guard: bulks-of-what-does-not-fit
        await check_many(arguments, self._workflows, self._catalog)
        row = await self._workflows.act(BULK, None, arguments, by)
        self.look()
        return row

    def look(self) -> None:
        """Workflows, queues or schedules were changed: check at once what may run here now."""
        self._due()
        self._queued(self.clock.now_s())

    def runs_here(self, workflow_id: str) -> bool:
        """Whether the workflow is in the memory of this instance."""
        return workflow_id in self._executor.live or workflow_id in self.starts.under_way

    def running_steps(self, workflow_id: str) -> list[RunningStep] | None:
        """The steps of a workflow that run now; None if the workflow doesn't run here."""
        execution = self._executor.live.get(workflow_id)
        return None if execution is None else execution.running_steps()

    def _queued(self, at_s: float) -> None:
        """A workflow waits in a queue, or left its place there: check at `at_s` what may begin."""
        self._membership.decide_soon(at_s)

    def _told(self) -> None:
        """The database reported that there may be work. It may be for a schedule or a bulk."""
        self._ticker.looks.look_soon()
        self._bulks.looks.look_soon()

    def _schedules_changed(self) -> None:
        self._ticker.loop.wake()
        self.look()

    def _suspended(self, wake_at_s: float | None) -> None:
        """A workflow left the memory: claim again at the time when it wakes."""
        if wake_at_s is not None:
            self._membership.claim_soon(wake_at_s)

    def _due(self) -> None:
        self._membership.claim_soon(self.clock.now_s())
