"""Threads that a workflow's body makes know whose they are, so that calls of steps in them are refused.

A new thread, and what a pool runs, begin without context variables: there a step would be the plain function,
run unrecorded and again on each replay. Both places are told of the branch that made them.
"""

from __future__ import annotations

import concurrent.futures
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import thread as pools
from typing import Any

from outlast.sdk.running import Line, current_line, enter_line, leave_line

_WORKER = getattr(pools, "_worker", None)
"""What the threads of a pool run: whoever makes one, it serves others too."""

_OF_INTERPRETERS: Any = getattr(concurrent.futures, "InterpreterPoolExecutor", ())
"""Python 3.14's pool of interpreters: what goes there is pickled, and finds no engine."""


def install() -> None:
    """Have threads and pools of this process tell what they run of the workflow's body it comes from."""
    if not hasattr(threading.Thread.start, "__wrapped__"):
        thread, pool = threading.Thread, ThreadPoolExecutor
        thread.start = _starting(thread.start)  # type: ignore[method-assign, assignment]
        pool.submit = _submitting(pool.submit)  # type: ignore[method-assign]


def _starting(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def started(self: Any) -> None:
        line = current_line()
        if line is not None and getattr(self, "_target", None) is not _WORKER:
            # guard: new-threads-untold
            self.run = functools.partial(_within, line, self.run)
        start(self)

    return started


def _submitting(submit: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(submit)
    def submitted(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        line = current_line()
        if line is not None and not isinstance(self, _OF_INTERPRETERS):
            fn = functools.partial(_within, line, fn)
        return submit(self, fn, *args, **kwargs)

    return submitted


def _within(line: Line, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    entered = enter_line(line)
    try:
        return fn(*args, **kwargs)
    finally:
        leave_line(entered)
