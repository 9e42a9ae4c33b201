"""One execution of one workflow: what its body replays, runs and records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from outlast.core import faults
from outlast.core.clock import Clock, monotonic
from outlast.core.codec import Codec
from outlast.core.errors import NonDeterminism, ShuttingDown
from outlast.core.failures import CANCELLED, decode_failure, encode_failure
from outlast.core.observations import Observer, StepRetried
from outlast.core.paths import Branch
from outlast.core.ports import BadData, TransactionStore
from outlast.core.records import ClaimedWorkflow, RunningStep, StepRecord
from outlast.core.replay import History
from outlast.core.stops import Broken, Diverged, HandedOver, LeaseLost, Stopped, TimedOut
from outlast.engine.attempts import Failure, Success
from outlast.engine.body import RunningBody
from outlast.engine.journal import Journal
from outlast.engine.lease import Lease
from outlast.engine.mail import MailRoom
from outlast.engine.settling import settled
from outlast.engine.turns import cancel_later
from outlast.sdk.clients import MakeClients
from outlast.sdk.definitions import WorkflowDefinition

REFUSAL_MAX_S = 1.0


class Child(NamedTuple):
    """A workflow that another one starts: under this id, or what follows from a `key` of its own.

    It must end by `ends_by_s` (Unix seconds), if there is such a time.
    """

    workflow_id: str
    parent: str
    key: str | None
    ends_by_s: float | None


@dataclass(frozen=True, slots=True)
class Services:
    """What executions share."""

    journal: Journal
    lease: Lease
    transactions: TransactionStore
    clock: Clock
    observe: Observer
    step_threads: ThreadPoolExecutor
    start_child: Callable[[Child, WorkflowDefinition, tuple[Any, ...], dict[str, Any]], Awaitable[str]]
    """Gives the child's id."""
    result_of: Callable[[str], Awaitable[Any]]
    """What a workflow returned, or raised."""
    suspended: Callable[[float | None], None]
    mail: MailRoom
    send: Callable[[str, str, str, str], Awaitable[int]]
    moment_s: float
    """Sleeps that are longer leave the memory."""
    clients: MakeClients | None = None


@dataclass(slots=True)
class _Run:
    """A step that runs. `began` and `retry_at` are `monotonic` readings."""

    name: str
    began: float
    attempt: int = 1
    retry_at: float | None = None
    awaited: int = 0
    """Other workflows' ends that it waits for now."""


