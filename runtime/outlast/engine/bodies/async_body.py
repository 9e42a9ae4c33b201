"""The body of an `async def` workflow, on its own loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from threading import get_ident
from typing import Any, NoReturn

from outlast.core.errors import CompensationFailed, UsageError
from outlast.core.kinds import TRANSACTION
from outlast.core.observations import LoopInterrupted
from outlast.core.places import place_of_caller, place_of_wait, shown_place
from outlast.core.stops import HandedOver, Stopped
from outlast.engine.bodies.body import ExecutedBody
from outlast.engine.bodies.loop import BodyFuture, BodyHost, BodyLoop, BodyTask, BodyTimer, close_in
from outlast.engine.bodies.watching import watched
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.sdk.operations import Operation, Timer
from outlast.sdk.running import StandingSaga, undo_here, undoes

REFUSALS_MAX = 3
"""After so many refused calls, a stopped body that catches them waits for ever at its next call."""


class OperationFuture(BodyFuture):
    """The answer of a call."""

    call: PendingCall | None = None
    _execution: Execution
    _message: Any = None
    """The message of its cancellation. anyio recognizes its own cancellations by it."""

    def cancel(self, msg: Any = None) -> bool:
        """See asyncio.Future. A transaction is cancelled later, if at all: it may be committing."""
        if self.done():
            return False
        # guard: cancelled-without-message
        self._message = msg
        if self.call is not None and not self._execution.give_up(self.call):
            return True
        self.call = None
        return super().cancel(msg)

    def give_up(self) -> None:
        """See Answer."""
        if not self.done():
            self.call = None
            super().cancel(self._message)

    def set_result(self, value: Any, /) -> None:
        """See Answer."""
        if not self.done():
            self.call = None  # otherwise each step would leave a cycle for the garbage collector
            super().set_result(value)

    def set_exception(self, error: BaseException | type[BaseException], /) -> None:
        """See Answer."""
        if not self.done():
            self.call = None
            super().set_exception(error)


class TransactionFuture(OperationFuture):
    """The answer of a transaction. It may arrive although the body gave the call up."""

    def __await__(self) -> Generator[Any, Any, Any]:
        call = self.call
        try:
            return (yield from super().__await__())
        finally:
            if call is not None and call.asked and not self.cancelled():
                _cancel_later(self._message)


def _nothing() -> bool:
    return False


def _cancel_later(message: Any) -> None:
    """A cancellation came too late for a transaction: deliver it where the task waits next.

    Unless it was taken back by then, as `asyncio.timeout` does when its block is left.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        task.get_loop().call_soon(_cancel_again, task, task.cancelling(), message)


def _cancel_again(task: asyncio.Task[Any], requests: int, message: Any) -> None:
    if not task.done() and task.cancelling() >= requests:
        task.uncancel()
        task.cancel(message)


class _Strike:
    """The answer of a timer."""

    __slots__ = ("_loop", "_timer")

    def __init__(self, loop: BodyLoop, timer: BodyTimer) -> None:
        self._loop = loop
        self._timer = timer

    def set_result(self, value: Any, /) -> None:
        self._timer.call = None
        self._loop.strike(self._timer)

    def set_exception(self, error: BaseException, /) -> None:
        self.set_result(None)

    def give_up(self) -> None: ...


