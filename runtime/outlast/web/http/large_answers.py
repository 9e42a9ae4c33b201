"""How many bytes may be in memory at once; large answers stay there until their clients have read them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import NamedTuple, TypeVar

from outlast.web.http.problems import Problem, ProblemError

LARGE_BYTES = 64 * 1024
"""Smaller answers aren't counted: each connection buffers as much anyway."""

WAIT_S_MAX = 10.0
"""How long a large answer waits for its turn."""

T = TypeVar("T")


class Full(Enum):
    """Whose budget is used up."""

    CALLERS = "caller"
    INSTANCES = "instance"


class ByteBudget:
    """Counts bytes. Something that comes alone may have any size: it would never fit otherwise."""

    def __init__(self, bytes_max: int, caller_bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.caller_bytes_max = caller_bytes_max
        self._used = 0
        self._of: dict[str, int] = {}

    def full(self, caller: str | None, held: int, more: int) -> Full | None:
        """Whose budget has no room for `more` bytes of a call that holds `held`.

        Without a caller only the instance's limit counts.
        """
        if caller is not None:
            used = self._of.get(caller, 0)
            # guard: bytes-of-a-caller
            if used > held and used + more > self.caller_bytes_max:
                return Full.CALLERS
        # guard: bytes-of-an-instance
        if self._used > held and self._used + more > self.bytes_max:
            return Full.INSTANCES
        return None

    def take(self, caller: str | None, held: int, more: int) -> Full | None:
        """Take `more` bytes, or nothing: then whose budget is used up."""
        full = self.full(caller, held, more)
        if full is None:
            self._used += more
            if caller is not None:
                self._of[caller] = self._of.get(caller, 0) + more
        return full

    def give_back(self, caller: str | None, held: int) -> None:
        """Give back bytes that are no longer in memory."""
        self._used -= held
        if caller is None:
            return
        if left := self._of.get(caller, 0) - held:
            self._of[caller] = left
        else:
            self._of.pop(caller, None)


class _Waiting(NamedTuple):
    caller: str | None
    size: int
    granted: asyncio.Future[None]


def is_small(size: int) -> bool:
    """Whether an answer of `size` bytes isn't counted."""
    return size <= LARGE_BYTES


class LargeAnswers:
    """Gives room to large answers in the order in which they ask for it."""

    def __init__(self, budget: ByteBudget, wait_s_max: float = WAIT_S_MAX) -> None:
        self._budget = budget
        self._wait_s_max = wait_s_max
        self._waiting: deque[_Waiting] = deque()

    @asynccontextmanager
    async def hold(
        self,
        caller_of: Callable[[], str | None],
        make: Callable[[], Awaitable[T]],
        size_of: Callable[[T], int],
    ) -> AsyncIterator[T]:
        """The result of `make`, with room for it until the end of the block. The caller is known by then.

        Where there is none yet it is let go of, and made anew when its turn comes: those that wait hold
        nothing. Raises ProblemError (429, 503) if that takes too long.
        """
        made = await make()
        size = size_of(made)
        if is_small(size):
            yield made
            return
        caller = caller_of()
        # guard: answers-without-budget = False
        full = bool(self._waiting) or self._budget.take(caller, 0, size) is not None
        if full:
            del made
            await self._wait(caller, size)
        try:
            if full:
                made = await make()
            yield made
        finally:
            self._budget.give_back(caller, size)
            self._grant()

    async def _wait(self, caller: str | None, size: int) -> None:
        """Wait until there is room, and take it for the caller."""
        waiting = _Waiting(caller, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._grant()  # those before it may only wait for their own caller's limit
        try:
            async with asyncio.timeout(self._wait_s_max):
                await waiting.granted
        except BaseException as error:
            if waiting.granted.done() and not waiting.granted.cancelled():
                self._budget.give_back(caller, size)
            with suppress(ValueError):
                self._waiting.remove(waiting)
            self._grant()
            if isinstance(error, TimeoutError):
                raise ProblemError(self._problem(caller, size)) from None
            raise

    def _grant(self) -> None:
        """Give room to those that wait. One that waits for its own caller's limit doesn't stop the others."""
        for waiting in list(self._waiting):
            full = self._budget.take(waiting.caller, 0, waiting.size)
            if full is Full.INSTANCES:
                return
            if full is None:
                self._waiting.remove(waiting)
                waiting.granted.set_result(None)

    def _problem(self, caller: str | None, size: int) -> Problem:
        of_caller = self._budget.full(caller, 0, size) is Full.CALLERS
        whose = "this caller hasn't" if of_caller else "clients haven't"
        detail = (
            f"large answers that {whose} read yet leave no room for this one of {size} bytes; "
            "nothing is lost: ask again"
        )
        return Problem("rate_limited" if of_caller else "overloaded", detail, headers=(("retry-after", "1"),))