class Execution(RunningBody):
    """What `WorkflowRunner` makes calls of. All of it runs on the host's event loop but `block`."""

    def __init__(
        self, claimed: ClaimedWorkflow, definition: WorkflowDefinition, services: Services, stretch: int
    ) -> None:
        super().__init__(History(claimed.history))
        self.workflow_id = claimed.workflow_id
        self.function = claimed.function
        self.epoch = claimed.epoch
        self.stretch = stretch
        """Of the lease, in which it was last known that the row is this instance's."""
        self.definition = definition
        self._services = services
        self._refusals = 0
        self._running: dict[str, _Run] = {}
        self.at_work = 0
        """Calls of steps from their begin to the hand-over of what came of them."""
        self.load_bytes = claimed.load_bytes
        self._draining = False
        self._last_write: asyncio.Future[bool] | None = None

    @property
    def progressed(self) -> bool:
        """Whether its last write is durable: a workflow that goes on doesn't kill its process each time."""
        write = self._last_write
        return write is not None and write.done() and not write.cancelled() and write.exception() is None

    @property
    def only_waits(self) -> bool:
        """Whether all it does is to wait for other workflows: what it holds is not freed before they run."""
        return 0 < sum(run.awaited > 0 for run in self._running.values()) == self.at_work

    @property
    def pauses(self) -> bool:
        """Whether no step of it is at work: each waits for other workflows, or for its next attempt."""
        waiting = sum(run.awaited > 0 or run.retry_at is not None for run in self._running.values())
        return 0 < waiting == self.at_work

    @contextmanager
    def awaiting(self, step_id: str) -> Iterator[None]:
        """That step waits for another workflow's end in here."""
        run = self._running.get(step_id)
        if run is None:  # it is over: a task that it left behind waits
            yield
            return
        run.awaited += 1
        try:
            yield
        finally:
            run.awaited -= 1

    def drain(self) -> None:
        """Let running steps end, begin no other, then hand over."""
        self._draining = True
        if not self._running and self._body is not None:
            self.stop(HandedOver("the instance shuts down"))

    def running_steps(self) -> list[RunningStep]:
        """What it runs at this moment."""
        now, now_s = monotonic(), self._services.clock.now_s()
        return [
            RunningStep(
                self.workflow_id,
                self.epoch,
                step_id,
                run.name,
                run.attempt,
                now_s - now + run.began,
                None if run.retry_at is None else now_s - now + run.retry_at,
            )
            for step_id, run in self._running.items()
        ]

    # --- steps --------------------------------------------------------------------------------------------

    async def _next(self, branch: Branch, name: str) -> tuple[str, StepRecord | None]:
        """The id of the branch's next call, and its record if it has one."""
        self._turns.activity += 1
        if self.stopped is not None:
            await self._refuse(self.stopped)
        step_id = branch.next_id()
        try:
            return step_id, self._history.meet(step_id, name)
        except Diverged as reason:
            self.stop(reason)
            raise

    async def _refuse(self, reason: Stopped) -> None:
        # Ever later, so that a body that catches everything and calls again takes no processor.
        self._refusals += 1
        await asyncio.sleep(min(REFUSAL_MAX_S, 0.001 * (2 ** min(self._refusals, 20) - 2)))
        raise reason

    async def _run(
        self,
        step_id: str,
        name: str,
        fn: Callable[..., Any],
        attempts: Callable[[], Awaitable[Success | Failure]],
        committed: list[StepRecord] | None = None,
    ) -> Any:
        """Run a step that has no record, record how it ended, hand the end to the body.

        `committed` holds the record where the attempts wrote it themselves.
        """
        began = monotonic()
        self.at_work += 1
        try:
            try:
                await self._may_begin()
                began = monotonic()
                self._running[step_id] = _Run(name, began)
                try:
                    faults.reach("step.before_run")
                    outcome = await self._unseen(attempts())
                    faults.reach("step.after_run")
                finally:
                    del self._running[step_id]
                ended = monotonic()
                # guard: shutdown-is-the-childs-error
                if isinstance(outcome, Failure) and isinstance(outcome.error, ShuttingDown):
                    await self._hand_over()  # this instance ends: that is nobody's result
            except asyncio.CancelledError:
                # guard: stop-recorded-as-cancel = True
                if self.stopped is None:
                    # The body itself gave the step up. On replay it must not get the result instead.
                    record = StepRecord(step_id, name, began=began)
                    # guard: cancelled-step-unrecorded
                    await self._give_up(record, in_doubt=committed is not None)
                    self._drained()
                raise
            if self.stopped is not None:
                raise self.stopped
            error = encode_failure(outcome.error) if isinstance(outcome, Failure) else None
            if committed:
                order = committed[0].completion_order or self._history.next_order()
            else:
                order = self._history.next_order()
                text = outcome.text if isinstance(outcome, Success) else None
                record = StepRecord(step_id, name, text, error, outcome.attempts, order, began, ended)
                self._write(record)
                if committed is not None:
                    # guard: failed-in-doubt
                    await self._until_failed(order)
            await self._take_turn(order)
        finally:
            self.at_work -= 1
        self._drained()
        if isinstance(outcome, Success):
            return outcome.value
        assert error is not None
        raise decode_failure(error, name, fn.__globals__)

    async def _may_begin(self) -> None:
        """A step begins only when all before it is durable and the lease may be trusted."""
        while True:
            if self.stopped is not None:
                raise self.stopped
            # guard: steps-begin-while-leaving
            if self._draining:
                await self._hand_over()
            # guard: begins-on-the-undurable
            if (write := self._last_write) is not None and not self._is_durable(write):
                await settled(write)
                continue
            # guard: steps-without-lease = True
            if self._services.lease.covers(self.stretch):
                return
            await self._services.lease.renewal()

    async def _hand_over(self) -> None:
        """Begin no step while the instance shuts down; the last running one ends the execution."""
        if not self._running:
            raise self._handed_over()
        await asyncio.get_running_loop().create_future()

    def _handed_over(self) -> Stopped:
        self.stop(HandedOver("the instance shuts down"))
        assert self.stopped is not None
        return self.stopped

    def _drained(self) -> None:
        """A step is over: if it was the last one of a shutdown, end what waits to begin another."""
        if self._draining and not self._running and self._tasks:
            self._loop.call_soon(self._drain_branches)

    def _drain_branches(self) -> None:
        """After the last running step: the other branches wait for a step that may not begin."""
        if not self._running and self._body is not None:
            self.stop(HandedOver("the instance shuts down"))

    def _before_next(
        self, step_id: str, name: str
    ) -> Callable[[int, float, Exception], Coroutine[Any, Any, None]]:
        async def before_next(attempt: int, wait_s: float, error: Exception) -> None:
            text = f"{type(error).__name__}: {error}"
            self._services.observe(StepRetried(self.workflow_id, step_id, name, attempt, wait_s, text))
            run = self._running[step_id]
            run.retry_at = monotonic() + wait_s
            await asyncio.sleep(wait_s)
            await self._may_begin_again()
            run.attempt, run.retry_at = attempt + 1, None

        return before_next

    async def _may_begin_again(self) -> None:
        """A later attempt begins only while the workflow is this instance's, and not in a shutdown."""
        if self.stopped is not None:
            raise self.stopped
        if self._draining and len(self._running) == 1:
            raise self._handed_over()
        # guard: attempts-without-lease
        while not self._services.lease.covers(self.stretch):
            await self._services.lease.renewal()
            if self.stopped is not None:
                raise self.stopped

    async def _replayed(self, record: StepRecord, codec: Codec, fn: Callable[..., Any]) -> Any:
        """Hand out what is recorded, when its turn comes."""
        order = record.completion_order or 0
        if record.error == CANCELLED:
            await self._turns.cancelled_again(order)
        await self._turns.take(order)
        if self.stopped is not None:
            raise self.stopped
        if record.error is not None:
            raise decode_failure(record.error, record.name, fn.__globals__)
        try:
            return codec.decode(record.output)
        except Exception as error:  # a validator of the user's may raise anything
            reason = Diverged(
                f"the recorded output of step {record.step_id} {record.name!r} no longer fits its "
                f"annotation: {error}"
            )
            self.stop(reason)
            raise reason from error

    # --- writing ------------------------------------------------------------------------------------------

    def _write(self, record: StepRecord) -> None:
        write = self._services.journal.write(self.workflow_id, self.epoch, [record])
        if write is not self._last_write:
            self._last_write = write
            write.add_done_callback(self._written)

    async def _give_up(self, record: StepRecord, *, in_doubt: bool = False) -> None:
        """Record that the body gave a call up. It gets to know in its turn, after earlier results.

        `in_doubt`: the call may have been recorded as done.
        """
        order = self._history.next_order()
        self._write(record._replace(error=CANCELLED, completion_order=order, ended=monotonic()))
        # guard: given-up-in-doubt
        if in_doubt:
            await self._until_known(order)
        if self.stopped is None:
            await self._turns.take(order)

    async def _until_failed(self, order: int) -> None:
        """As `_until_known`; a cancellation that comes meanwhile is delivered after it."""
        cancelled = await self._until_known(order)
        if self.stopped is not None:
            raise self.stopped
        if cancelled:
            cancel_later()

    async def _until_known(self, order: int) -> bool:
        """Wait until it is known that a transaction failed, or was given up; whether a cancellation came.

        That is recorded at `order`. Its COMMIT may have been done for all that. Then its own record stands,
        this one is refused, and so must be all that the body would do next.
        """
        write, cancelled = self._last_write, False
        # guard: place-in-doubt-unreserved
        self._turns.reserve(order)  # what comes later must not pass meanwhile
        while write is not None and self.stopped is None and not self._is_durable(write):
            try:
                await settled(write)
            except asyncio.CancelledError:
                cancelled = True  # too late to matter
        return cancelled

    async def _take_turn(self, order: int) -> None:
        """Wait until the completion at `order` may be handed to the body, as the caller then does."""
        await self._turns.take(order)
        if self.stopped is not None:
            raise self.stopped

    def _is_durable(self, write: asyncio.Future[bool]) -> bool:
        """Whether `write` was accepted. If it was refused the execution is stopped by now."""
        if not write.done():
            return False
        # guard: refusal-heard-late
        self._written(write)  # as its own callback is about to, perhaps
        return self.stopped is None

    def _written(self, write: asyncio.Future[bool]) -> None:
        if write.cancelled():
            return
        if (error := write.exception()) is not None:
            kind = Broken if isinstance(error, BadData) else LeaseLost
            self.stop(kind(f"a record was refused: {error}"))
        # guard: refused-record-unheard
        elif not write.result():
            self.stop(LeaseLost("a write was refused: the workflow was cancelled or runs elsewhere"))


def public_reason(stopped: Stopped) -> tuple[str, str] | None:
    """Code and text of a stop that ends the workflow as ERROR; None for those that don't."""
    if isinstance(stopped, Diverged):
        return NonDeterminism.code, str(stopped)
    if isinstance(stopped, TimedOut):
        return "workflow_timeout", str(stopped)
    if isinstance(stopped, Broken):
        return "not_recordable", str(stopped)
    return None
