"""The `Runner` behind a workflow's body: what its steps, transactions, children and messages sent do."""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from outlast.core.clock import monotonic
from outlast.core.codec import Codec
from outlast.core.errors import DatabaseUnavailable, Overloaded, ShuttingDown, StepFailed, WorkflowFailed
from outlast.core.names import message_key_of
from outlast.core.observations import CallUnawaited
from outlast.core.paths import Branch
from outlast.core.ports import Conflicted, Fence, TransactionWork, Unreachable
from outlast.core.records import ClaimedWorkflow, StepRecord
from outlast.core.retry import RetryPolicy
from outlast.core.stops import LeaseLost
from outlast.engine.attempts import Failure, Success, Tried, attempt_all, in_thread
from outlast.engine.execution import Child, Services
from outlast.engine.publishing import Publisher
from outlast.sdk.context import Context, context
from outlast.sdk.definitions import StepDefinition, TransactionDefinition, WorkflowDefinition

CONFLICTS_MAX = 50
"""Reruns of one transaction for serialization failures and deadlocks before they count as its error."""

START_RETRY_MIN_S = 0.05
START_RETRY_MAX_S = 2.0

_PLAIN = Codec(of="the result")
_UNTIL_THE_HOST_CAN = RetryPolicy(
    max_attempts=sys.maxsize, backoff_s=0.2, backoff_max_s=2.0, retry_on=(DatabaseUnavailable, Overloaded)
)
"""For awaiting children and for messages: that the host can't now is never recorded as their failure."""


class _TooLate(Exception):
    """Nothing was begun: the lease had run out by then."""


