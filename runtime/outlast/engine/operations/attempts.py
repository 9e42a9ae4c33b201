"""What all work outside of bodies has in common: when it may begin, and its attempts as host tasks.

Work begins only under the lease, and not while the instance shuts down.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from outlast.core import faults
from outlast.core.clock import monotonic
from outlast.core.errors import DatabaseUnavailable, NotSerializable, Overloaded
from outlast.core.observations import StepEnded, StepRetried
from outlast.core.retry import RetryPolicy
from outlast.core.stops import Broken, Stopped
from outlast.core.tracebacks import described, text_of
from outlast.engine.execution.calls import NO_CONTEXT, Failure, PendingCall, Success
from outlast.engine.execution.execution import Execution
from outlast.sdk.context import enter_attempt
from outlast.sdk.running import enter_line, undoes

TOLD_MAX = 20
"""The note on an error describes the final attempt and at most so many before it."""

TOLD_CHARS_MAX = 200

THREADS_MAX_S = 600.0
"""An undo waits at most this long for a thread that was given up, which may hang for ever."""
_NOTE = "All attempts failed:"

UNTIL_THE_HOST_CAN = RetryPolicy(
    max_attempts=sys.maxsize, backoff_s=0.2, backoff_max_s=2.0, retry_on=(DatabaseUnavailable, Overloaded)
)
"""For operations on other workflows: an outage of the host or database is never recorded as their failure."""

Run = Callable[[Execution, PendingCall], Awaitable[Success]]
"""Makes one attempt."""


class Attempts:
    """The attempts of one call, until one succeeds or `retry` allows no more.

    Each attempt has its own task and context: context variables that it sets stay in it, because on replay it
    isn't run. Cancellation by the body and the end of the execution pass through. Any other error that isn't
    an Exception becomes a RuntimeError.
    """

    __slots__ = ("_call", "_context", "_earlier", "_execution", "_retry", "_run", "_timeout_s", "_what")

    def __init__(
        self,
        execution: Execution,
        call: PendingCall,
        run: Run,
        retry: RetryPolicy,
        timeout_s: float | None = None,
        what: str = "",
    ) -> None:
        """`what`: the kind of a user function. It can see its attempt then, and its error lists them all."""
        self._execution = execution
        self._call = call
        self._context = call.context
        self._run = run
        self._retry = retry
        self._timeout_s = timeout_s
        self._what = what
        self._earlier: list[str] = []

    def begin(self) -> None:
        """Make the first attempt as soon as it may begin."""
        self._execution.recording.when_durable(self._call, self._attempt)

    def begin_now(self) -> None:
        """Make the first attempt at once. Only for reads: they have no effects outside that could be lost."""
        self._attempt()

    def _attempt(self) -> None:
        own = self._context if self._retry.max_attempts == 1 else self._context.copy()
        self._call.task = self._execution.host.create_task(self._work(), context=own)

    async def _work(self) -> None:
        execution, call = self._execution, self._call
        try:
            if call.running:
                await may_begin_again(execution, call)
                call.attempt, call.retry_at = call.attempt + 1, None
            else:
                if held_up(execution):
                    await may_begin(execution)
                if execution.left_running and undoes():
                    await _end_of_threads(execution)
                call.began, call.running = monotonic(), True
                faults.reach("step.before_run")
            # guard: steps-within-steps
            enter_line(None)  # within a step, steps are plain calls
            if self._what:
                enter_attempt(call.step_id, call.attempt, self._retry.max_attempts, call.operation.name)
                if execution.stay is not None and execution.services.tracing is not None:
                    execution.services.tracing.enter_step(execution.stay, call.step_id)
            try:
                outcome: Success | Failure | None = (
                    await self._run(execution, call)
                    if self._timeout_s is None
                    else await self._in_time(self._timeout_s)
                )
            except BaseException as error:
                if self._ends_execution(error):
                    raise
                outcome = self._failed(error if isinstance(error, Exception) else _instead_of(error))
        except Stopped as reason:
            execution.stop(reason)
        except Exception as error:  # noqa: BLE001 - an engine fault must not leave the workflow hanging
            execution.stop(Broken(f"{call.operation.name!r} can't be done: {error!r}"))
        else:
            if outcome is not None:
                self._end(outcome)
            del outcome  # its traceback refers to this frame, which would keep it in memory

    def _end(self, outcome: Success | Failure) -> None:
        execution, call = self._execution, self._call
        faults.reach("step.after_run")
        call.ended = monotonic()
        if self._what:
            execution.services.observe(
                StepEnded(
                    execution.workflow_id,
                    execution.function,
                    call.step_id,
                    call.operation.name,
                    self._what,
                    isinstance(outcome, Success),
                    call.attempt,
                    call.ended - (call.began or 0.0),
                    execution.stay,
                )
            )
        execution.performed(call, outcome)

    def _ends_execution(self, error: BaseException) -> bool:
        """Whether the error ends the execution. All others are the attempt's: a step may raise anything."""
        if isinstance(error, asyncio.CancelledError):
            return _cancelled_from_outside()
        if isinstance(error, GeneratorExit):  # otherwise the loop is gone, and this task with it
            return asyncio.current_task(self._execution.host) is not self._call.task
        return isinstance(error, Stopped)

    async def _in_time(self, timeout_s: float) -> Success:
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                return await self._run(self._execution, self._call)
        except TimeoutError as error:
            if not limit.expired():
                raise
            of = f"{self._what} {self._call.operation.name!r}: " if self._what else ""
            raise TimeoutError(f"{of}the attempt took longer than {timeout_s:g} s") from error

    def _failed(self, error: Exception) -> Failure | None:
        """The outcome of a failed attempt; None if another attempt follows."""
        execution, call, attempt = self._execution, self._call, self._call.attempt
        if isinstance(error, NotSerializable):
            return Failure(error)
        if self._what and self._retry.max_attempts > 1:
            self._earlier.append(_describe_attempt(error, attempt, execution.services.clock.now_s()))
        if not self._retries(error):
            if attempt > 1:
                _note(error, self._earlier)
            return Failure(error)
        del self._earlier[:-TOLD_MAX]
        wait_s, text = self._retry.wait_s(attempt), described(error)
        execution.services.observe(
            StepRetried(
                execution.workflow_id,
                call.step_id,
                call.operation.name,
                attempt,
                wait_s,
                text,
                execution.function,
                execution.stay,
            )
        )
        call.retry_at = monotonic() + wait_s
        call.timer = execution.host.call_later(wait_s, self._attempt, context=NO_CONTEXT)
        return None

    def _retries(self, error: Exception) -> bool:
        try:
            return self._retry.retries(error, self._call.attempt)
        except Exception:  # noqa: BLE001 - a predicate that raises counts as no
            return False


