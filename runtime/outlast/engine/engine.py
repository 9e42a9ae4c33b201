"""The engine of one instance: its parts, how they start and stop, and what the web asks of it."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from outlast.core.background import LAST_ROUND_S, Loop
from outlast.core.budget import SMALL_BYTES, Budget
from outlast.core.callers import NOBODY, Caller, CallerToken
from outlast.core.clock import Clock
from outlast.core.errors import (
    DatabaseUnavailable,
    KeyReused,
    NotRecordable,
    Overloaded,
    ShuttingDown,
    UsageError,
    WorkflowNotFound,
)
from outlast.core.failures import globals_of
from outlast.core.names import workflow_id_of
from outlast.core.observations import (
    CallUnawaited,
    InstanceStopped,
    InstanceStopping,
    Observer,
    WorkflowStarted,
)
from outlast.core.ports import (
    BadData,
    Catalog,
    Conflicted,
    Store,
    TransactionWork,
    Unreachable,
)
from outlast.core.records import ClaimedWorkflow, NewWorkflow, RunningStep, StepRecord, WorkflowState
from outlast.core.stops import HandedOver, LeaseLost
from outlast.engine.bodies import patches
from outlast.engine.concurrency import in_thread, settled
from outlast.engine.execution.execution import STOP_GRACE_S
from outlast.engine.execution.services import Child, Services
from outlast.engine.executor import Executor
from outlast.engine.instances.allowance import Allowance
from outlast.engine.instances.membership import Membership, Pace
from outlast.engine.instances.queues import Consumer
from outlast.engine.journal import Journal
from outlast.engine.lease import Lease
from outlast.engine.new_workflows import new_workflow
from outlast.engine.operations.transactions import conflict_pause
from outlast.engine.waits.ends import Waits
from outlast.engine.waits.messages import Delivery
from outlast.engine.waits.results import result_of
from outlast.sdk.clients import MakeClients
from outlast.sdk.context import current_caller
from outlast.sdk.definitions import TransactionDefinition, WorkflowDefinition
from outlast.sdk.operations import Args, Kwargs


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Bounds and times of one instance. Seconds end in `_s`."""

    lease_ttl_s: float = 10.0
    tick_s: float = 0.6
    moment_s: float = 1.0
    drain_s: float = 20.0
    database_wait_s: float = 5.0
    workflows_max: int = 1_000
    claim_batch: int = 200
    suspect_after: int = 3
    threads_max: int = 64
    journal_depth_max: int = 20_000
    memory_bytes_max: int = 256 * 1024 * 1024
    """What the values of running workflows may take."""
    replay_arguments: Literal["warn", "hold", "off"] = "warn"
    """What a replay does that calls a recorded step with other arguments."""
    watch_bodies: bool = False
    """Whether clocks and chance in bodies are looked for: slow, for development."""


