"""`emit`: what a running step tells those who look now. Nothing of it is recorded."""

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
"""Takes JSON text, in whichever thread, and never waits."""

_VALUES = Values("the emitted value")
_hear: ContextVar[Hear | None] = ContextVar("outlast_hear", default=None)


def emit(value: Any) -> None:
    """Tell `value` to whoever streams this workflow now: a token of a model, how far a transfer has come.

    `emit(…)` in a running step, `async def` or `def`, in its tasks too, and never awaited. Nothing of it is
    recorded: who comes later doesn't see it, and each attempt may say the same again. What counts is what the
    step returns. Plain JSON values, dataclasses and pydantic models can be emitted, at most 64 KiB of JSON.
    It costs next to nothing where nobody looks, and waits for nobody. In a step that is called outside of a
    workflow it does nothing. Raises UsageError outside a step; NotSerializable.
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
