"""What one call takes of the budgets of bytes: its body, and a large answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from starlette.types import Scope

from outlast.web.http.addresses import caller_address
from outlast.web.http.large_answers import ByteBudget, Full, LargeAnswers
from outlast.web.http.problems import Problem, ProblemError

SHARE = "outlast.share"
"""The key of an ASGI scope with the call's share: several readers of a request use the same one."""

T = TypeVar("T")


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
        """The caller is known now. What was taken before stays counted as it was."""
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
        """Give all back."""
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