async def _end_of_threads(execution: Execution) -> None:
    """Wait for threads that still run, at most THREADS_MAX_S: an undo must run after what it undoes."""
    left = [asyncio.wrap_future(each) for each in tuple(execution.left_running)]
    await asyncio.wait(left, timeout=THREADS_MAX_S)
    await may_begin(execution)


def in_time(execution: Execution, fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, begun only under the lease: it may run out while `fn` waits for a thread or a connection."""

    def begin(*args: Any, **kwargs: Any) -> Any:
        if execution.stopped is not None or not execution.services.lease.covers(execution.term):
            raise TooLate
        return fn(*args, **kwargs)

    return begin


class TooLate(Exception):
    """Nothing was begun, because the lease had run out."""


def _cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _instead_of(error: BaseException) -> Exception:
    but = ", though nobody cancelled it" if isinstance(error, asyncio.CancelledError) else ""
    instead = RuntimeError(f"the step raised {type(error).__name__}{but}")
    instead.__cause__ = error
    return instead


def _describe_attempt(error: Exception, attempt: int, now_s: float) -> str:
    """One line of the note: when an attempt failed, and with which error."""
    at = datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds")
    lines = text_of(error).strip().splitlines() or [""]
    return f"  {attempt}. {at} {type(error).__name__}: {lines[0][:TOLD_CHARS_MAX]}"


def _note(error: Exception, told: list[str]) -> None:
    """Add a note of all attempts. An error that user code keeps and raises again has only one such note."""
    if not told:
        return
    with suppress(Exception):  # a foreign class may refuse attributes
        kept = [each for each in getattr(error, "__notes__", []) if not str(each).startswith(_NOTE)]
        error.__notes__ = [*kept, "\n".join([_NOTE, *told])]


def held_up(execution: Execution) -> bool:
    """Whether `may_begin` must be awaited."""
    covered = execution.services.lease.covers(execution.term)
    return execution.draining or bool(execution.unwinding) or execution.stopped is not None or not covered


async def may_begin(execution: Execution) -> None:
    """Wait until a step may begin: under the lease, and after the end of calls that its body gave up."""
    # guard: begins-beside-what-was-given-up
    if execution.unwinding:
        await asyncio.wait(set(execution.unwinding))
    await _may_go_on(execution)
    # guard: steps-begin-while-leaving
    if execution.draining:
        await never(execution)


async def may_begin_again(execution: Execution, call: PendingCall) -> None:
    """Wait until another attempt may begin: under the lease, and not during a shutdown."""
    if execution.draining:
        call.running = False
        await never(execution)
    # guard: attempts-without-lease
    await _may_go_on(execution)


async def never(execution: Execution) -> None:
    """Wait for ever, because the instance shuts down. The end of the last running step ends the execution."""
    execution.schedule()
    await execution.host.create_future()


async def _may_go_on(execution: Execution) -> None:
    """Wait for the lease. Raises Stopped."""
    lease = execution.services.lease
    # guard: steps-without-lease
    while execution.stopped is None and not lease.covers(execution.term):
        await lease.renewal()
    if execution.stopped is not None:
        raise execution.stopped
