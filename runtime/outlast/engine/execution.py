"""One execution of one workflow: what its steps, transactions and sleeps do, live and on replay."""

from __future__ import annotations

import asyncio
import contextvars
import random
import secrets
import sys
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError as CallCancelled
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from outlast.core import faults
from outlast.core.clock import Clock
from outlast.core.codec import Codec
from outlast.core.errors import DatabaseUnavailable, NonDeterminism, Overloaded, ShuttingDown
from outlast.core.failures import CANCELLED, decode_failure, encode_failure
from outlast.core.observations import Observer, StepRetried
from outlast.core.paths import Branch
from outlast.core.ports import BadData, Conflicted, Fence, TransactionStore, TransactionWork, Unreachable
from outlast.core.records import ClaimedWorkflow, StepRecord
from outlast.core.replay import History
from outlast.core.retry import RetryPolicy
from outlast.core.stops import Broken, Diverged, HandedOver, LeaseLost, Stopped, Suspended, TimedOut
from outlast.engine.attempts import Failure, Success, attempt_all, in_thread
from outlast.engine.branches import Driven
from outlast.engine.journal import Journal
from outlast.engine.lease import Lease
from outlast.engine.turns import Turns
from outlast.sdk.context import context
from outlast.sdk.definitions import StepDefinition, TransactionDefinition, WorkflowDefinition
from outlast.sdk.running import current_line, enter_line, leave_line

CONFLICTS_MAX = 50
"""Reruns of one transaction for serialization failures and deadlocks before they count as its error."""

START_RETRY_MIN_S = 0.05
START_RETRY_MAX_S = 2.0

STOP_GRACE_S = 5.0
"""So long may a body that was stopped run its `finally` blocks. Then it is abandoned where it stands."""

REFUSAL_MAX_S = 1.0

_PLAIN = Codec(of="the result")
_UNTIL_THE_HOST_CAN = RetryPolicy(
    max_attempts=sys.maxsize, backoff_s=0.2, backoff_max_s=2.0, retry_on=(DatabaseUnavailable, Overloaded)
)
"""For awaiting children: that the host can't now is never recorded as their failure."""


@dataclass(frozen=True, slots=True)
class Services:
    """What executions share."""

    journal: Journal
    lease: Lease
    transactions: TransactionStore
    clock: Clock
    observe: Observer
    step_threads: ThreadPoolExecutor
    start_child: Callable[[str, str, WorkflowDefinition, tuple[Any, ...], dict[str, Any]], Awaitable[None]]
    result_of: Callable[[str], Awaitable[Any]]
    suspended: Callable[[float | None], None]
    moment_s: float
    """Sleeps that are longer leave the memory."""


