"""`emit`: values that a running step shows to current listeners. They aren't recorded."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from outlast.core.errors import NotSerializable, UsageError
from outlast.core.events import EMITTED_BYTES_MAX
from outlast.sdk.context import known_context
from outlast.sdk.running import current_line
from outlast.sdk.values import Values

R = TypeVar("R")
Hear = Callable[[str], None]
"""Takes JSON text, in any thread, and never blocks."""

_VALUES = Values("the emitted value")
_hear: ContextVar[Hear | None] = ContextVar("outlast_hear", default=None)


def emit(value: Any) -> None:
    """Show `value` to whoever streams this workflow now: for example a model's token, or a transfer's
    progress.

    Call `emit(…)` in a running step, `async def` or `def`, also in its tasks; it is never awaited. Values
    aren't recorded: later listeners don't see them, and each attempt may emit the same again. The step's
    result is what counts. Plain JSON values, dataclasses and pydantic models can be emitted, up to 64 KiB of
    JSON. Without listeners it costs next to nothing, and it never waits. In a step that is called outside of
    a workflow it does nothing. Raises UsageError outside a step; NotSerializable.
    """
    body = _VALUES.encode(value)
    # guard: emitted-without-bound
    if len(body) > EMITTED_BYTES_MAX or len(body.encode()) > EMITTED_BYTES_MAX:
        raise NotSerializable(
            f"the emitted value is more than {EMITTED_BYTES_MAX} bytes of JSON: emit it in pieces, or keep "
            "it elsewhere (in Storage, in a table) and emit where it is"
        )
    hear = _hear.get()
    if hear is None:
        raise UsageError(_why())
    hear(body)


def enter_emitter(hear: Hear) -> None:
    """Let `hear` take what is emitted in this context and all made from it."""
    _hear.set(hear)


def call_plainly(fn: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """What a `def` step returns that is called outside of a workflow: what it emits nobody hears."""
    if _hear.get() is not None:  # it is called within a step
        return fn(*args, **kwargs)
    token = _hear.set(_unheard)
    try:
        return fn(*args, **kwargs)
    finally:
        _hear.reset(token)


def await_plainly(call: Coroutine[Any, Any, R]) -> Coroutine[Any, Any, R]:
    """The same of an `async def` step."""
    return call if _hear.get() is not None else _awaited(call)


async def _awaited(call: Coroutine[Any, Any, R]) -> R:
    token = _hear.set(_unheard)
    try:
        return await call
    finally:
        _hear.reset(token)


def _unheard(_: str) -> None: ...


def _why() -> str:
    if current_line() is not None:
        return (
            "emit belongs in a step: what a workflow's body says would be said again by each replay. "
            "`publish(event, value)` tells it once, and records it"
        )
    here = known_context()
    if here is not None and here.step_id is not None:
        return "emit belongs in a @step: nothing of a @transaction may be seen before it commits. Return it"
    return (
        "emit is called in a running step, or in tasks that it made. In a thread of your own it needs the "
        "step's context: `threading.Thread(target=contextvars.copy_context().run, args=(fn,))`"
    )
