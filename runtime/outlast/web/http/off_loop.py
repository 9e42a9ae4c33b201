"""Parses large bodies in threads: meanwhile the loop serves others and renews the lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache, partial
from typing import Any, TypeVar

LARGE_BYTES = 64 * 1024
"""A smaller body is parsed faster than a thread is woken."""
THREADS = 4
"""Several, because a user's validator may never return."""

T = TypeVar("T")


async def run_by_size(size_bytes: int, fn: Callable[..., T], *args: Any) -> T:
    """Call `fn`; for a large input in a thread, with the same context."""
    # guard: read-on-the-loop = True
    if size_bytes < LARGE_BYTES:
        return fn(*args)
    run = partial(copy_context().run, _call, fn, args)
    return await asyncio.get_running_loop().run_in_executor(_threads(), run)


def _call(fn: Callable[..., T], args: tuple[Any, ...]) -> T:
    """Call `fn`. A future can't carry StopIteration: its caller would wait for ever."""
    try:
        return fn(*args)
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Not the loop's default threads: functions may block those."""
    return ThreadPoolExecutor(THREADS, "outlast-bodies")