class AsyncBody(ExecutedBody, BodyHost):
    """Is `sdk.running.Body` for its function, `Driven` for its execution, and `BodyHost` for its loop."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(execution)
        self.loop = BodyLoop(self)  # type: ignore[abstract]  # what it lacks it refuses
        self.task: BodyTask | None = None
        self._refusals = 0
        self._refused: UsageError | None = None
        self._thread = get_ident()
        self._watch = execution.services.watch_bodies
        self.over = False
        """See Driven."""
        self._leaves = False
        """Whether the function has ended, and only tasks that it left in sagas are awaited."""
        self._coro: Coroutine[Any, Any, Any] | None = None
        self._returned: tuple[Any] | None = None

    def leave(self, why: str) -> NoReturn:
        self._execution.stop(HandedOver(why))
        raise self._execution.stopped or Stopped()

    def begin(self, body: Coroutine[Any, Any, Any]) -> None:
        """Run `body` in the caller's context."""
        self._coro = body
        self.task = self.loop.begin(self._run(body), copy_context())

    async def _run(self, body: Coroutine[Any, Any, Any]) -> None:
        try:
            self._returned = (await body,)
        finally:
            self._leaves = True
            if self._execution.sagas:
                await self._leave_sagas()
            if self._execution.again and self.goes_on:
                await self._undo_again()
            self.over = True

    async def _leave_sagas(self) -> None:
        """Cancel the tasks that were left running in sagas, and wait until they are undone."""
        execution = self._execution
        while execution.sagas and self.goes_on:
            tasks = (saga.task for saga in execution.sagas)
            left = [task for task in tasks if task not in (None, self.task) and not task.done()]
            for task in left:
                task.cancel()
            if not left:
                return
            with suppress(asyncio.CancelledError):
                await asyncio.wait(left)

    async def _undo_again(self) -> None:
        """Undo again what could not be undone, uncancelled. Only the workflow's end reports new failures."""
        todo = list(self._execution.again.values())
        while todo:
            saga = todo.pop(0)
            with undo_here():
                undoing = self.loop.create_task(saga.undo_again(), name="undo")
            while not undoing.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([undoing])
                if not self.goes_on:
                    return
            error, again = undoing.result()
            if again:
                todo.append(saga)
            elif error is not None:
                self._execution.stood.append(error)

    def result(self) -> Any:
        """What the body returned. Raises what it raised."""
        assert self.task is not None
        if self._refused is not None:
            raise self._refused
        if self._returned is not None:
            return self._returned[0]  # even if the body cancelled itself afterwards
        if not self.task.done():
            raise self._execution.stopped or Stopped()
        return self.task.result()

    def release(self) -> None:
        """Drop the references that form cycles."""
        self.loop.forget()
        self.task = self._coro = None

    # --- Body ---------------------------------------------------------------------------------------------

    def call(self, operation: Operation) -> asyncio.Future[Any]:
        kind = TransactionFuture if operation.kind == TRANSACTION else OperationFuture
        answer = kind(loop=self.loop)
        answer._execution = self._execution
        try:
            answer.call = self._execution.make(operation, self.loop.branch.next_id(), answer, copy_context())
        except Stopped:
            self._refusals += 1
            if self._refusals <= REFUSALS_MAX:
                raise
        return answer

    def block(self, operation: Operation) -> Any:
        raise UsageError("an async def workflow awaits its calls")

    def stands(self, saga: StandingSaga, error: CompensationFailed, *, again: bool) -> None:
        self._execution.stands(saga, error, again=again, unheard=self._leaves)

    def patched(self, name: str) -> bool:
        return self._execution.patched(name)

    def draw(self) -> str:
        return f"{self._execution.drawn_as} {self.loop.branch.next_draw()}"

    # --- Driven -------------------------------------------------------------------------------------------

    def run(self, next_completion: Callable[[], bool], waited_for: bool) -> bool:
        """See Driven."""
        if not self._watch:
            return self.loop.run(next_completion, waited_for)
        execution = self._execution
        with watched(execution.tell_read, at_once=not execution.replaying) as begin:

            def next_watched() -> bool:
                more = next_completion()
                if not execution.replaying:  # a read during replay was reported the first time
                    begin()
                return more

            return self.loop.run(next_watched, waited_for)

    def interrupt(self, reason: Stopped) -> None:
        """See Driven."""
        self.loop.cancel_tasks(undoes)

    def place(self, *, calling: bool) -> str | None:
        """See Driven."""
        return shown_place(*place_of_caller()) if calling else place_of_wait(self._coro)

    def unwind(self) -> None:
        """See Driven. The `finally` blocks run. Tasks that then wait for anything are left behind."""
        if self.loop.cancel_all():
            self.loop.run(_nothing)
            self.loop.abandon()
        self.over = True
        if self._returned is None and self._coro is not None and self.task is not None and self.task.done():
            close_in(self.task.context, self._coro)  # it may never have begun, or missed its cancellation

    # --- BodyHost -----------------------------------------------------------------------------------------

    def set_timer(self, timer: BodyTimer, step_id: str) -> None:
        if self._execution.refusal(timer._context) is not None:
            return  # the timer never fires
        answer = _Strike(self.loop, timer)
        timer.call = self._execution.make(Timer(timer.when()), step_id, answer, timer._context)

    def drop_timer(self, timer: BodyTimer) -> None:
        call, timer.call = timer.call, None
        if call is not None and call.step_id in self._execution.calls:
            self._execution.give_up(call)

    def intruded(self, error: UsageError) -> None:
        if get_ident() == self._thread:
            self._fail(error)
        else:
            self._execution.host.call_soon_threadsafe(self._fail, error)
        raise error

    def refused(self, error: UsageError) -> None:
        """See BodyHost. In a thread the caller would wait for ever, so the error ends the body."""
        if get_ident() == self._thread:
            raise error
        self._execution.host.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: UsageError) -> None:
        if self._refused is None and not self.over:
            self._refused = error
            self.loop.cancel_all()
            self._execution.schedule()

    def report(self, context: dict[str, Any]) -> None:
        """See BodyHost. Errors that a stop or a cancellation leaves behind aren't reported."""
        nobodys = Stopped, asyncio.CancelledError  # a cancelled gather that nobody awaits has the latter
        if isinstance(context.get("exception"), SystemExit | KeyboardInterrupt):
            self._execution.services.observe(LoopInterrupted(repr(context["exception"])))
        elif not (self._execution.stopped or self._leaves or isinstance(context.get("exception"), nobodys)):
            self._execution.host.call_exception_handler(context)