class Engine:
    """Starts, runs, recovers and hands over workflows. Must be made on the event loop it runs on."""

    def __init__(
        self,
        instance_id: str,
        store: Store,
        catalog: Catalog,
        observe: Observer,
        options: EngineOptions,
        clients: MakeClients | None = None,
    ) -> None:
        self.clock = Clock()
        self._observe = observe
        self._instance_id = instance_id
        self._options = options
        self._catalog = catalog
        self._transactions = store.transactions
        self._step_threads = ThreadPoolExecutor(options.threads_max, "outlast-step")
        self._body_threads = ThreadPoolExecutor(options.threads_max, "outlast-workflow")
        self._lease = Lease(options.lease_ttl_s)
        self._journal = Journal(store.journal, observe, depth_max=options.journal_depth_max)
        self._workflows = store.workflows
        self._messages = store.messages
        self._delivery = Delivery(store.messages, self._due, observe)
        self._starting: dict[str, asyncio.Future[float | None]] = {}
        self._starting_bytes = 0
        self._opened = False
        self._stopping = False
        services = Services(
            journal=self._journal,
            lease=self._lease,
            transactions=store.transactions,
            clock=self.clock,
            observe=observe,
            step_threads=self._step_threads,
            start_child=self._start_child,
            result_of=self.result,
            suspended=self._suspended,
            delivery=self._delivery,
            send=self._send,
            moment_s=options.moment_s,
            replay_arguments=options.replay_arguments,
            watch_bodies=options.watch_bodies,
            clients=clients,
        )
        self._waits = Waits(store.workflows, self.runs_here, observe)
        self._executor = Executor(services, self._waits, self, self._body_threads)
        self._budget = Budget(options.memory_bytes_max)
        self._allowance = Allowance(self._budget, self._executor.taken)
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
            lambda: set(self._starting),
            self._delivery.arrived,
            observe,
            pace,
        )
        self._taken_max = max(1, pace.claims_below)
        self._consumer = Consumer(
            store.queues,
            catalog,
            self._lease,
            self._room,
            self._budget,
            self._used_bytes,
            self._membership.load,
            observe,
        )

        self.loops: tuple[Loop, ...] = (
            *self._membership.loops,
            self._journal.writing,
            self._journal.watching,
            *self._waits.loops,
            self._delivery.loop,
            self._consumer.loop,
        )
        """All that goes on in the background."""

    # --- life ---------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Join the other instances and begin to recover. Raises Unreachable; then it may be tried again."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        patches.install()
        await self._membership.join()
        for loop in self.loops:
            loop.open()
        self._opened = True

    async def close(self) -> None:
        """Let running steps end within `drain_s`, give the rest back, leave."""
        self._stopping = True
        began = asyncio.get_running_loop().time()
        self._observe(InstanceStopping(tuple(self._executor.live), self._options.drain_s))
        self._membership.stop_claiming()
        await self._consumer.loop.close(LAST_ROUND_S)
        gone = ShuttingDown("this instance shuts down; the workflow goes on elsewhere")
        self._waits.fail_elsewhere(gone)
        if self._starting:
            await asyncio.wait(list(self._starting.values()), timeout=2.0)
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
                pass  # its lease is ended below, which gives them back too
        self._waits.fail_all(gone)
        await self._delivery.loop.close()
        await self._journal.close(2.0)
        await self._membership.leave()
        await self._waits.close(gone)
        self._step_threads.shutdown(wait=False, cancel_futures=True)
        self._body_threads.shutdown(wait=False, cancel_futures=True)
        self._observe(InstanceStopped(asyncio.get_running_loop().time() - began, given_back))

    @property
    def stopping(self) -> bool:
        """Whether this instance takes no more work."""
        return self._stopping

    @property
    def running(self) -> int:
        """Workflows in the memory of this instance."""
        return len(self._executor.live) + len(self._starting) + self._membership.loading

    def _room(self) -> int:
        """How many workflows may be taken from a queue now.

        Some places are left: a long queue would take each one that becomes free, and what wakes, is recovered
        or called would wait for its end.
        """
        if self._stopping or self._journal.full or self._journal.away or not self._lease.trusted:
            return 0
        return min(self._options.claim_batch, self._taken_max - self.running)

    def _used_bytes(self, load_bytes: int = 0) -> int:
        return (
            self._allowance.used(self._executor.taken(), load_bytes)
            + self._membership.load_bytes
            + self._starting_bytes
        )

    @property
    def journal_stalled(self) -> bool:
        """Whether something waits to be written and nothing is, for long."""
        return self._journal.stalled

    @property
    def database_away(self) -> bool:
        """Whether the last commit failed for want of a connection."""
        return self._journal.away

    # --- starting -----------------------------------------------------------------------------------------

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
        self._check_open()
        workflow_id = new.workflow_id
        started = self._starting.get(workflow_id)
        if started is None and workflow_id not in self._executor.live:
            self._admit(new)
            started = self._begin(new, definition, arguments, token)
            # guard: answered-before-durable = True
            if await self._durable(started):
                return None
        elif started is not None:
            await self._durable(started)
        state = await self._look(workflow_id)
        if state is None:
            raise DatabaseUnavailable("the workflow was removed this very moment; the same key is safe")
        # guard: fingerprints-not-compared
        if state.fingerprint != new.fingerprint and not await self._same_payload(new):
            raise KeyReused("this idempotency key was used with another payload")
        return state

    async def _same_payload(self, new: NewWorkflow) -> bool:
        """Whether what differs in its bytes is the same JSON; it may have come another way."""
        with _reaching():
            return new.input is not None and await self._workflows.same_payload(new)

    async def wait(self, workflow_id: str, timeout_s: float | None) -> WorkflowState | None:
        """How the workflow ended; None if it hasn't within `timeout_s`. Raises ShuttingDown."""
        self._check_open()
        if self._stopping and not self.runs_here(workflow_id):
            raise ShuttingDown("this instance shuts down; the workflow goes on elsewhere")
        return await self._waits.wait(workflow_id, timeout_s)

    async def cancel(self, workflow_id: str) -> bool:
        """Cancel a live workflow; False if it isn't live. Raises DatabaseUnavailable."""
        with _reaching():
            cancelled = await self._workflows.cancel(workflow_id)
        execution = self._executor.live.get(workflow_id)
        if cancelled and execution is not None:
            execution.stop(LeaseLost("the workflow was cancelled"))
        return cancelled

    def running_steps(self, workflow_id: str) -> list[RunningStep] | None:
        """The steps of a workflow that run at this moment; None if it doesn't run here."""
        execution = self._executor.live.get(workflow_id)
        return None if execution is None else execution.running_steps()

    @property
    def instance_id(self) -> str:
        """The name of this instance."""
        return self._instance_id

    def _check_open(self) -> None:
        if not self._opened:
            raise DatabaseUnavailable("the database hasn't been reached yet")
        # guard: other-loops-enter
        if not self.is_here():
            # A future of a loop that is closed when it is settled would take the journal along.
            raise UsageError("the engine is entered on its own loop alone: see sdk.calls.on_host")

    def _admit(self, new: NewWorkflow) -> None:
        # guard: starts-while-leaving
        if self._stopping:
            raise ShuttingDown("this instance shuts down")
        # A child is never turned away for want of room: its parent takes some and waits for it.
        child = new.parent is not None
        crowded = self.running >= self._options.workflows_max and not child
        if crowded or self._journal.full:
            raise Overloaded(f"this instance runs {self.running} workflows and takes no more now")
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
        started = self._starting[new.workflow_id] = self._journal.start(new)
        term = self._lease.term
        self._starting_bytes += new.load_bytes

        def settle(done: asyncio.Future[float | None]) -> None:
            del self._starting[new.workflow_id]
            self._starting_bytes -= new.load_bytes
            # guard: lost-race-runs without 3
            if done.cancelled() or done.exception() is not None or (created_s := done.result()) is None:
                return
            trigger: Literal["call", "child"] = "call" if new.parent is None else "child"
            self._observe(WorkflowStarted(new.workflow_id, new.function, trigger))
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
            if self._stopping:
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

    async def _look(self, workflow_id: str) -> WorkflowState | None:
        with _reaching():
            return await self._waits.look(workflow_id)

    def runs_here(self, workflow_id: str) -> bool:
        """Whether it is in the memory of this instance."""
        return workflow_id in self._executor.live or workflow_id in self._starting

    def _suspended(self, wake_at_s: float | None) -> None:
        """A workflow left the memory: be there when it wakes."""
        if wake_at_s is not None:
            self._membership.claim_soon(wake_at_s)

    def _due(self) -> None:
        self._membership.claim_soon(self.clock.now_s())

    # --- what functions reach -----------------------------------------------------------------------------

    async def start(self, workflow: WorkflowDefinition, args: Args, kwargs: Kwargs, key: str | None) -> str:
        """See `sdk.running.Host`."""
        function = self._served(workflow)
        caller, token = current_caller()
        workflow_id = workflow_id_of(function, caller.id, key)
        new = self._new(workflow_id, function, workflow, args, kwargs, key, caller)
        await self.start_new(new, workflow, None, token)
        return workflow_id

    async def result(self, workflow_id: str) -> Any:
        """See `sdk.running.Host`."""
        self._check_open()
        if not self.runs_here(workflow_id) and await self._look(workflow_id) is None:
            raise WorkflowNotFound(f"there is no workflow {workflow_id!r}")
        # guard: step-that-waits-works
        with self._executor.awaiting_here():
            state = await self.wait(workflow_id, None)
        assert state is not None
        workflow = self._catalog.workflow(state.function)
        return result_of(state, {} if workflow is None else globals_of(workflow.fn))

    async def send(self, workflow_id: str, body: str, topic: str, key: str | None) -> int:
        """See `sdk.running.Host`."""
        self._check_open()
        # With a key of its own a call whose answer is lost is made again.
        return await self._send(workflow_id, body, topic, key or f"call-{secrets.token_hex(16)}")

    async def _send(self, workflow_id: str, body: str, topic: str, key: str) -> int:
        with _reaching("whether the message was sent is unknown: "):
            message_id = await self._messages.send(workflow_id, body, topic, key)
        self._delivery.arrived()
        return message_id

    async def transact(self, transaction: TransactionDefinition, args: Args, kwargs: Kwargs) -> Any:
        """See `sdk.running.Host`."""
        self._check_open()
        results: list[Any] = []

        async def run(connection: Any) -> StepRecord:
            if transaction.is_async:
                result = await transaction.fn(connection, *args, **kwargs)
            else:
                result = await in_thread(self._step_threads, transaction.fn, connection, *args, **kwargs)
            results[:] = [result]
            return StepRecord("", transaction.name)

        caller = current_caller()[0] if transaction.role == "caller" else None
        work = TransactionWork(
            run, threaded=not transaction.is_async, isolation=transaction.isolation, caller=caller
        )
        for conflicts in count(1):
            try:
                with _reaching():
                    await self._transactions.transact(work, None)
                break
            except Conflicted as error:
                await conflict_pause(conflicts, error)
        return results[0]

    def block(self, call: Coroutine[Any, Any, Any]) -> Any:
        """See `sdk.running.Host`."""
        return self.submit(call).result()

    def submit(self, call: Coroutine[Any, Any, Any]) -> Future[Any]:
        """See `sdk.running.Host`."""
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def is_here(self) -> bool:
        """See `sdk.running.Host`."""
        return threading.get_ident() == self._thread

    def tell_unawaited(self, name: str, place: str) -> None:
        """See `sdk.running.Host`."""
        self._observe(CallUnawaited("", "", name, place))

    async def _start_child(
        self, child: Child, workflow: WorkflowDefinition, args: Args, kwargs: Kwargs
    ) -> str:
        function = self._served(workflow)
        caller, token = current_caller()
        workflow_id = child.workflow_id
        if child.key is not None:
            workflow_id = workflow_id_of(function, caller.id, child.key)
        new = self._new(
            workflow_id, function, workflow, args, kwargs, child.key, caller, child.parent, child.ends_by_s
        )
        await self.start_new(new, workflow, None, token)
        return workflow_id

    def _served(self, workflow: WorkflowDefinition) -> str:
        function = self._catalog.name_of(workflow)
        if function is None:
            raise UsageError(_not_served(workflow.fn))
        return function

    def _new(
        self,
        workflow_id: str,
        function: str,
        workflow: WorkflowDefinition,
        args: Args,
        kwargs: Kwargs,
        key: str | None,
        caller: Caller = NOBODY,
        parent: str | None = None,
        ends_by_s: float | None = None,
    ) -> NewWorkflow:
        return new_workflow(
            workflow_id,
            function,
            workflow,
            workflow.inputs.encode_call(args, kwargs),
            version=self._catalog.version(function),
            now_s=self.clock.now_s(),
            key=key,
            subject=caller.id,
            claims=caller.record(),
            parent=parent,
            ends_by_s=ends_by_s,
        )


@contextmanager
def _reaching(unknown: str = "") -> Iterator[None]:
    """What is done within needs the database. Raises DatabaseUnavailable."""
    try:
        yield
    except Unreachable as error:
        raise DatabaseUnavailable(f"{unknown}{error}") from error


def _not_served(fn: Callable[..., Any]) -> str:
    """Why a workflow that isn't in the catalog isn't, and what to write."""
    around, _, name = fn.__qualname__.rpartition(".")
    if not around:
        return f"the workflow {name!r} is not served: it must be in a file under functions/"
    made = "within a function" if around.endswith("<locals>") else f"in the class {around}"
    return (
        f"the workflow {name!r} is defined {made}: another instance couldn't find it by its name. "
        "Define it at the top level of a file under functions/, and give it what it needs as arguments"
    )
