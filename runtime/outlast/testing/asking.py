"""Asking for something in `def` tests and in `async def` ones alike.

In a `def` test it is done when the call returns. In an `async def` test the call gives something to be
awaited, and a thread beside the test's own event loop does the work: that loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Generic, TypeVar

from outlast.core.errors import UsageError
from outlast.core.places import place_of_caller
from outlast.sdk.loops import on_a_loop

T = TypeVar("T")


class Asked(Awaitable[T], Generic[T]):
    """What a call of the kit gives. Its subclasses hold what was found; `_wait` is their `__await__`."""

    _asked = False
    _work: Callable[[], None] | None = None
    _asker: Asker | None = None
    _name = ""
    _place = ("", 0)

    def _check_asked(self) -> None:
        if not self._asked:
            file, line = self._place
            raise UsageError(
                f"{file}:{line}: outlast.{self._name}(…) was not awaited: write `await` before it"
            )

    def _wait(self) -> Generator[Any, Any, None]:
        work, self._work = self._work, None
        if work is not None:
            assert self._asker is not None
            yield from self._asker.aside(work).__await__()
            self._asked = True

    def __del__(self) -> None:
        if self._work is not None and not sys.is_finalizing():
            file, line = self._place
            call = f"outlast.{self._name}(…)"
            told = f"{call} was never awaited: it did nothing; write `await {call}`"
            warnings.warn_explicit(told, RuntimeWarning, file, line)


class Done(Asked[None]):
    """What a call gives that has no result."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self._wait()


class Proof(Asked["Proof"]):
    """What was proved of a workflow: `print` tells how it ended, and how often it was tried."""

    text = ""

    def __await__(self) -> Generator[Any, Any, Proof]:
        yield from self._wait()
        return self

    def __repr__(self) -> str:
        return self.text if self._asked else "<a proof that was not awaited>"


A = TypeVar("A", bound=Asked[Any])


class Asker:
    """Does what is asked: at once, or in a thread for those who await it."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._pool: ThreadPoolExecutor | None = None

    def ask(self, name: str, found: A, work: Callable[[], None]) -> A:
        """Do `work`, which fills `found`."""
        found._name, found._place = name, place_of_caller()
        if in_async_code():
            found._work, found._asker = work, self
        else:
            work()
            found._asked = True
        return found

    async def aside(self, work: Callable[[], None]) -> None:
        """Do `work` in a thread."""
        if not on_a_loop():
            await _on_trio(copy_context().run, work)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, "outlast-test")
        doing = self._pool.submit(copy_context().run, work)
        try:
            await asyncio.shield(asyncio.wrap_future(doing))
        except asyncio.CancelledError:
            if not doing.done():
                self._interrupt()
            raise

    def close(self) -> None:
        """Let the thread go."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)


def in_async_code() -> bool:
    """Whether the caller can await, and so must."""
    return on_a_loop() or _in_trio()


def _in_trio() -> bool:
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


async def _on_trio(*work: Any) -> None:
    trio: Any = sys.modules["trio"]
    await trio.to_thread.run_sync(*work)
