"""Running a step's function: attempts, timeouts, threads; what it raised or returned, through the codec."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable
from outlast.core.retry import RetryPolicy
from outlast.core.stops import Stopped
from outlast.sdk.context import context, enter_context


class Success(NamedTuple):
    """A result as JSON text and as what the workflow sees of it."""

    text: str
    value: Any
    attempts: int


class Failure(NamedTuple):
    """The error of the last attempt."""

    error: Exception
    attempts: int


async def attempt_all(
    call: Callable[[], Awaitable[Any]],
    retry: RetryPolicy,
    timeout_s: float | None,
    codec: Codec | None,
    before_next: Callable[[int, float, Exception], Awaitable[None]],
) -> Success | Failure:
    """Call until it succeeds, or `retry` has enough. With a codec the result passes through it.

    Cancellation by the body and the end of the execution pass through. Nothing else does: what is no
    Exception becomes one. `before_next(attempt, wait_s, error)` waits until the next attempt may begin.
    """
    for attempt in count(1):
        try:
            value = await _bounded(call, attempt, timeout_s)
            text, value = ("", value) if codec is None else codec.through(value)
            return Success(text, value, attempt)
        except NotSerializable as error:
            return Failure(error, attempt)
        except asyncio.CancelledError as error:
            if _cancelled_from_outside():
                raise
            failure: Exception = RuntimeError("the step raised CancelledError, though nobody cancelled it")
            failure.__cause__ = error
        except Exception as error:  # noqa: BLE001 - a step may raise anything; it is recorded
            failure = error
        if not _retries(retry, failure, attempt):
            return Failure(failure, attempt)
        await before_next(attempt, retry.wait_s(attempt), failure)
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


async def _bounded(call: Callable[[], Awaitable[Any]], attempt: int, timeout_s: float | None) -> Any:
    """One attempt, within its timeout, in a context of its own."""
    own = contextvars.copy_context()
    own.run(_enter_attempt, attempt)
    if timeout_s is None:
        return await _Apart(call, own)
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return await _Apart(call, own)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"the attempt took longer than {timeout_s:g} s") from error


def _enter_attempt(attempt: int) -> None:
    if attempt > 1:
        of_workflow = context()
        enter_context(lambda: replace(of_workflow, attempt=attempt))


class _Apart:
    """Awaits a call in a context of its own, within the same task.

    What a step sets in context variables stays in it: on replay it isn't run, so the body must not see it.
    """

    __slots__ = ("_call", "_context")

    def __init__(self, call: Callable[[], Awaitable[Any]], context: contextvars.Context) -> None:
        self._call = call
        self._context = context

    def __await__(self) -> Generator[Any, Any, Any]:
        run = self._context.run
        inner: Any = run(self._call).__await__()
        resume, argument = inner.send, None
        while True:
            try:
                awaited = run(resume, argument)
            except StopIteration as stop:
                return stop.value
            except (Exception, Stopped, asyncio.CancelledError):
                raise
            except BaseException as error:
                raise RuntimeError(f"the step raised {type(error).__name__}") from error
            try:
                resume, argument = inner.send, (yield awaited)
            except GeneratorExit:
                run(inner.close)
                raise
            except BaseException as error:  # noqa: BLE001 - it is for the call to handle
                resume, argument = inner.throw, error


def _cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _retries(retry: RetryPolicy, error: Exception, attempt: int) -> bool:
    try:
        return retry.retries(error, attempt)
    except Exception:  # noqa: BLE001 - a predicate that raises says no
        return False
