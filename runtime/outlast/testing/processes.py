"""One process of a simulated world: a loop, an engine, and watchers of both."""

from __future__ import annotations

import asyncio
import sys
import sysconfig
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import Context
from threading import get_ident
from typing import Any

from outlast.core.callbacks import Seals
from outlast.core.events import Emission
from outlast.core.observations import Observer
from outlast.core.places import is_ours, place_of_caller
from outlast.core.stops import Stopped
from outlast.engine.bodies.sync_body import SyncBody
from outlast.engine.engine import Engine
from outlast.engine.execution.calls import Answer, PendingCall
from outlast.engine.execution.execution import Execution
from outlast.engine.options import EngineOptions
from outlast.engine.waits.emissions import Hears
from outlast.sdk.operations import Operation
from outlast.sdk.running import _line
from outlast.testing.catalog import GivenCatalog
from outlast.testing.committing import PointedStore
from outlast.testing.operations import WatchedOperations
from outlast.testing.points import Place
from outlast.testing.seen import CallSeen, LifeSeen, comparable_text
from outlast.testing.virtual import Time, VirtualLoop


class DaemonThreads(Executor):
    """Runs daemon threads. A body of a killed process may wait for ever, and nothing can end its thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - passed to the caller that waits for it
                future.set_exception(error)

        threading.Thread(target=run, name="outlast-workflow", daemon=True).start()
        return future


_LIBRARY = sysconfig.get_paths()["stdlib"]

FOREVER_S = 1e9
"""The interval of an instance's regular looks: it is alone, so there is nothing to look for."""

PUBLIC_URL = "http://localhost"
SEALS = Seals(("the secret key of a test's project",), PUBLIC_URL)
OPTIONS = EngineOptions(
    lease_ttl_s=3 * FOREVER_S,
    tick_s=FOREVER_S,
    retention_look_s=FOREVER_S,
    moment_s=1.0,
    drain_s=5.0,
    threads_max=32,
    replay_arguments="warn",
)


