"""Running a step's function: attempts, timeouts, threads; what it raised or returned, through the codec."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable
from outlast.core.retry import RetryPolicy
from outlast.sdk.context import context, enter_context
from outlast.sdk.running import enter_line, leave_line


@dataclass(frozen=True, slots=True)
class Success:
    """A result as JSON text and as what the workflow sees of it."""

    text: str
    value: Any
    attempts: int


@dataclass(frozen=True, slots=True)
class Failure:
    """The error of the last attempt."""

    error: Exception
    attempts: int


async def attempt_all(
    call: Callable[[], Awaitable[Any]],
    retry: RetryPolicy,
    timeout_s: float | None,
    codec: Codec | None,
    retried: Callable[[int, float, Exception], None],
) -> Success | Failure:
    """Call until it succeeds, or `retry` has enough. With a codec the result passes through it.

    Cancellation passes through. Nothing else does: what is no Exception becomes one.
    """
    for attempt in count(1):
        if attempt > 1:
            enter_context(replace(context(), attempt=attempt))
        try:
            if timeout_s is None:
                value = await _outside_the_line(call)
            else:
                async with asyncio.timeout(timeout_s):
                    value = await _outside_the_line(call)
            text, value = ("", value) if codec is None else codec.through(value)
            return Success(text, value, attempt)
        except NotSerializable as error:
            return Failure(error, attempt)
        except Exception as error:  # noqa: BLE001 - a step may raise anything; it is recorded
            if not _retries(retry, error, attempt):
                return Failure(error, attempt)
            wait_s = retry.wait_s(attempt)
            retried(attempt, wait_s, error)
            await asyncio.sleep(wait_s)
    raise AssertionError("count() ended")


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


async def _outside_the_line(call: Callable[[], Awaitable[Any]]) -> Any:
    """In a step, steps are plain calls and tasks are no branches."""
    token = enter_line(None)
    try:
        return await call()
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the step raised {type(error).__name__}") from error
    finally:
        leave_line(token)


def _retries(retry: RetryPolicy, error: Exception, attempt: int) -> bool:
    try:
        return retry.retries(error, attempt)
    except Exception:  # noqa: BLE001 - a predicate that raises says no
        return False
