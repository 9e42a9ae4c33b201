"""Limits of the bytes in memory at once, and one call's share of them: its body, and a large answer.

A large answer stays in memory until its client has read it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from enum import Enum
from typing import NamedTuple, TypeVar

from starlette.types import Scope

from outlast.web.http.addresses import caller_address
from outlast.web.http.problems import Problem, ProblemError

LARGE_BYTES = 64 * 1024
"""Smaller answers aren't counted: each connection buffers as much anyway."""

WAIT_S_MAX = 10.0
"""How long a large answer waits for its turn."""

SHARE = "outlast.share"
"""The key of an ASGI scope with the call's share: several readers of a request use the same one."""

T = TypeVar("T")


class Full(Enum):
    """Whose budget is used up."""

    CALLERS = "caller"
    INSTANCES = "instance"


class ByteBudget:
    """Counts bytes.

    A value is accepted at any size if nothing else is in memory. It would never fit otherwise.
    """

    def __init__(self, bytes_max: int, caller_bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.caller_bytes_max = caller_bytes_max
        self._used = 0
        self._of: dict[str, int] = {}

    def full(self, caller: str | None, held: int, more: int) -> Full | None:
        """Whose budget has no room for `more` bytes of a call that holds `held` bytes.

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
        """Take `more` bytes. If there is no room, take none, and return whose budget is used up."""
        full = self.full(caller, held, more)
        if full is None:
            self._used += more
            if caller is not None:
                self._of[caller] = self._of.get(caller, 0) + more
        return full

    def give_back(self, caller: str | None, held: int) -> None:
        """Release bytes that are no longer in memory."""
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

        If there is no room yet, the result is dropped and made again when its turn comes, so that waiting
        calls hold nothing. Raises ProblemError (429, 503) if that takes too long.
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


class Share:
    """What one call takes of the budgets. It counts for its address until the caller is known."""

    __slots__ = ("_answers", "_budget", "_caller", "_held")

    def __init__(self, budget: ByteBudget, answers: LargeAnswers, scope: Scope) -> None:
        self._budget = budget
        self._answers = answers
        self._caller: str | None = caller_address(scope)
        self._held = 0
        scope[SHARE] = self

    def charge_to(self, caller: str | None, *, secret: bool) -> None:
        """The caller is known now. Bytes that were taken before stay counted as they were."""
        if not self._held and (secret or caller is not None):
            self._caller = None if secret else caller

    def take(self, more: int) -> None:
        """Take `more` bytes. Raises ProblemError (429, 503)."""
        full = self._budget.take(self._caller, self._held, more)
        if full is not None:
            of_caller = full is Full.CALLERS
            raise ProblemError(
                _caller_is_full(self._budget.caller_bytes_max) if of_caller else _instance_is_full()
            )
        self._held += more

    def hold(
        self, make: Callable[[], Awaitable[T]], size_of: Callable[[T], int]
    ) -> AbstractAsyncContextManager[T]:
        """The answer, with room for it. See LargeAnswers."""
        return self._answers.hold(lambda: self._caller, make, size_of)

    def release(self) -> None:
        """Release all bytes."""
        if self._held:
            self._budget.give_back(self._caller, self._held)
            self._held = 0


_CLOSING = (("retry-after", "1"), ("connection", "close"))
"""By closing, the rest of the body needn't be read and thrown away."""


def _caller_is_full(bytes_max: int) -> Problem:
    detail = (
        f"bodies of this caller already take {bytes_max} bytes with this one; "
        "wait for a call to be answered, or send less at once"
    )
    return Problem("rate_limited", detail, headers=_CLOSING)


def _instance_is_full() -> Problem:
    detail = "this instance holds as many bodies as it has memory for; try again soon"
    return Problem("overloaded", detail, headers=_CLOSING)