class DrivenEngine(Engine):
    """The engine, called from the thread that drives its loop; it counts threads that wait for it."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.threads_waiting = 0
        self._submit = self.host.submit
        self.host.submit = self._submit_counted  # type: ignore[method-assign]

    def _submit_counted(self, call: Coroutine[Any, Any, Any]) -> Future[Any]:
        async def counted() -> Any:
            self.threads_waiting += 1
            try:
                return await call
            finally:
                self.threads_waiting -= 1

        return self._submit(counted())


def threads_at_rest(engine: DrivenEngine) -> int:
    """How many threads of bodies and steps wait for the loop."""
    bodies = (each._body for each in engine._executor.live.values())
    return engine.threads_waiting + sum(isinstance(each, SyncBody) and _waits(each) for each in bodies)


class _Kept:
    """Keeps everything that the steps of one workflow emit."""

    def __init__(self, emitted: list[Emission]) -> None:
        self.put = emitted.append


class Process:
    """One process. Tests access its engine's internals only through this."""

    def __init__(
        self,
        name: str,
        time: Time,
        store: PointedStore,
        catalog: GivenCatalog,
        operations: WatchedOperations,
        seen: LifeSeen,
        observe: Observer,
        options: EngineOptions,
        on_idle: Callable[[float | None], bool],
        hear: Callable[[BaseException | None], None],
        *,
        closely: bool,
    ) -> None:
        self.name = name
        self.store = store
        self.observe = observe
        self._seen = seen
        self._latest: dict[str, dict[str, CallSeen]] = {}
        self._closely = closely
        self.loop = VirtualLoop(time, on_idle, self._asleep)
        self.loop.resting = lambda: threads_at_rest(self.engine)
        self.loop.set_exception_handler(lambda _, told: hear(told.get("exception")))
        asyncio.events._set_running_loop(self.loop)
        try:
            self.engine = DrivenEngine(name, store, catalog, observe, options, None, SEALS)
        finally:
            asyncio.events._set_running_loop(None)
        # There is nothing to watch or to consume again and again for days.
        without = (self.engine._journal.watching, *self.engine._consumer.loops)
        self.engine.loops = tuple(loop for loop in self.engine.loops if loop not in without)
        executor = self.engine._executor
        executor._operations = executor._operations._replace(begin=operations.begin)
        executor._body_threads = DaemonThreads()  # type: ignore[assignment]
        self._hear, self._call_body = hear, executor._call
        executor._call = self._watch_call  # type: ignore[method-assign]
        self._launch = executor.launch
        executor.launch = self._watch_launch  # type: ignore[method-assign]
        self._listeners_of = self.engine.emissions.of
        self.engine.emissions.of = self._heard_by  # type: ignore[method-assign]
        self.engine._waits._elsewhere.pause_s = lambda *_: FOREVER_S  # type: ignore[method-assign]

    async def open(self) -> None:
        """Join, as an instance does."""
        await self.engine.open()

    @property
    def live(self) -> list[Execution]:
        """The executions that run here."""
        return list(self.engine._executor.live.values())

    def own(self) -> None:
        """Let this thread drive the loop from now on."""
        self.engine.entrance.thread = get_ident()

    # --- what bodies do -----------------------------------------------------------------------------------

    async def _watch_call(self, execution: Execution, keywords: dict[str, Any]) -> Any:
        try:
            return await self._call_body(execution, keywords)
        except BaseException as error:
            self._hear(error)
            raise

    def _watch_launch(self, claimed: Any, *args: Any, **options: Any) -> None:
        self._launch(claimed, *args, **options)
        execution = self.engine._executor.live[claimed.workflow_id]
        latest = self._latest.setdefault(claimed.workflow_id, {})
        make, calls = execution.make, self._seen.calls.setdefault(claimed.workflow_id, [])

        def watched(operation: Operation, step_id: str, answer: Answer, context: Context) -> PendingCall:
            body = execution._body
            # A `def` body goes on in its thread until a call tells it to end; that call is refused.
            refused = execution.stopped is not None and not (
                isinstance(body, SyncBody) and not body._refusals
            )
            if not (refused or self._closely):
                return make(operation, step_id, answer, context)
            arguments = comparable_text(getattr(operation, "args", "")) + comparable_text(
                getattr(operation, "kwargs", "")
            )
            place = _place_in_thread(context) or place_of_caller()
            call = CallSeen(step_id, operation.kind, operation.name, arguments, place, refused)
            if latest.get(step_id) != call:  # each wake replays all calls
                latest[step_id] = call
                calls.append(call)
            return make(operation, step_id, answer, context)

        execution.make = watched  # type: ignore[method-assign]

    def _heard_by(self, workflow_id: str) -> list[Hears]:
        emitted = self._seen.emitted.setdefault(workflow_id, [])
        return [*(self._listeners_of(workflow_id) or ()), _Kept(emitted)]

    # --- whether time may jump ----------------------------------------------------------------------------

    def _asleep(self) -> bool:
        running = [
            call.task for each in self.live for call in each.calls.values() if call.running and call.task
        ]
        if not running:
            return True
        sleepers = self.loop.sleepers()
        return all(_sleeps(task, sleepers) for task in running)

    # --- its end ------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Let nothing of it run any more."""
        self.loop.kill()

    def bury(self) -> None:
        """Free what a killed process holds. Users' code that this runs affects nothing."""
        for execution in self.live:
            body = execution._body
            execution.stopped = execution.stopped or Stopped("the process was killed")
            if body is not None:
                body.unwind()
        for task in self.loop.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            with suppress(BaseException):
                task.get_coro().close()
        self._shut()

    def end(self) -> None:
        """Shut it down: running tasks are cancelled."""
        tasks = self.loop.tasks
        for task in tasks:
            task.cancel()
        for execution in self.live:
            execution.stopped = execution.stopped or Stopped("the test is over")
            if isinstance(execution._body, SyncBody):
                execution._body.unwind()
        self.loop.closing = True
        with suppress(RuntimeError):  # nothing more can happen, and something caught its end
            if tasks:
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=5.0))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        for task in self.loop.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._shut()

    def _shut(self) -> None:
        self.engine._step_threads.shutdown(wait=False, cancel_futures=True)
        self.engine._body_threads.shutdown(wait=False, cancel_futures=True)
        self.loop.close()


def _place_in_thread(context: Context) -> Place | None:
    """Where the body of a `def` workflow waits in its thread; it called in this context."""
    line = context.get(_line)
    if line is None or not line.threaded:
        return None
    frame = sys._current_frames().get(line.thread)
    while frame is not None:
        if not is_ours(frame) and not frame.f_code.co_filename.startswith(_LIBRARY):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def _waits(body: SyncBody) -> bool:
    """Whether its thread waits for the answer of a call."""
    return body._waiting is not None and not body._waiting.done()


def _sleeps(task: Any, sleepers: set[int]) -> bool:
    """Whether a task waits only for a timer."""
    waits_for = task._fut_waiter
    if waits_for is None:
        return False
    if isinstance(waits_for, asyncio.Task):
        return _sleeps(waits_for, sleepers)
    children = getattr(waits_for, "_children", None)
    if children:
        return all(
            _sleeps(each, sleepers) if isinstance(each, asyncio.Task) else id(each) in sleepers
            for each in children
        )
    return id(waits_for) in sleepers
