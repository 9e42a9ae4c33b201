"""Changes to Python and anyio for workflow bodies. Outside of bodies everything behaves as before.

- A thread knows which body it comes from, so that step calls in it are refused. New threads and pool workers
  begin without context variables: without this, a step there would run as the plain function, unrecorded.
- `asyncio.gather` makes a future without asking its loop. That future gets a number as its hash, too.
- anyio keeps scopes and events in sets. Those of bodies have a number as their hash (see `number_scopes`).
- `asyncio.as_completed` makes tasks in the order of a set of coroutines. In a body it keeps the given order.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import sys
import threading
from asyncio import events
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import thread as pools
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

from outlast.engine.bodies.loop import BodyLoop, number_gathered_futures
from outlast.sdk.running import Line, current_line, enter_line, leave_line

_WORKER = getattr(pools, "_worker", None)
"""What a pool's threads run. Such a thread also serves others than the one whose call started it."""

_OF_INTERPRETERS: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", ())
"""Python 3.14's pool of interpreters. Its tasks are pickled, and run where there is no engine."""


def install() -> None:
    """Make these changes, once for this process."""
    number_gathered_futures()
    number_scopes()
    if not hasattr(asyncio.as_completed, "__wrapped__"):
        asyncio.as_completed = _keep_order(asyncio.as_completed)
    if not hasattr(threading.Thread.start, "__wrapped__"):
        thread, pool = threading.Thread, ThreadPoolExecutor
        thread.start = _wrap_start(thread.start)  # type: ignore[method-assign, assignment]
        pool.submit = _wrap_submit(pool.submit)  # type: ignore[method-assign]


def _wrap_start(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def started(self: Any) -> None:
        line = current_line()
        if line is not None and getattr(self, "_target", None) is not _WORKER:
            # guard: new-threads-untold
            self.run = functools.partial(_run_within, line, self.run)
        start(self)

    return started


def _wrap_submit(submit: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(submit)
    def submitted(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        line = current_line()
        if line is not None and not isinstance(self, _OF_INTERPRETERS):
            fn = functools.partial(_run_within, line, fn)
        return submit(self, fn, *args, **kwargs)

    return submitted


def _run_within(line: Line, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    entered = enter_line(line)
    try:
        return fn(*args, **kwargs)
    finally:
        leave_line(entered)


def _keep_order(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def as_completed(fs: Iterable[Any], *, timeout: float | None = None) -> Any:
        in_a_body = isinstance(asyncio.events._get_running_loop(), BodyLoop)
        if in_a_body and not asyncio.isfuture(fs) and not asyncio.iscoroutine(fs):
            fs = [asyncio.ensure_future(each) for each in dict.fromkeys(fs)]
        return original(fs, timeout=timeout)

    return as_completed


BACKEND = "anyio._backends._asyncio"
"""The module that anyio loads when it is first used on asyncio."""

NUMBERED = ("CancelScope", "Event")


def number_scopes() -> None:
    """Give numbers to the objects that anyio keeps in sets, now or when its backend is loaded.

    A task group cancels its tasks in the order of a set of scopes. A memory stream that is closed wakes its
    waiters in the order of a set of events. Both sets hash by address, and no loop is asked for the objects.
    """
    if BACKEND in sys.modules:
        _number(sys.modules[BACKEND])
    elif not any(isinstance(each, _WhenLoaded) for each in sys.meta_path):
        sys.meta_path.insert(0, _WhenLoaded())


class _WhenLoaded(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """See MetaPathFinder."""
        if name != BACKEND:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        run = loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            _number(module)

        loader.exec_module = exec_module
        return spec


def _number(backend: Any) -> None:
    for name in NUMBERED:
        original = getattr(backend, name)
        if not hasattr(original, "_outlast_number"):
            setattr(backend, name, _numbered(original))


def _numbered(original: Any) -> Any:
    def __new__(cls: Any, *args: Any, **options: Any) -> Any:  # noqa: N807
        self = original.__new__(cls, *args, **options)
        loop = events._get_running_loop()
        self._outlast_number = loop.next_number() if isinstance(loop, BodyLoop) else None
        return self

    def __hash__(self: Any) -> int:  # noqa: N807
        # guard: scopes-hashed-by-address = object.__hash__(self)
        return object.__hash__(self) if self._outlast_number is None else int(self._outlast_number)

    names = {
        "__slots__": ("_outlast_number",),
        "__new__": __new__,
        "__hash__": __hash__,
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
    }
    return type(original)(original.__name__, (original,), names)
