"""Lets `def` and `async def` tests make the same calls.

In a `def` test the work is done when the call returns. In an `async def` test the call returns an awaitable,
and a thread does the work, so that the test's own event loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Self, TypeVar

from outlast.core.errors import UsageError
from outlast.core.places import place_of_caller
from outlast.sdk.loops import on_a_loop


class Asked:
    """What a call of the kit returns; `async def` tests await it. Subclasses hold the result."""

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

    def __await__(self) -> Generator[Any, Any, Self]:
        work, self._work = self._work, None
        if work is not None:
            assert self._asker is not None
            yield from self._asker.aside(work).__await__()
            self._asked = True
        return self

    def __del__(self) -> None:
        if self._work is not None and not sys.is_finalizing():
            file, line = self._place
            call = f"outlast.{self._name}(…)"
            told = f"{call} was never awaited: it did nothing; write `await {call}`"
            warnings.warn_explicit(told, RuntimeWarning, file, line)


class Done(Asked):
    """What a call without a result returns."""

    def __await__(self) -> Generator[Any, Any, None]:  # type: ignore[override]
        _ = yield from super().__await__()


class Proof(Asked):
    """What was proved of a workflow: `print` shows how it ended, and how often it was tried."""

    text = ""

    def __repr__(self) -> str:
        return self.text if self._asked else "<a proof that was not awaited>"


A = TypeVar("A", bound=Asked)


class Asker:
    """Does the work of a call: at once, or in a thread if the caller awaits it."""

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
        """End the thread."""
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
