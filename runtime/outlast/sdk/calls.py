"""A call of the SDK that is to be awaited: it begins when it is, and one that never is gets told of."""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

from outlast.core.places import place_of_caller
from outlast.sdk.operations import Operation
from outlast.sdk.running import Host, Line, current_host, line_of_await

T = TypeVar("T")


class Call(Coroutine[Any, Any, T]):
    """Whatever takes a coroutine takes it. `begin` makes what does the work, as an `__await__` does.

    `name` is what its caller wrote, for messages; `line` the workflow's body in which it was made.
    """

    __slots__ = ("_begin", "_host", "_line", "_name", "_place", "_work")

    def __init__(self, begin: Callable[[], Generator[Any, Any, T]], name: str, line: Line | None) -> None:
        self._begin: Callable[[], Generator[Any, Any, T]] | None = begin
        self._work: Generator[Any, Any, T] | None = None
        self._name = name
        self._line = line
        self._host = current_host() if line is None else None
        self._place = place_of_caller()

    def __repr__(self) -> str:
        return f"<{self._name}(…), to be awaited>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self._name}(…) has no {name!r} before it is awaited: `await {self._name}(…)`")

    def send(self, value: Any) -> Any:
        """See Coroutine."""
        return self._begun().send(value)

    def throw(self, *error: Any) -> Any:
        """See Coroutine."""
        return self._begun().throw(*error)

    def close(self) -> None:
        """See Coroutine."""
        self._begin = None
        if self._work is not None:
            self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._begun()

    def _begun(self) -> Generator[Any, Any, T]:
        if self._work is None:
            if self._begin is None:
                raise RuntimeError(f"{self._name}(…) was closed before it was awaited")
            begin, self._begin = self._begin, None
            self._work = begin()
        return self._work

    def __del__(self) -> None:
        if self._begin is None or sys.is_finalizing():
            return
        file, number = self._place
        if self._line is not None:
            self._line.body.tell_unawaited(self._name, f"{file}:{number}")
        elif self._host is not None:
            self._host.tell_unawaited(self._name, f"{file}:{number}")
        else:
            told = (
                f"{self._name}(…) was called and not awaited: it did nothing; write `await {self._name}(…)`"
            )
            warnings.warn_explicit(told, RuntimeWarning, file, number)


class Done(Awaitable[T]):
    """What is over already: a `def` function gets it from what an `async def` one awaits."""

    def __init__(self, value: T) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, Any, T]:
        yield from ()
        return self._value


def ask(operation: Operation, line: Line, name: str, read: Callable[[Any], T]) -> Any:
    """Hand an operation over from a workflow's body: in a `def` one its value, else what is to be awaited.

    `read` makes the value of what the engine gives. `name` is what the caller wrote, for messages.
    """
    if line.threaded:
        return read(line.body.block(operation))
    return Call(partial(_asked, operation, name, read), name, line)


def later(make: Callable[[], Coroutine[Any, Any, T]], name: str) -> Call[T]:
    """A call outside of workflows' bodies: `make` makes the coroutine that does it."""
    return Call(lambda: make().__await__(), name, None)


def same(value: T) -> T:
    """For `ask`: the value as the engine gives it."""
    return value


def _asked(operation: Operation, name: str, read: Callable[[Any], T]) -> Generator[Any, Any, T]:
    # Who awaits a call needn't be who made it: `gather(charge(), ship())`.
    return read((yield from line_of_await(name).body.call(operation).__await__()))


async def on_host(host: Host, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await on the host's loop what `make` gives, from whatever loop this is.

    The engine's futures, locks and connections belong to that loop. A future of another one would be settled
    where nobody may, perhaps after its loop was closed.
    """
    if host.is_here():
        return await make()
    return await asyncio.wrap_future(host.submit(make()))
