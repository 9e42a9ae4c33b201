"""Large bodies are read in threads: meanwhile the loop serves others and keeps the lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache, partial
from typing import Any, TypeVar

LARGE_BYTES = 64 * 1024
"""A smaller body is read sooner than a thread is woken."""
THREADS = 4
"""One that never comes back (a function's own validator) holds up no other."""

T = TypeVar("T")


async def run_by_size(size_bytes: int, fn: Callable[..., T], *args: Any) -> T:
    """Call `fn`; if its work is on much, in a thread, where it sees the same context."""
    # guard: read-on-the-loop = True
    if size_bytes < LARGE_BYTES:
        return fn(*args)
    run = partial(copy_context().run, _call, fn, args)
    return await asyncio.get_running_loop().run_in_executor(_threads(), run)


def _call(fn: Callable[..., T], args: tuple[Any, ...]) -> T:
    """No future carries StopIteration: its call would wait for ever."""
    try:
        return fn(*args)
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Of their own: functions may hold up the loop's default ones."""
    return ThreadPoolExecutor(THREADS, "outlast-bodies")
