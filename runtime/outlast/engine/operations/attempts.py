"""Running a step's function: attempts, timeouts, threads; what it raised or returned, through the codec."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable
from outlast.core.records import StepRecord
from outlast.core.retry import RetryPolicy
from outlast.core.stops import Stopped
from outlast.sdk.context import enter_attempt
from outlast.sdk.running import enter_line

TOLD_MAX = 20
"""The note tells of so many attempts and one, the last ones."""

TOLD_CHARS_MAX = 200
_NOTE = "All attempts failed:"


class Success(NamedTuple):
    """A result as JSON text and as what the workflow sees of it."""

    text: str
    value: Any
    attempts: int
    record: StepRecord | None = None
    """Where that stands already."""


class Failure(NamedTuple):
    """The error of the last attempt."""

    error: Exception
    attempts: int


class Tried(NamedTuple):
    """The step that attempts are made of, as its function and its errors name it."""

    step_id: str
    what: str
    now_s: Callable[[], float]


async def attempt_all(
    call: Callable[[], Awaitable[Any]],
    retry: RetryPolicy,
    timeout_s: float | None,
    codec: Codec | None,
    before_next: Callable[[int, float, Exception], Awaitable[None]],
    context: contextvars.Context,
    tried: Tried | None = None,
) -> Success | Failure:
    """Call until it succeeds, or `retry` has enough. With a codec the result passes through it.

    Cancellation by the body and the end of the execution pass through. Nothing else does: what is no
    Exception becomes one. `before_next(attempt, wait_s, error)` waits until the next attempt may begin.
    `tried` is told to the function; an error that more than one attempt ended in has a note of all.
    """
    earlier: list[str] = []
    for attempt in count(1):
        try:
            value = await _bounded(call, attempt, timeout_s, retry.max_attempts, context, tried)
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
        if tried is not None and retry.max_attempts > 1:
            earlier.append(_told(failure, attempt, tried))
        if not _retries(retry, failure, attempt):
            if attempt > 1:
                _note(failure, earlier)
            return Failure(failure, attempt)
        del earlier[:-TOLD_MAX]
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


async def _bounded(
    call: Callable[[], Awaitable[Any]],
    attempt: int,
    timeout_s: float | None,
    max_attempts: int,
    context: contextvars.Context,
    tried: Tried | None,
) -> Any:
    """One attempt, within its timeout, in a context of its own."""
    own = context if max_attempts == 1 else context.copy()
    # guard: steps-within-steps
    own.run(enter_line, None)  # in a step, steps are plain calls
    if tried is not None:
        own.run(enter_attempt, tried.step_id, attempt, max_attempts)
    if timeout_s is None:
        return await _Apart(call, own)
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return await _Apart(call, own)
    except TimeoutError as error:
        if not limit.expired():
            raise
        of = "" if tried is None else f"{tried.what}: "
        raise TimeoutError(f"{of}the attempt took longer than {timeout_s:g} s") from error


def _told(error: Exception, attempt: int, tried: Tried) -> str:
    """One attempt, for the note: when it failed, and with what."""
    at = datetime.fromtimestamp(tried.now_s(), UTC).isoformat(timespec="milliseconds")
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a foreign __str__ may raise anything
        text = ""
    lines = text.strip().splitlines() or [""]
    return f"  {attempt}. {at} {type(error).__name__}: {lines[0][:TOLD_CHARS_MAX]}"


def _note(error: Exception, told: list[str]) -> None:
    """Add the note of all attempts. An error that a file keeps and raises anew has no second one."""
    if not told:
        return
    with suppress(Exception):  # a foreign class may refuse in any way
        kept = [each for each in getattr(error, "__notes__", []) if not str(each).startswith(_NOTE)]
        error.__notes__ = [*kept, "\n".join([_NOTE, *told])]


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