class Execution:
    """The `Runner` behind one workflow's body. All of it runs on the host's event loop but `block`."""

    def __init__(self, claimed: ClaimedWorkflow, definition: WorkflowDefinition, services: Services) -> None:
        self.workflow_id = claimed.workflow_id
        self.function = claimed.function
        self.epoch = claimed.epoch
        self.definition = definition
        self._deadline_s = claimed.deadline_s
        self.root = Branch()
        self.stopped: Stopped | None = None
        self.task: asyncio.Task[None] | None = None
        """Its life; kept here, since the loop itself keeps tasks weakly."""
        self.wake_at_s: float | None = None
        self.unsaved_sleeps: list[StepRecord] = []
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._history = History(claimed.history)
        self._turns = Turns(self._history, lambda: not self._tasks, lambda: self.stopped is not None)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._body: asyncio.Task[Any] | None = None
        self._ever_branched = False
        self._calls: set[asyncio.Task[Any]] = set()
        self._refusals = 0
        self._abandoned = False
        self._abandoning: asyncio.TimerHandle | None = None
        self._running = 0
        self._draining = False
        self._sleeps: dict[str, float] = {}
        self._last_write: asyncio.Future[bool] | None = None

    # --- the body and its end -----------------------------------------------------------------------------

    @property
    def replaying(self) -> bool:
        """Whether the body still does what it did before."""
        return self._history.replaying

    @property
    def progressed(self) -> bool:
        """Whether its last write is durable: a workflow that goes on doesn't kill its process each time."""
        write = self._last_write
        return write is not None and write.done() and not write.cancelled() and write.exception() is None

    def begin(self) -> None:
        """The current task runs the body from now on."""
        self._body = asyncio.current_task()

    async def run(self, body: Coroutine[Any, Any, Any]) -> Any:
        """Await the coroutine of an `async def` body."""
        return await Driven(body, self)

    def going_on(self) -> None:
        """See Body. What goes on within a step is none of the body's activity."""
        if current_line() is not None:
            self._turns.activity += 1
        if self._abandoned and asyncio.current_task() is self._body:
            raise self.stopped or Stopped()

    def end(self) -> None:
        """The body returned or raised. Its tasks that still run are over; a step nobody waited for is too."""
        self._body = None
        if self._abandoning is not None:
            self._abandoning.cancel()
        for task in [*self._tasks, *self._calls]:
            task.cancel()
        if self.stopped is None:
            self.stopped = Stopped("the workflow has ended")
            self._history.check_all_reached(self.root.count)
        self._turns.close()

    def reason(self) -> Stopped | None:
        """Why the execution ended before its body did; None if it didn't."""
        return None if type(self.stopped) is Stopped else self.stopped

    def stop(self, reason: Stopped) -> None:
        """End this execution: what waits is cancelled, later calls are refused. The first reason counts."""
        if self.stopped is not None:
            return
        self.stopped = reason
        for task in [*self._tasks, *self._calls]:
            task.cancel()
        if self._body is not None:
            self._abandoning = self._loop.call_later(STOP_GRACE_S, self._abandon)
            if self._body is not asyncio.current_task():
                self._body.cancel()
        self._turns.close()

    def _abandon(self) -> None:
        """Resume a body no more that caught its end and goes on, or waits for ever."""
        if self._body is not None:
            self._abandoned = True
            self._body.cancel()

    def drain(self) -> None:
        """Let running steps end, begin no other, then hand over."""
        self._draining = True
        if not self._running and self._body is not None:
            self.stop(HandedOver("the instance shuts down"))

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Know a task that the body made."""
        self._ever_branched = True
        self._turns.activity += 1
        self._tasks.add(task)
        task.add_done_callback(self._disowned)
        if self.stopped is not None:
            task.cancel()

    def _disowned(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._turns.activity += 1

    def block(self, call: Coroutine[Any, Any, Any]) -> Any:
        """See Runner."""
        own = contextvars.copy_context()
        own.run(enter_line, None)
        future = own.run(asyncio.run_coroutine_threadsafe, self._called(call), self._loop)
        try:
            return future.result()
        except CallCancelled:
            raise self.stopped or HandedOver("the instance shuts down") from None

    async def _called(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Await what the thread of a `def` body blocks on: it ends when the execution is stopped."""
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            return await call
        finally:
            self._calls.discard(task)

    # --- steps --------------------------------------------------------------------------------------------

    async def call_step(
        self, branch: Branch, step: StepDefinition, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """See Runner."""
        step_id, record = await self._next(branch, step.name)
        if record is not None:
            return await self._replayed(record, step.codec, step.fn)

        def call() -> Awaitable[Any]:
            if step.is_async:
                return step.fn(*args, **kwargs)  # type: ignore[no-any-return]
            return in_thread(self._services.step_threads, step.fn, *args, **kwargs)

        return await self._run(
            step_id,
            step.name,
            step.fn,
            lambda: attempt_all(
                call, step.retry, step.timeout_s, step.codec, self._retried(step_id, step.name)
            ),
        )

    async def call_transaction(
        self,
        branch: Branch,
        transaction: TransactionDefinition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """See Runner."""
        name = transaction.name
        step_id, record = await self._next(branch, name)
        if record is not None:
            return await self._replayed(record, transaction.codec, transaction.fn)
        committed: list[StepRecord] = []
        reserved: list[int] = []

        async def call() -> Any:
            committed[:] = [await self._transact(step_id, transaction, args, kwargs, reserved)]

        async def attempts() -> Success | Failure:
            try:
                tried = await attempt_all(
                    call, transaction.retry, transaction.timeout_s, None, self._retried(step_id, name)
                )
            finally:
                for order in reserved:
                    if not committed or order != committed[0].completion_order:
                        self._turns.give_up(order)
            if isinstance(tried, Failure):
                return tried
            (record,) = committed
            return Success(record.output or "null", transaction.codec.decode(record.output), tried.attempts)

        return await self._run(step_id, name, transaction.fn, attempts, committed)

    async def call_start(
        self, branch: Branch, workflow: WorkflowDefinition, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> str:
        """See Runner."""
        name = f"start {workflow.name}"
        step_id, record = await self._next(branch, name)
        if record is not None:
            child_id: str = await self._replayed(record, _PLAIN, workflow.fn)
            return child_id
        child_id = f"{self.workflow_id}/{step_id}"

        async def call() -> str:
            wait_s = START_RETRY_MIN_S
            while True:
                try:
                    await self._services.start_child(child_id, self.workflow_id, workflow, args, kwargs)
                except (Overloaded, DatabaseUnavailable):
                    await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
                    wait_s = min(START_RETRY_MAX_S, wait_s * 2)
                except ShuttingDown as error:
                    raise self._handed_over() from error
                else:
                    return child_id

        await self._run(
            step_id,
            name,
            workflow.fn,
            lambda: attempt_all(call, RetryPolicy(), None, _PLAIN, self._retried(step_id, name)),
        )
        return child_id

    async def call_result(self, branch: Branch, workflow_id: str) -> Any:
        """See Runner."""
        name = f"result of {workflow_id}"
        step_id, record = await self._next(branch, name)
        if record is not None:
            return await self._replayed(record, _PLAIN, self.definition.fn)
        return await self._run(
            step_id,
            name,
            self.definition.fn,
            lambda: attempt_all(
                lambda: self._services.result_of(workflow_id),
                _UNTIL_THE_HOST_CAN,
                None,
                _PLAIN,
                self._retried(step_id, name),
            ),
        )

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
        started_s = self._services.clock.now_s()
        try:
            await self._may_begin()
            self._running += 1
            try:
                faults.reach("step.before_run")
                outcome = await attempts()
                faults.reach("step.after_run")
            finally:
                self._running -= 1
        except asyncio.CancelledError:
            if self.stopped is None:
                # The body itself gave the step up. On replay it must not get the result instead.
                self._write(
                    StepRecord(step_id, name, None, CANCELLED, 1, self._history.next_order(), started_s)
                )
            raise
        if self.stopped is not None:
            raise self.stopped
        if isinstance(outcome, Failure) and isinstance(outcome.error, ShuttingDown):
            await self._hand_over()  # this instance ends: that is nobody's result
        error = encode_failure(outcome.error) if isinstance(outcome, Failure) else None
        if committed:
            order = committed[0].completion_order or self._history.next_order()
        else:
            order = self._history.next_order()
            text = outcome.text if isinstance(outcome, Success) else None
            self._write(StepRecord(step_id, name, text, error, outcome.attempts, order, started_s))
        await self._turns.take(order)
        if self.stopped is not None:
            raise self.stopped
        if self._draining and not self._running and self._tasks:
            self._loop.call_soon(self._drain_branches)
        if isinstance(outcome, Success):
            return outcome.value
        assert error is not None
        raise decode_failure(error, name, fn.__globals__)

    async def _may_begin(self) -> None:
        """A step begins only when all before it is durable and the lease may be trusted."""
        while True:
            if self.stopped is not None:
                raise self.stopped
            if self._draining:
                await self._hand_over()
            if (write := self._last_write) is not None and not write.done():
                with suppress(BadData):  # told by `_written`
                    await asyncio.shield(write)
                continue
            if not self._services.lease.trusted:
                await self._services.lease.trust()
                continue
            return

    async def _hand_over(self) -> None:
        """Begin no step while the instance shuts down; the last running one ends the execution."""
        if not self._running:
            raise self._handed_over()
        await asyncio.get_running_loop().create_future()

    def _handed_over(self) -> Stopped:
        self.stop(HandedOver("the instance shuts down"))
        assert self.stopped is not None
        return self.stopped

    def _drain_branches(self) -> None:
        """After the last running step: the other branches wait for a step that may not begin."""
        if not self._running and self._body is not None:
            self.stop(HandedOver("the instance shuts down"))

    def _retried(self, step_id: str, name: str) -> Callable[[int, float, Exception], None]:
        def retried(attempt: int, wait_s: float, error: Exception) -> None:
            text = f"{type(error).__name__}: {error}"
            self._services.observe(StepRetried(self.workflow_id, step_id, name, attempt, wait_s, text))

        return retried

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

    # --- transactions -------------------------------------------------------------------------------------

    async def _transact(
        self,
        step_id: str,
        transaction: TransactionDefinition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        reserved: list[int],
    ) -> StepRecord:
        """Run the body and its record's insert until Postgres gave a plain answer.

        Every place the record may have got is added to `reserved`.
        """
        nonce = secrets.randbits(63)
        started_s = self._services.clock.now_s()

        async def run(connection: Any) -> StepRecord:
            if transaction.is_async:
                value = await transaction.fn(connection, *args, **kwargs)
            else:
                value = await in_thread(
                    self._services.step_threads, transaction.fn, connection, *args, **kwargs
                )
            text, _ = transaction.codec.through(value)
            order = self._history.next_order()
            reserved.append(order)
            self._turns.reserve(order)
            return StepRecord(step_id, transaction.name, text, None, context().attempt, order, started_s)

        work = TransactionWork(run, threaded=not transaction.is_async, isolation=transaction.isolation)
        fence = Fence(self.workflow_id, self.epoch, step_id, nonce)
        conflicts = 0
        standing: StepRecord | None = None
        while True:
            try:
                standing = await self._services.transactions.transact(work, fence)
            except Conflicted as error:
                conflicts += 1
                await conflict_pause(conflicts, error)
            except Unreachable:
                # If that was the commit, its record stands in the way of the next run's and undoes it.
                await asyncio.sleep(random.uniform(0.05, 0.5))
            else:
                break
            await self._may_begin_again()
        if standing is None:
            self.stop(LeaseLost(f"the record of {transaction.name!r} was refused"))
            raise self.stopped or LeaseLost()
        return standing

    async def _may_begin_again(self) -> None:
        if self.stopped is not None:
            raise self.stopped
        await self._services.lease.trust()

    # --- sleeps -------------------------------------------------------------------------------------------

    async def call_sleep(self, branch: Branch, duration_s: float | None, until_s: float | None) -> None:
        """See Runner."""
        step_id, record = await self._next(branch, "sleep")
        if record is not None and record.error == CANCELLED:
            await self._replayed(record, _PLAIN, self.definition.fn)
        if record is not None and record.completion_order is not None:
            await self._turns.take(record.completion_order)
            return
        now_s = self._services.clock.now_s()
        wake_s = now_s + duration_s if duration_s is not None else (until_s or 0.0)
        if record is not None:
            wake_s = from_json(record.output or "0")
        short = record is None and wake_s - now_s <= self._services.moment_s
        sleep = StepRecord(step_id, "sleep", to_json(wake_s).decode(), None, 1, None, now_s)
        try:
            if not short:
                await self._sleep_long(sleep, wake_s, recorded=record is not None)
            else:
                await self._sleep_short(wake_s)
        except asyncio.CancelledError:
            if self.stopped is None:
                self._write(
                    StepRecord(
                        step_id, "sleep", sleep.output, CANCELLED, 1, self._history.next_order(), now_s
                    )
                )
            raise
        if self.stopped is not None:
            raise self.stopped
        order = self._history.next_order()
        if short or self._ever_branched:
            # Which of several branches went on first must be durable before it shows.
            self._write(StepRecord(step_id, "sleep", sleep.output, None, 1, order, now_s))
        await self._turns.take(order)
        if self.stopped is not None:
            raise self.stopped

    async def _sleep_short(self, wake_s: float) -> None:
        if self._draining:
            await self._hand_over()
        await asyncio.sleep(max(0.0, wake_s - self._services.clock.now_s()))

    async def _sleep_long(self, sleep: StepRecord, wake_s: float, *, recorded: bool) -> None:
        """Sleep past the moment: the wake time is recorded; a workflow that only sleeps leaves the memory."""
        self._sleeps[sleep.step_id] = wake_s
        if not recorded:
            self.unsaved_sleeps.append(sleep)
        try:
            if not self._tasks and wake_s - self._services.clock.now_s() > self._services.moment_s:
                self._suspend()
                assert self.stopped is not None
                raise self.stopped
            self._save_sleeps()
            while (left_s := wake_s - self._services.clock.now_s()) > 0:
                seen = self._turns.activity
                outside = enter_line(None)  # to look at the time is no activity of the body
                try:
                    await asyncio.sleep(min(left_s, self._services.moment_s))
                finally:
                    leave_line(outside)
                # All that this workflow still does is to sleep: nothing moved for a moment.
                idle = seen == self._turns.activity and not self._running
                if (
                    idle
                    and min(self._sleeps.values()) - self._services.clock.now_s() > self._services.moment_s
                ):
                    self._suspend()
                if self.stopped is not None:
                    raise self.stopped
        finally:
            self._sleeps.pop(sleep.step_id, None)

    def _suspend(self) -> None:
        self.wake_at_s = min(
            [*self._sleeps.values(), *([] if self._deadline_s is None else [self._deadline_s])]
        )
        self.stop(Suspended("the workflow sleeps"))

    def _save_sleeps(self) -> None:
        """Record sleeps that don't suspend now: others go on, and a crash must not start them anew."""
        for sleep in self.unsaved_sleeps:
            self._write(sleep)
        self.unsaved_sleeps.clear()

    # --- writing ------------------------------------------------------------------------------------------

    def _write(self, record: StepRecord) -> None:
        write = self._services.journal.write(self.workflow_id, self.epoch, [record])
        if write is not self._last_write:
            self._last_write = write
            write.add_done_callback(self._written)

    def _written(self, write: asyncio.Future[bool]) -> None:
        if write.cancelled():
            return
        if (error := write.exception()) is not None:
            kind = Broken if isinstance(error, BadData) else LeaseLost
            self.stop(kind(f"a record was refused: {error}"))
        elif not write.result():
            self.stop(LeaseLost("a write was refused: the workflow was cancelled or runs elsewhere"))


async def conflict_pause(conflicts: int, error: Conflicted) -> None:
    """Wait before a transaction that conflicted runs again; after very many raise what Postgres said."""
    if conflicts > CONFLICTS_MAX:
        raise (error.__cause__ or error) from None
    await asyncio.sleep(random.uniform(0, min(0.5, 0.005 * 2 ** min(conflicts, 10))))


def public_reason(stopped: Stopped) -> tuple[str, str] | None:
    """Code and text of a stop that ends the workflow as ERROR; None for those that don't."""
    if isinstance(stopped, Diverged):
        return NonDeterminism.code, str(stopped)
    if isinstance(stopped, TimedOut):
        return "workflow_timeout", str(stopped)
    if isinstance(stopped, Broken):
        return "not_recordable", str(stopped)
    return None
