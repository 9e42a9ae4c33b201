"""The body of a `def` workflow, in its own thread. It is at rest while it waits for a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from threading import get_ident
from typing import Any, NoReturn

from outlast.core.errors import CompensationFailed, UsageError
from outlast.core.places import place_of_thread
from outlast.core.replay import Branch
from outlast.core.stops import HandedOver, Stopped
from outlast.engine.bodies.body import ExecutedBody
from outlast.engine.bodies.watching import watched
from outlast.engine.concurrency import in_thread
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.execution import Execution
from outlast.sdk.operations import Operation
from outlast.sdk.running import Line, StandingSaga, enter_line, undo_here, undoes

REFUSAL_MAX_S = 1.0
REFUSALS_MAX = 8
"""After so many refused calls, a body that catches its stop and calls again is left behind."""


class _Answer(Future[Any]):
    stopped: Stopped | None = None

    def give_up(self) -> None:
        """See Answer. A `def` body can't give a call up by itself: it was stopped."""
        self.set_exception(self.stopped or Stopped())


class SyncBody(ExecutedBody):
    """Is `sdk.running.Body` for its function and `Driven` for its execution."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(execution)
        self._branch = Branch()
        self._waiting: _Answer | None = None
        self._call: PendingCall | None = None
        """The call that it waits for."""
        self._refusals = 0
        self._task: asyncio.Task[Any] | None = None
        self._thread: int | None = None

    def begin(self, pool: ThreadPoolExecutor, fn: Callable[..., Any], keywords: dict[str, Any]) -> None:
        """Run `fn` in a thread of `pool`, in the caller's context."""

        def run() -> Any:
            # Only this thread may make the body's calls.
            # guard: def-body-in-the-loops-thread
            enter_line(Line(self, threaded=True))
            self._thread = get_ident()
            try:
                if not self._execution.services.watch_bodies:
                    return fn(**keywords)
                with watched(self._execution.tell_read):
                    return fn(**keywords)
            finally:
                if self._execution.again:
                    self._undo_again()

        self._task = self._execution.host.create_task(in_thread(pool, run))
        self._task.add_done_callback(lambda _: self._execution.check_over())

    def result(self) -> Any:
        """What the body returned. Raises what it raised."""
        assert self._task is not None
        if not self._task.done():
            raise self._execution.stopped or Stopped()
        return self._task.result()

    def release(self) -> None:
        """Drop the references that form cycles."""
        self._task = self._call = self._waiting = None

    # --- Body ---------------------------------------------------------------------------------------------

    def block(self, operation: Operation) -> Any:
        answer = _Answer()
        self._execution.host.call_soon_threadsafe(
            self._make, operation, answer, copy_context(), context=Context()
        )
        try:
            return answer.result()
        except Stopped:
            self._refusals += 1
            # The delay grows, so that a body that catches all and calls again uses no processor time.
            time.sleep(min(REFUSAL_MAX_S, 0.001 * (2 ** min(self._refusals, 20) - 2)))
            raise

    def call(self, operation: Operation) -> asyncio.Future[Any]:
        raise UsageError("a def workflow can't await")

    def leave(self, why: str) -> NoReturn:
        reason = HandedOver(why)
        self._execution.host.call_soon_threadsafe(self._execution.stop, reason, context=Context())
        raise reason

    def _make(self, operation: Operation, answer: _Answer, context: Context) -> None:
        try:
            self._call = self._execution.make(operation, self._branch.next_id(), answer, context)
        except Stopped as reason:
            answer.set_exception(reason)
            if self._refusals > REFUSALS_MAX:
                self._execution.stop(reason)
        else:
            self._waiting = answer
            self._execution.schedule()

    def stands(self, saga: StandingSaga, error: CompensationFailed, *, again: bool) -> None:
        self._execution.stands(saga, error, again=again, unheard=False)

    def _undo_again(self) -> None:
        """Undo again what could not be undone. Only the workflow's end reports new failures."""
        todo = list(self._execution.again.values())
        while todo and self.goes_on:
            saga = todo.pop(0)
            with undo_here():
                error, again = saga.undo_again()
            if again:
                todo.append(saga)
            elif error is not None:
                self._execution.stood.append(error)

    def patched(self, name: str) -> bool:
        """See Body. The host's loop answers it, like all other calls."""
        answer: Future[bool] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._execution.patched(name))
            except Stopped as reason:
                answer.set_exception(reason)

        self._execution.host.call_soon_threadsafe(ask, context=Context())
        return answer.result()

    def draw(self) -> str:
        return f"{self._execution.drawn_as} {self._branch.next_draw()}"

    # --- Driven -------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """See Driven."""
        return self._task is not None and self._task.done()

    def run(self, next_completion: Callable[[], bool], waited_for: bool) -> bool | None:
        """See Driven. The body runs by itself in its thread."""
        while self._waiting is not None and not self._waiting.done():
            if not next_completion():
                return True
        return None

    def interrupt(self, reason: Stopped) -> None:
        """See Driven."""
        answer, call = self._waiting, self._call
        if answer is None or call is None or answer.done() or undoes(call.context):
            return
        answer.stopped = reason
        if self._execution.give_up(call) and not answer.done():
            answer.set_exception(reason)

    def place(self, *, calling: bool) -> str | None:
        """See Driven. The body waits within each call."""
        return None if self._thread is None else place_of_thread(self._thread)

    def unwind(self) -> None:
        """See Driven."""
        answer, self._waiting = self._waiting, None
        if answer is not None and not answer.done():
            answer.set_exception(self._execution.stopped or Stopped())
