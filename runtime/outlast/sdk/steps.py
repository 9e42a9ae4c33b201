"""`step`: a unit of work that is recorded once it has succeeded, and never runs again after that."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from outlast.core.codec import UNTYPED, Codec, return_annotation
from outlast.core.errors import UsageError
from outlast.core.retry import RetryOn, RetryPolicy
from outlast.core.storable import check_text
from outlast.sdk.calls import ask
from outlast.sdk.definitions import Decorated, StepDefinition, is_async
from outlast.sdk.durations import Duration, positive_seconds_of, seconds_of
from outlast.sdk.emitting import await_plainly, call_plainly
from outlast.sdk.operations import Generated, Step
from outlast.sdk.queues import Limit, limit_of
from outlast.sdk.running import Line, line_here

P = ParamSpec("P")
R = TypeVar("R")


class AsyncStep(Decorated[StepDefinition], Generic[P, R]):
    """An `async def` step: await it in an `async def` workflow."""

    decorator = "step"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        line = line_here(self.definition.name)
        if line is None:
            call: Coroutine[Any, Any, R] = self.definition.fn(*args, **kwargs)
            return await_plainly(call)
        if line.threaded:
            refuse_in_thread(line, self.definition.name, "step")
        return ask(Step(self.definition, args, kwargs), line, self.definition.name)  # type: ignore[no-any-return]


class SyncStep(Decorated[StepDefinition], Generic[P, R]):
    """A `def` step: call it in a `def` workflow, await its `aio` in an `async def` one."""

    decorator = "step"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        line = line_here(self.definition.name)
        if line is None:
            result: R = call_plainly(self.definition.fn, *args, **kwargs)
            return result
        refuse_on_loop(line, self.definition.name, "step")
        return ask(Step(self.definition, args, kwargs), line, self.definition.name)  # type: ignore[no-any-return]

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """The step for `async def` workflows: the function runs in a thread."""
        line = line_here(self.definition.name)
        if line is None:
            raise UsageError(f"{self.definition.name}.aio is for workflows; call {self.definition.name}(…)")
        refuse_in_thread(line, self.definition.name, "step")
        return ask(Step(self.definition, args, kwargs), line, f"{self.definition.name}.aio")  # type: ignore[no-any-return]


class GeneratorStep(Decorated[StepDefinition], Generic[P, R]):
    """A step that yields the items of a map: `await map_(ship, orders_of(day))`. Elsewhere a generator."""

    decorator = "step"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if line_here(self.definition.name) is None:
            plain: R = self.definition.fn(*args, **kwargs)
            return plain
        return Generated(self.definition, args, kwargs)  # type: ignore[return-value]  # only map_ takes it


class StepDecorator(Protocol):
    """The result of `step(…)`: a decorator."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine function counts as one, never as a plain one
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncStep[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncStep[P, R]: ...


@overload
def step(  # type: ignore[overload-overlap]
    fn: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncStep[P, R]: ...
@overload
def step(fn: Callable[P, R], /) -> SyncStep[P, R]: ...
@overload
def step(
    *,
    name: str | None = None,
    max_attempts: int = 1,
    backoff: Duration = 0.5,
    backoff_factor: float = 2.0,
    backoff_max: Duration = 60.0,
    retry_on: type[Exception] | RetryOn = (Exception,),
    timeout: Duration | None = None,
    limit: Limit | None = None,
    visible: bool = False,
) -> StepDecorator: ...
def step(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    max_attempts: int = 1,
    backoff: Duration = 0.5,
    backoff_factor: float = 2.0,
    backoff_max: Duration = 60.0,
    retry_on: type[Exception] | RetryOn = (Exception,),
    timeout: Duration | None = None,
    limit: Limit | None = None,
    visible: bool = False,
) -> Any:
    """Make a function a step: it runs at least once until its output is recorded, and never again after that.

    Retries are off by default: `max_attempts` counts the first try, too. Between attempts it waits for
    `backoff`, which grows by `backoff_factor` up to `backoff_max`, with jitter. `retry_on` names the
    exceptions that are retried, or is a predicate. `timeout` limits each attempt; the thread of a `def` step
    can't be ended, it is only left behind. `limit` is a `Limit` under which it takes a place before it
    begins. `visible=True` shows its results to users in their workflows. Outside a workflow a step is a plain
    call. Raises UsageError for invalid options.
    """
    policy = retry_policy("step", max_attempts, backoff, backoff_factor, backoff_max, retry_on)
    timeout_s = positive_seconds_of(timeout, "step(timeout)")
    refuse_unless_bool(visible, "step(visible)")
    place = limit_of(limit, "step(limit)")

    def decorate(
        wrapped: Callable[..., Any],
    ) -> AsyncStep[..., Any] | SyncStep[..., Any] | GeneratorStep[..., Any]:
        generates = inspect.isgeneratorfunction(wrapped) or inspect.isasyncgenfunction(wrapped)
        if not generates:
            refuse_non_function(wrapped, "step")
        elif timeout_s is not None or place is not None:
            raise UsageError(
                f"@step on the generator {wrapped.__qualname__}: it takes no timeout and no limit"
            )
        refuse_method(wrapped, "step")
        given = step_name(name, wrapped, "step")
        definition = StepDefinition(
            name=given,
            fn=wrapped,
            is_async=is_async(wrapped),
            retry=policy,
            timeout_s=timeout_s,
            codec=Codec(
                UNTYPED if generates else return_annotation(wrapped), of=f"the result of step {given!r}"
            ),
            visible=visible,
            limit=place,
        )
        if generates:
            return GeneratorStep(definition)
        return AsyncStep(definition) if definition.is_async else SyncStep(definition)

    return decorate if fn is None else decorate(fn)


def retry_policy(
    what: str,
    max_attempts: int,
    backoff: Duration,
    backoff_factor: float,
    backoff_max: Duration,
    retry_on: type[Exception] | RetryOn,
) -> RetryPolicy:
    """The options of a retry, checked. Raises UsageError."""
    if not isinstance(max_attempts, int) or isinstance(max_attempts, bool) or max_attempts < 1:
        raise UsageError(f"{what}(max_attempts) is a whole number from 1, not {max_attempts!r}")
    if not isinstance(backoff_factor, int | float) or not backoff_factor >= 1:
        raise UsageError(f"{what}(backoff_factor) is 1 or more, not {backoff_factor!r}")
    if isinstance(retry_on, type):
        retry_on = (retry_on,)
    if isinstance(retry_on, tuple):
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in retry_on):
            raise UsageError(f"{what}(retry_on) takes exception classes or a predicate, not {retry_on!r}")
    elif is_async(retry_on) or is_async(type(retry_on).__call__):
        raise UsageError(
            f"{what}(retry_on) takes a plain function: what an async def gives is true for every error; "
            "write `def`, or decide within the step"
        )
    elif not callable(retry_on):
        raise UsageError(f"{what}(retry_on) takes exception classes or a predicate, not {retry_on!r}")
    return RetryPolicy(
        max_attempts=max_attempts,
        backoff_s=seconds_of(backoff, f"{what}(backoff)"),
        backoff_factor=float(backoff_factor),
        backoff_max_s=seconds_of(backoff_max, f"{what}(backoff_max)"),
        retry_on=retry_on,
    )


def step_name(name: str | None, fn: Callable[..., Any], what: str) -> str:
    """The name of a step. Raises UsageError for a name that can't be recorded."""
    if name is not None and (not isinstance(name, str) or not name):
        raise UsageError(f"{what}(name) is a text, not {name!r:.100}")
    check_text(name or fn.__name__, f"{what}(name)")
    return name or fn.__name__


def refuse_unless_bool(value: Any, what: str) -> None:
    """Raise UsageError for anything but True and False: another value could be meant as either."""
    if not isinstance(value, bool):
        raise UsageError(f"{what} is True or False, not {value!r:.100}")


def refuse_method(fn: Callable[..., Any], what: str) -> None:
    """Raise UsageError for a method: its `self` isn't recorded, and a replay couldn't make it again."""
    first = next(iter(inspect.signature(fn).parameters), None)
    if first in ("self", "cls") and _in_class(fn):
        raise UsageError(
            f"@{what} can't go on the method {fn.__qualname__}: write a function beside the class, "
            f"`@{what} def {fn.__name__}(…)`, that takes what it needs of {first} as arguments, and let the "
            f"method call it"
        )


def _in_class(fn: Callable[..., Any]) -> bool:
    """Whether it was defined in a class's body. Then the class's name precedes its own in `__qualname__`."""
    above = fn.__qualname__.rpartition(".")[0]
    return bool(above) and not above.endswith("<locals>")


def refuse_in_thread(line: Line, name: str, what: str) -> None:
    """Raise UsageError for an awaitable call from a `def` workflow."""
    if line.threaded:
        raise UsageError(
            f"{name} must be awaited, and a def workflow can't: make {name} a def {what}, or the workflow "
            "async def"
        )


def refuse_on_loop(line: Line, name: str, what: str) -> None:
    """Raise UsageError for a blocking call from an `async def` workflow."""
    if not line.threaded:
        raise UsageError(f"{name} is a def {what}: in an async def workflow write `await {name}.aio(…)`")


def refuse_non_function(fn: Any, what: str) -> None:
    """Raise UsageError for anything but a plain function."""
    if not callable(fn) or not hasattr(fn, "__name__") or not hasattr(fn, "__code__"):
        raise UsageError(f"@{what} goes on a function, not on {fn!r}; decorate the innermost def")
    flags = fn.__code__.co_flags
    if flags & 0x20 or flags & 0x200:  # inspect.CO_GENERATOR, CO_ASYNC_GENERATOR
        raise UsageError(f"@{what} can't go on the generator {fn.__qualname__}: return a list")
