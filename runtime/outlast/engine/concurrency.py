"""Waiting for a future that others wait for too, and running a function in a thread."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


async def settled(future: asyncio.Future[Any], timeout_s: float | None = None) -> bool:
    """Wait until `future` is done, `timeout_s` at most; whether it is. A cancelled wait leaves it alone.

    As `asyncio.wait` for one future, or `timeout` around `shield`, at a fifth of their price: it is in the
    way of every start, and of every step but the first.
    """
    if future.done():
        return True
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    future.add_done_callback(wake)
    timer = None if timeout_s is None else loop.call_later(timeout_s, wake)
    try:
        await waiter
    finally:
        future.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()
    return future.done()


async def in_thread(pool: ThreadPoolExecutor, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`fn` in a thread of `pool`, with this task's context variables."""
    own = contextvars.copy_context()

    def run() -> Any:
        try:
            return own.run(fn, *args, **kwargs)
        except StopIteration as error:
            raise RuntimeError("the function raised StopIteration") from error
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            raise RuntimeError(f"the function raised {type(error).__name__}") from error

    return await asyncio.get_running_loop().run_in_executor(pool, run)
