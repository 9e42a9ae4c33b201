"""The event loop of one workflow's body. It runs until nothing is ready, and never waits.

The host delivers one completion after another, and runs the loop until it is empty. What a body does between
two deliveries depends only on the deliveries, so it is the same on replay. The loop's time stands still
between deliveries. Sets and dicts of its tasks and futures hash by number, not by address.
"""

from __future__ import annotations

import asyncio
import ctypes
from asyncio import _get_running_loop, _set_running_loop, tasks
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from sys import get_asyncgen_hooks, set_asyncgen_hooks
from typing import Any, Protocol

from outlast.core.errors import UsageError
from outlast.core.places import place_of_user
from outlast.core.replay import Branch
from outlast.engine.bodies.generators import OpenGenerators
from outlast.engine.bodies.refusals import refusals
from outlast.engine.execution.calls import PendingCall

CALLBACKS_MAX = 2_000
"""So many callbacks run in a row before the host's loop has a turn."""


class BodyHost(Protocol):
    """What drives the loop."""

    @property
    def now_s(self) -> float:
        """Unix seconds, as of the last delivery."""

    def set_timer(self, timer: BodyTimer, step_id: str) -> None:
        """The body set `timer`."""

    def drop_timer(self, timer: BodyTimer) -> None:
        """The body cancelled `timer`."""

    def intruded(self, error: UsageError) -> None:
        """Code outside the body, such as a step, woke a task of it. Raises the error there; ends the body."""

    def refused(self, error: UsageError) -> None:
        """The body, or a thread of it, asked for something that is refused. Raises the error in the body."""

    def report(self, context: dict[str, Any]) -> None:
        """Report what asyncio passes to an exception handler."""


class _Nobody:
    """Drives a loop that is over: what is left of its body may still cancel timers or report errors."""

    now_s = 0.0

    def set_timer(self, timer: BodyTimer, step_id: str) -> None: ...
    def drop_timer(self, timer: BodyTimer) -> None: ...
    def intruded(self, error: UsageError) -> None: ...
    def refused(self, error: UsageError) -> None: ...
    def report(self, context: dict[str, Any]) -> None: ...


_NOBODY = _Nobody()


class BodyFuture(asyncio.Future[Any]):
    """A future of the body. Its number is its hash."""

    _loop: BodyLoop
    _number: int | None = None

    def __hash__(self) -> int:
        if self._number is None:  # few are ever in a set; the order of first use follows from the body
            self._number = self._loop.next_number()
        # guard: futures-hashed-by-address = id(self)
        return self._number


class BodyTask(asyncio.Task[Any]):
    """A task of the body, with its branch of calls."""

    _log_destroy_pending: bool

    def __init__(
        self, loop: BodyLoop, branch: Branch, coro: Any, context: Context | None, **options: Any
    ) -> None:
        self.number = loop.next_number()  # asyncio puts the task into a set in its own constructor
        self.branch = branch
        self.context = copy_context() if context is None else context
        super().__init__(coro, loop=loop, context=self.context, **options)

    def __hash__(self) -> int:
        return self.number


class BodyTimer(asyncio.TimerHandle):
    """The handle of a timer that the body gets. The body can cancel it until it fires."""

    _context: Context
    _callback: Callable[..., object]
    _args: tuple[Any, ...]
    _cancelled: bool
    _loop: BodyLoop
    call: PendingCall | None = None
    """Its call. Comparing timers can't tell them apart: asyncio's are equal if time and callback are."""

    def cancel(self) -> None:
        """See asyncio.Handle."""
        if not self.cancelled():
            self._loop.driver.drop_timer(self)
        asyncio.Handle.cancel(self)


class _Handle(asyncio.Handle):
    """A handle that asks nothing of its loop, to be quick: each delivery makes some."""

    __slots__ = ()

    _context: Context
    _callback: Callable[..., object]
    _args: tuple[Any, ...]
    _cancelled: bool

    def __init__(self, callback: Any, args: tuple[Any, ...], loop: BodyLoop, context: Context | None) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback, self._args = callback, args
        self._cancelled = False
        self._repr = self._source_traceback = None


