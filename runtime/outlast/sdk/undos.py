"""The undo of a step: how it is called, and which mistakes can be found before the step begins."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from enum import Enum
from functools import partial
from typing import Any, Final, NamedTuple

from outlast.core.errors import UsageError
from outlast.sdk.calls import said
from outlast.sdk.definitions import is_async
from outlast.sdk.operations import Args, Kwargs
from outlast.sdk.steps import AsyncStep, SyncStep
from outlast.sdk.transactions import AsyncTransaction, SyncTransaction
from outlast.sdk.workflows import Workflow


class Unknown(Enum):
    """What an undo gets in place of a result if it isn't known whether the step took effect."""

    UNKNOWN = "UNKNOWN"

    def __repr__(self) -> str:
        return self.name


UNKNOWN: Final = Unknown.UNKNOWN

_STEPS = (AsyncStep, SyncStep)
_TRANSACTIONS = (AsyncTransaction, SyncTransaction)


class Entry(NamedTuple):
    """A step of a saga and its undo."""

    step: str
    """The names of both."""
    undo: str
    certain: bool
    """Whether a failure of the step means that it had no effect."""
    call: Callable[[], Any]
    """Runs the step. In an `async def` workflow the result must be awaited."""
    call_undo: Callable[[Any], Any]
    """Runs the undo, with the step's result."""
    note: list[str]
    """The step id of its note."""


def entry_of(step: Any, args: Args, kwargs: Kwargs, undo: Any, *, threaded: bool) -> Entry:
    """Raises UsageError if it isn't a step, the arguments don't fit, or `undo` can't undo it."""
    if not isinstance(step, (*_STEPS, *_TRANSACTIONS)):
        remedy = "start the workflow in a step" if isinstance(step, Workflow) else "decorate it with @step"
        what = said(step) if isinstance(step, Coroutine) else f"{step!r:.100}: {remedy}"
        raise UsageError(f"saga.do takes a step or a transaction, not {what}")
    name = step.definition.name
    signature = _signature(step)
    if signature is not None and not _binds(signature, args, kwargs):
        raise UsageError(f"saga.do({name}): {name}{signature} can't be called with these arguments")
    return Entry(
        name,
        _name(undo),
        isinstance(step, _TRANSACTIONS),
        partial(_callable(step, "saga.do", threaded=threaded), *args, **kwargs),
        _undo_of(name, undo, args, kwargs, threaded=threaded),
        [],
    )


def _undo_of(name: str, undo: Any, args: Args, kwargs: Kwargs, *, threaded: bool) -> Callable[[Any], Any]:
    """The undo gets the result alone if it needs no more, otherwise the step's arguments, too."""
    what = f"saga.do({name}, undo=…)"
    if isinstance(undo, Workflow) or not callable(undo) or inspect.isclass(undo):
        raise UsageError(
            f"{what} takes a step, a transaction, or a function that calls some, not {said(undo)}"
        )
    call = _callable(undo, what, threaded=threaded)
    if threaded and is_async(undo):
        raise UsageError(f"{what}: a def workflow can't await {_name(undo)}: make it a def function or step")
    signature = _signature(undo)
    if signature is None or _binds(signature, (UNKNOWN,), {}):
        return call
    if _binds(signature, (UNKNOWN, *args), kwargs):
        return lambda result: call(result, *args, **kwargs)
    raise UsageError(
        f"{what}: {_name(undo)}{signature} can be called neither with the step's result alone nor with that "
        f"and the step's arguments: write it so, or give `undo=lambda result: {_name(undo)}(…)`"
    )


def _callable(fn: Any, what: str, *, threaded: bool) -> Callable[..., Any]:
    """How the body calls a step, a transaction or a plain function. Raises UsageError."""
    if isinstance(fn, SyncStep | SyncTransaction):
        return fn if threaded else fn.aio
    if threaded and isinstance(fn, AsyncStep | AsyncTransaction):
        raise UsageError(f"{what}: a def workflow can't await {fn.definition.name}: make it a def function")
    return fn  # type: ignore[no-any-return]


def _signature(fn: Any) -> inspect.Signature | None:
    """The signature for callers; None for a builtin without one."""
    try:
        signature = inspect.signature(fn.definition.fn if isinstance(fn, (*_STEPS, *_TRANSACTIONS)) else fn)
    except (TypeError, ValueError):
        return None
    if isinstance(fn, _TRANSACTIONS):  # without the connection
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    return signature


def _binds(signature: inspect.Signature, args: Args, kwargs: Kwargs) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _name(undo: Any) -> str:
    if isinstance(undo, (*_STEPS, *_TRANSACTIONS)):
        return undo.definition.name
    if isinstance(undo, partial):
        return _name(undo.func)
    return str(getattr(undo, "__name__", type(undo).__name__))
