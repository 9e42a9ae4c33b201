"""`transaction`: a step whose effects in Postgres and whose record commit together, exactly once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from outlast.core.codec import Codec, return_annotation
from outlast.core.errors import UsageError
from outlast.core.retry import RetryOn
from outlast.sdk.calls import ask, later, on_host
from outlast.sdk.definitions import Decorated, TransactionDefinition, is_async
from outlast.sdk.durations import Duration, positive_seconds_of
from outlast.sdk.loops import on_a_loop
from outlast.sdk.operations import Args, Kwargs, Transaction
from outlast.sdk.running import Host, current_host, line_here
from outlast.sdk.steps import (
    refuse_in_thread,
    refuse_method,
    refuse_non_function,
    refuse_on_loop,
    refuse_unless_bool,
    retry_policy,
    step_name,
)

P = ParamSpec("P")
R = TypeVar("R")
Isolation = Literal["read committed", "repeatable read", "serializable"]
Role = Literal["service", "caller"]


class AsyncTransaction(Decorated[TransactionDefinition], Generic[P, R]):
    """An `async def` transaction. Callers leave out its first parameter, the connection."""

    decorator = "transaction"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return _transact(self.definition, args, kwargs, self.definition.name)


class SyncTransaction(Decorated[TransactionDefinition], Generic[P, R]):
    """A `def` transaction: call it in a `def` workflow, await its `aio` in an `async def` one."""

    decorator = "transaction"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        line = line_here(self.definition.name)
        if line is None:
            host = _host_of(self.definition)
            refuse_loop_thread(self.definition.name)
            result: R = host.block(host.transact(self.definition, args, kwargs))
            return result
        refuse_on_loop(line, self.definition.name, "transaction")
        return ask(Transaction(self.definition, args, kwargs), line, self.definition.name)  # type: ignore[no-any-return]

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """The transaction for `async def` functions: the body runs in a thread."""
        return _transact(self.definition, args, kwargs, f"{self.definition.name}.aio")


def _transact(
    transaction: TransactionDefinition, args: Args, kwargs: Kwargs, name: str
) -> Coroutine[Any, Any, Any]:
    line = line_here(transaction.name)
    if line is None:
        host = _host_of(transaction)
        return later(partial(on_host, host, partial(host.transact, transaction, args, kwargs)), name)
    refuse_in_thread(line, transaction.name, "transaction")
    return ask(Transaction(transaction, args, kwargs), line, name)  # type: ignore[no-any-return]


class TransactionDecorator(Protocol):
    """The result of `transaction(…)`: a decorator."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine function counts as one, never as a plain one
        self, fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTransaction[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Any, P], R], /) -> SyncTransaction[P, R]: ...


@overload
def transaction(  # type: ignore[overload-overlap]
    fn: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> AsyncTransaction[P, R]: ...
@overload
def transaction(fn: Callable[Concatenate[Any, P], R], /) -> SyncTransaction[P, R]: ...
@overload
def transaction(
    *,
    name: str | None = None,
    isolation: Isolation | None = None,
    role: Role = "service",
    max_attempts: int = 1,
    backoff: Duration = 0.5,
    backoff_factor: float = 2.0,
    backoff_max: Duration = 60.0,
    retry_on: type[Exception] | RetryOn = (Exception,),
    timeout: Duration | None = None,
    visible: bool = False,
) -> TransactionDecorator: ...
def transaction(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    isolation: Isolation | None = None,
    role: Role = "service",
    max_attempts: int = 1,
    backoff: Duration = 0.5,
    backoff_factor: float = 2.0,
    backoff_max: Duration = 60.0,
    retry_on: type[Exception] | RetryOn = (Exception,),
    timeout: Duration | None = None,
    visible: bool = False,
) -> Any:
    """Make a function a transaction: its effects in Postgres are there if and only if its record is.

    The function's first parameter is a psycopg connection in an open transaction (an AsyncConnection for
    `async def`, a Connection for `def`); committing it is refused. After serialization failures and deadlocks
    (40001, 40P01), and after a commit whose answer was lost, the body runs again; these don't count as
    attempts. `role="caller"` runs all of the body for the workflow's caller: under their Postgres role and
    with their `request.jwt.claims`, so that row-level security applies. The other options are those of
    `step`. Raises UsageError for invalid options.
    """
    policy = retry_policy("transaction", max_attempts, backoff, backoff_factor, backoff_max, retry_on)
    timeout_s = positive_seconds_of(timeout, "transaction(timeout)")
    refuse_unless_bool(visible, "transaction(visible)")
    if isolation not in (None, "read committed", "repeatable read", "serializable"):
        raise UsageError(f"transaction(isolation) is a level of Postgres in lower case, not {isolation!r}")
    if role not in ("service", "caller"):
        raise UsageError(f'transaction(role) is "service" or "caller", not {role!r}')

    def decorate(wrapped: Callable[..., Any]) -> AsyncTransaction[..., Any] | SyncTransaction[..., Any]:
        refuse_non_function(wrapped, "transaction")
        refuse_method(wrapped, "transaction")
        if wrapped.__code__.co_argcount < 1:
            raise UsageError(
                f"@transaction: the first parameter of {wrapped.__qualname__} is the connection: (tx, …)"
            )
        given = step_name(name, wrapped, "transaction")
        definition = TransactionDefinition(
            name=given,
            fn=wrapped,
            is_async=is_async(wrapped),
            retry=policy,
            timeout_s=timeout_s,
            isolation=isolation,
            role=role,
            codec=Codec(return_annotation(wrapped), of=f"the result of transaction {given!r}"),
            visible=visible,
        )
        return AsyncTransaction(definition) if definition.is_async else SyncTransaction(definition)

    return decorate if fn is None else decorate(fn)


def refuse_loop_thread(name: str) -> None:
    """Raise UsageError if blocking here would stop the event loop for ever, and all that runs on it."""
    if on_a_loop():
        raise UsageError(f"{name} is a def transaction: in an async def function write `await {name}.aio(…)`")


def _host_of(definition: TransactionDefinition) -> Host:
    host = current_host()
    if host is None:
        raise UsageError(
            f"{definition.name} needs a host to give it a connection; to test its body alone call "
            f"{definition.name}.definition.fn(connection, …)"
        )
    return host