class BodyLoop(asyncio.AbstractEventLoop):
    """See above. Only plain callbacks of the host's loop run it: within a task Python 3.14 refuses that."""

    def __init__(self, driver: BodyHost) -> None:
        self.driver: BodyHost = driver
        self.root = Branch()
        self.ready: deque[_Handle | BodyTimer] = deque()
        """The handles to run, in order."""
        self._running = False
        self._body: Coroutine[Any, Any, Any] | None = None
        self._begun = False
        """Whether the body has begun. From then until its end, only deliveries may wake its tasks."""
        self._number = 0
        self._tasks: list[BodyTask] = []
        self._tasks_seen = 64
        self._generators: OpenGenerators | None = None

    # --- what asyncio asks of a loop ----------------------------------------------------------------------

    def get_debug(self) -> bool:
        """See AbstractEventLoop."""
        return False

    def is_running(self) -> bool:
        """See AbstractEventLoop."""
        return self._running

    def is_closed(self) -> bool:
        """See AbstractEventLoop."""
        return False

    def time(self) -> float:
        """See AbstractEventLoop. Unix seconds, which stand still between deliveries."""
        return self.driver.now_s

    def create_future(self) -> asyncio.Future[Any]:
        """See AbstractEventLoop."""
        return BodyFuture(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> BodyTask:
        """See AbstractEventLoop."""
        branch = self.branch.fork()
        return self._task(branch, coro, name=name or f"Task-{branch.prefix[:-1]}", context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See AbstractEventLoop."""
        handle = _Handle(callback, args, self, context)
        self.ready.append(handle)  # also if it is refused: asyncio doesn't schedule it again
        # guard: woken-by-others
        if not self._running:
            self._refuse_intruder()
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See AbstractEventLoop."""
        return self.call_at(self.driver.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See AbstractEventLoop. The timer is an operation, recorded when it fires."""
        timer = BodyTimer(when, callback, args, self, context)
        self.driver.set_timer(timer, self.branch.next_timer_id())
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """See AbstractEventLoop."""
        self.driver.report(context)

    def get_task_factory(self) -> None:
        """See AbstractEventLoop. There is none."""

    def get_exception_handler(self) -> None:
        """See AbstractEventLoop. There is none."""

    # --- what the engine asks of it -----------------------------------------------------------------------

    @property
    def branch(self) -> Branch:
        """The branch of the task that runs now. Callbacks outside of tasks belong to the body's branch."""
        task = asyncio.current_task(self)
        return task.branch if isinstance(task, BodyTask) else self.root

    def next_number(self) -> int:
        """The number that the next future or task has as its hash."""
        self._number += 1
        return self._number

    def begin(self, body: Coroutine[Any, Any, Any], context: Context) -> BodyTask:
        """Begin the body; returns its task."""
        task = self._task(self.root, body, name="body", context=context)
        self._body, self._begun = body, True
        return task

    def run(self, next_completion: Callable[[], bool], waited_for: bool = True) -> bool:
        """Run what is ready. Returns whether nothing is left.

        At rest it calls `next_completion`, and goes on if that handed over another. It stops CALLBACKS_MAX
        callbacks after the last completion. If the body isn't waited for, it calls `next_completion` first.
        """
        ready, driver = self.ready, self.driver
        before, hooks = _get_running_loop(), get_asyncgen_hooks()
        _set_running_loop(self)
        set_asyncgen_hooks(self._generator_begins, self._generator_is_dropped)
        self._running = True
        left = CALLBACKS_MAX
        try:
            if not waited_for:
                next_completion()
            while left > 0:
                while not ready:
                    left = CALLBACKS_MAX
                    if not next_completion():
                        return not ready
                left -= 1
                handle = ready.popleft()
                if not handle._cancelled:
                    try:
                        handle._context.run(handle._callback, *handle._args)
                    # guard: sys-exit-ends-the-host
                    except BaseException as error:  # noqa: BLE001 - asyncio gave the exception to its task
                        message = f"Exception in callback {handle._callback!r}"
                        driver.report({"message": message, "exception": error, "handle": handle})
            return not ready
        finally:
            self._running = False
            set_asyncgen_hooks(*hooks)
            _set_running_loop(before)

    def strike(self, timer: BodyTimer) -> None:
        """The timer's time has come."""
        self.ready.append(timer)

    @property
    def tasks(self) -> list[BodyTask]:
        """The tasks that aren't done."""
        return [each for each in self._tasks if not each.done()]

    def cancel_tasks(self, but: Callable[[Context], bool]) -> None:
        """Cancel all tasks, except those for whose context `but` is true."""
        for task in self.tasks:
            if not but(task.context):
                task.cancel()

    def cancel_all(self) -> bool:
        """Cancel all tasks, and close the async generators left open. Returns whether there were any."""
        self._begun = False
        left = self.tasks
        for task in left:
            task.cancel()
        for generator in self._generators.take_all() if self._generators is not None else ():
            left.append(self._task(Branch("0.0."), generator.aclose(), name="aclose"))
        return bool(left)

    def abandon(self) -> None:
        """Never resume tasks that caught their cancellation: the execution is over."""
        for task in self.tasks:
            task._log_destroy_pending = False
            close_in(task.context, task.get_coro())
        self.ready.clear()

    def forget(self) -> None:
        """The loop is over: drop the references that form cycles, so that the collector isn't needed."""
        self.driver, self._body = _NOBODY, None
        self._generators = None
        self._tasks.clear()
        self.ready.clear()

    # --- its own ------------------------------------------------------------------------------------------

    def _task(
        self, branch: Branch, coro: Any, context: Context | None = None, name: str | None = None
    ) -> BodyTask:
        task = BodyTask(self, branch, coro, context, name=name)
        if len(self._tasks) >= self._tasks_seen:
            self._tasks = self.tasks
            self._tasks_seen = max(64, 2 * len(self._tasks))
        self._tasks.append(task)  # asyncio holds weak references only
        return task

    def _refuse_intruder(self) -> None:
        if self._begun:
            file, line = place_of_user(self._body)
            self.driver.intruded(
                UsageError(
                    f"{file}:{line} wakes a workflow's body from outside of it: no record tells of that, so "
                    "a replay would wait for ever. Let a step return what the body is to know, or send() it "
                    "and receive() it in the body"
                )
            )

    def _generator_begins(self, generator: Any) -> None:
        if self._generators is None:
            self._generators = OpenGenerators()
        self._generators.add(generator)

    def _generator_is_dropped(self, generator: Any) -> None:
        if self._generators is not None and self._generators.drop(generator, in_the_body=self._running):
            branch = Branch(self.branch.next_timer_id() + ".")
            self.call_soon(self._task, branch, generator.aclose())


for _method, _refuse in refusals().items():
    setattr(BodyLoop, _method, _refuse)


def close_in(context: Context, coro: Any) -> None:
    """Close a coroutine, in the context in which its calls are known as the body's.

    A coroutine that catches even this waits for ever at its next call. Freeing it would run it once more, in
    a context where its calls raise at once, perhaps without end. So it is kept in memory.
    """
    with suppress(BaseException):  # it may raise anything again; nobody receives it
        context.run(coro.close)
    if getattr(coro, "cr_frame", None) is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(coro))


def number_gathered_futures() -> None:
    """Give numbers as hashes to the futures that `asyncio.gather` makes: it asks no loop for them."""
    gathered: Any = tasks._GatheringFuture  # type: ignore[attr-defined]
    if gathered.__hash__ is _gathered_hash:
        return
    gathered.__hash__ = _gathered_hash


def _gathered_hash(future: Any) -> int:
    loop = future._loop
    if not isinstance(loop, BodyLoop):
        return object.__hash__(future)
    number = getattr(future, "_outlast_number", None)
    if number is None:
        number = future._outlast_number = loop.next_number()
    return int(number)
