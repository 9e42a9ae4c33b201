"""Calls of the SDK: operations in a body, calls of the host outside of bodies.

An awaitable call begins when it is awaited. A call that is never awaited is reported.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from outlast.core.errors import UsageError
from outlast.core.places import place_of_caller
from outlast.sdk.loops import on_a_loop
from outlast.sdk.operations import Operation
from outlast.sdk.running import Host, Line, current_host, line_here

T = TypeVar("T")
ANYWHERE = "is called in a handler, an ASGI app, a step or a workflow"


class Call(Coroutine[Any, Any, T]):
    """An awaitable call. Anything that takes a coroutine takes it."""

    __slots__ = ("_closed", "_name", "_place", "_work")

    def __init__(self, name: str) -> None:
        """`name` is what the caller wrote, for messages."""
        self._name = name
        self._work: Generator[Any, Any, T] | None = None
        self._closed = False
        self._place = place_of_caller(4)

    def _begin(self) -> Generator[Any, Any, T]:
        """The generator that does the work, as `__await__` returns it."""
        raise NotImplementedError

    def _tell(self, place: str) -> None:
        """Report that the call was made at `place` and never awaited."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{self._name}(…), to be awaited>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self._name}(…) has no {name!r} before it is awaited: `await {self._name}(…)`")

    def __iter__(self) -> Any:
        raise TypeError(f"{self._name}(…) can't be gone over before it is awaited: `await {self._name}(…)`")

    def __getitem__(self, _: Any) -> Any:
        raise TypeError(f"{self._name}(…) has no items before it is awaited: `await {self._name}(…)`")

    def send(self, value: Any) -> Any:
        return self.__await__().send(value)

    def throw(self, *error: Any) -> Any:
        if self._work is None:  # a task that is cancelled before it begins makes no call
            self._closed = True
            self._work = _nothing()
        return self._work.throw(*error)

    def close(self) -> None:
        self._closed = True
        if self._work is not None:
            self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        if self._work is None:
            if self._closed:
                raise RuntimeError(f"{self._name}(…) was closed before it was awaited")
            self._closed = True  # the caller closed it on purpose
            self._work = self._begin()
        return self._work

    def __del__(self) -> None:
        if not self._closed and not sys.is_finalizing():
            self._tell(f"{self._place[0]}:{self._place[1]}")


class _Asked(Call[T]):
    """A call in a workflow's body."""

    __slots__ = ("_line", "_operation", "_read")

    def __init__(self, operation: Operation, line: Line, name: str, read: Callable[[Any], T] | None) -> None:
        self._operation = operation
        self._line = line
        self._read = read
        super().__init__(name)

    def _begin(self) -> Generator[Any, Any, T]:
        line = line_here(self._name)  # `gather(charge(), ship())` awaits in another task
        if line is None:
            raise UsageError("a call made in a workflow's body must be awaited there, not in a step")
        answer = line.body.call(self._operation).__await__()
        return answer if self._read is None else _reading(answer, self._read)

    def _tell(self, place: str) -> None:
        self._line.body.tell_unawaited(self._name, place)


class _Later(Call[T]):
    """A call outside of workflows' bodies."""

    __slots__ = ("_host", "_make")

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]], name: str) -> None:
        self._make = make
        self._host = current_host()
        super().__init__(name)

    def _begin(self) -> Generator[Any, Any, T]:
        return self._make().__await__()

    def _tell(self, place: str) -> None:
        if self._host is not None:
            self._host.tell_unawaited(self._name, place)
            return
        told = f"{self._name}(…) was called and not awaited: it did nothing; write `await {self._name}(…)`"
        warnings.warn_explicit(told, RuntimeWarning, *self._place)


def said(value: Any) -> str:
    """`value`, for a message of what takes a function.

    If it is a call of one, that is closed: nobody shall be told to await it.
    """
    if not isinstance(value, Coroutine):
        return f"{value!r:.100}"
    value.close()
    name = value._name if isinstance(value, Call) else getattr(value, "__name__", "it")
    return f"what {name}(…) gives: hand over {name} itself"


class Done(Awaitable[T]):
    """An awaitable that is over already, for `def` functions that call what `async def` functions await."""

    def __init__(self, value: T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, T]:
        yield from ()
        return self._value


def ask(operation: Operation, line: Line, name: str, read: Callable[[Any], T] | None = None) -> Any:
    """Hand an operation over from a workflow's body. Returns its value in a `def` body, otherwise an
    awaitable.

    `read` makes the value from what the engine returns. `name` is what the caller wrote, for messages.
    """
    if not line.threaded:
        return _Asked(operation, line, name, read)
    value = line.body.block(operation)
    return value if read is None else read(value)


def ask_done(operation: Operation, line: Line, name: str) -> Awaitable[None]:
    """Like `ask`, for operations without a value. A `def` body may await the result, too."""
    asked: Awaitable[None] = ask(operation, line, name)
    return Done(None) if line.threaded else asked


def later(make: Callable[[], Coroutine[Any, Any, T]], name: str) -> Call[T]:
    """A call outside of workflows' bodies: `make` makes the coroutine that does it."""
    return _Later(make, name)


def _nothing() -> Generator[Any, Any, Any]:
    yield


def _reading(answer: Generator[Any, Any, Any], read: Callable[[Any], T]) -> Generator[Any, Any, T]:
    return read((yield from answer))


async def on_host(host: Host, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await the coroutine that `make` makes on the host's loop, from whatever loop this is.

    The engine's futures, locks and connections belong to that loop. A future of another loop could be settled
    in the wrong thread, or after its loop was closed.
    """
    if host.is_here():
        return await make()
    return await asyncio.wrap_future(host.submit(make()))


def do(
    name: str,
    operation: Operation,
    on: Callable[[Host], Coroutine[Any, Any, Any]],
    read: Callable[[Any], Any] | None = None,
    where: str = "of a workflow can be called only inside the host",
) -> Any:
    """In a workflow's body make an operation; elsewhere make the equivalent call of the host.

    In a `def` function this returns the value, otherwise an awaitable. `read` makes the value from the
    result; `where` ends the message of the UsageError that is raised without a host.
    """
    line = line_here(name)
    return do_with_host(name, on, read, where) if line is None else ask(operation, line, name, read)


def do_with_host(
    name: str,
    on: Callable[[Host], Coroutine[Any, Any, Any]],
    read: Callable[[Any], Any] | None,
    where: str,
) -> Any:
    """Like `do`, outside of bodies."""
    host = current_host()
    if host is None:
        raise UsageError(f"{name} {where}")
    if not on_a_loop():
        value = host.block(on(host))
        return value if read is None else read(value)
    return later(partial(_read, partial(on_host, host, partial(on, host)), read), name)


def is_awaited(name: str) -> bool:
    """Whether the result of `do` must be awaited here."""
    line = line_here(name)
    return on_a_loop() if line is None else not line.threaded


async def _read(make: Callable[[], Coroutine[Any, Any, Any]], read: Callable[[Any], Any] | None) -> Any:
    value = await make()
    return value if read is None else read(value)