class WorkflowRunner(Publisher):
    """An execution as the SDK calls it."""

    def __init__(
        self, claimed: ClaimedWorkflow, definition: WorkflowDefinition, services: Services, stretch: int
    ) -> None:
        super().__init__(claimed, definition, services, stretch)
        self.context: Context | None = None
        """Made when the function asks for it."""

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
            return self._in_thread(step.fn, *args, **kwargs)

        return await self._run(
            step_id,
            step.name,
            step.fn,
            lambda: attempt_all(
                call,
                step.retry,
                step.timeout_s,
                step.codec,
                self._before_next(step_id, step.name),
                Tried(step_id, f"step {step.name!r}", self._services.clock.now_s),
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
                    call,
                    transaction.retry,
                    transaction.timeout_s,
                    None,
                    self._before_next(step_id, name),
                    Tried(step_id, f"transaction {name!r}", self._services.clock.now_s),
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
        self,
        branch: Branch,
        workflow: WorkflowDefinition,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        key: str | None,
        detached: bool,
    ) -> str:
        """See Runner."""
        name = f"start {workflow.name}"
        step_id, record = await self._next(branch, name)
        if record is not None:
            child_id: str = await self._replayed(record, _PLAIN, workflow.fn)
            return child_id
        child = Child(
            workflow_id=f"{self.workflow_id}/{step_id}",
            parent=self.workflow_id,
            key=key,
            ends_by_s=None if detached else self._deadline_s,
        )

        async def call() -> str:
            wait_s = START_RETRY_MIN_S
            while True:
                try:
                    return await self._services.start_child(child, workflow, args, kwargs)
                # guard: full-host-is-the-childs-error
                except (Overloaded, DatabaseUnavailable):
                    await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
                    wait_s = min(START_RETRY_MAX_S, wait_s * 2)
                except ShuttingDown as error:
                    raise self._handed_over() from error

        started: str = await self._run(
            step_id,
            name,
            workflow.fn,
            lambda: attempt_all(call, RetryPolicy(), None, _PLAIN, self._before_next(step_id, name)),
        )
        return started

    async def call_result(self, branch: Branch, workflow_id: str, workflow: WorkflowDefinition | None) -> Any:
        """See Runner."""
        name = f"result of {workflow_id}"
        try:
            return await self._result(branch, workflow_id, name, (workflow or self.definition).fn)
        except StepFailed as error:
            if error.step != name:
                raise
            # What it raised can't be rebuilt here.
            text = f"{error.error_type}: {error.error_message}"
            raise WorkflowFailed(workflow_id, f"{workflow_id} failed: {text}") from error

    async def _result(self, branch: Branch, workflow_id: str, name: str, fn: Callable[..., Any]) -> Any:
        step_id, record = await self._next(branch, name)
        if record is not None:
            return await self._replayed(record, _PLAIN, fn)

        async def result() -> Any:
            with self.awaiting(step_id):
                return await self._services.result_of(workflow_id)

        return await self._run(
            step_id,
            name,
            fn,
            lambda: attempt_all(
                result,
                _UNTIL_THE_HOST_CAN,
                None,
                _PLAIN,
                self._before_next(step_id, name),
            ),
        )

    async def call_send(
        self, branch: Branch, workflow_id: str, body: str, topic: str, key: str | None
    ) -> int:
        """See Runner."""
        name = f"send to {workflow_id}"
        step_id, record = await self._next(branch, name)
        if record is not None:
            sent: int = await self._replayed(record, _PLAIN, self.definition.fn)
            return sent
        key = key or message_key_of(self.workflow_id, step_id)
        sent = await self._run(
            step_id,
            name,
            self.definition.fn,
            lambda: attempt_all(
                lambda: self._services.send(workflow_id, body, topic, key),
                _UNTIL_THE_HOST_CAN,
                None,
                _PLAIN,
                self._before_next(step_id, name),
            ),
        )
        return sent

    def tell_unawaited(self, name: str, place: str) -> None:
        """See Runner. What a stop threw away is no slip, and of a replay it was told the first time."""
        if self.reason() is None and not self.replaying:
            self._services.observe(CallUnawaited(self.workflow_id, self.function, name, place))

    async def _in_thread(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                return await in_thread(self._services.step_threads, self._in_time(fn), *args, **kwargs)
            except _TooLate:
                await self._may_begin_again()

    def _in_time(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """`fn`, begun only under the lease: until there is a thread or a connection, it may have run out."""

        def begin(*args: Any, **kwargs: Any) -> Any:
            if self.stopped is not None or not self._services.lease.covers(self.stretch):
                raise _TooLate
            return fn(*args, **kwargs)

        return begin

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
        began = self._running[step_id].began

        async def run(connection: Any) -> StepRecord:
            fn = self._in_time(transaction.fn)
            if transaction.is_async:
                value = await fn(connection, *args, **kwargs)
            else:
                value = await in_thread(self._services.step_threads, fn, connection, *args, **kwargs)
            text, _ = transaction.codec.through(value)
            order = self._history.next_order()
            reserved.append(order)
            self._turns.reserve(order)
            attempt = context().attempt
            return StepRecord(step_id, transaction.name, text, None, attempt, order, began, monotonic())

        caller = context().caller if transaction.role == "caller" else None
        work = TransactionWork(
            run, threaded=not transaction.is_async, isolation=transaction.isolation, caller=caller
        )
        fence = Fence(self.workflow_id, self.epoch, step_id, nonce)
        conflicts = 0
        standing: StepRecord | None = None
        while True:
            try:
                standing = await self._services.transactions.transact(work, fence)
            # guard: conflicts-fail
            except Conflicted as error:
                conflicts += 1
                await conflict_pause(conflicts, error)
            except _TooLate:
                pass
            # guard: lost-commit-fails
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


async def conflict_pause(conflicts: int, error: Conflicted) -> None:
    """Wait before a transaction that conflicted runs again; after very many raise what Postgres said."""
    if conflicts > CONFLICTS_MAX:
        raise (error.__cause__ or error) from None
    await asyncio.sleep(random.uniform(0, min(0.5, 0.005 * 2 ** min(conflicts, 10))))
