"""How large bodies may be: each, and all that are in memory at once, of the instance and of a caller."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from starlette.types import Scope

from outlast.web.addresses import caller_address
from outlast.web.problems import Problem, ProblemError

SHARE = "outlast.body"
"""Where in an ASGI scope the call's share is kept: several readers of one request have one."""


class BodyLimits(NamedTuple):
    """Bytes of one body: by default, what a function may ask for, and before a signature is verified."""

    bytes_max: int
    asked_bytes_max: int
    unverified_bytes_max: int

    def of(self, asked: int | None, *, verified: bool = True) -> int:
        """The limit of a function that asks for `asked` bytes, or for none in particular."""
        usual = self.bytes_max if verified else min(self.bytes_max, self.unverified_bytes_max)
        return usual if asked is None else min(asked, max(self.bytes_max, self.asked_bytes_max))


class BodyBudget:
    """Bytes of bodies in memory. What comes alone is let in at any size: it would never fit otherwise."""

    def __init__(self, bytes_max: int, caller_bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._caller_bytes_max = caller_bytes_max
        self._used = 0
        self._of: Counter[str] = Counter()

    def take(self, caller: str | None, held: int, more: int) -> None:
        """Take `more` for a call that holds `held`. Without a caller only the instance's limit counts.

        Raises ProblemError (429, 503), and takes nothing then.
        """
        if caller is not None:
            used = self._of[caller]
            # guard: bodies-of-a-caller
            if used > held and used + more > self._caller_bytes_max:
                raise ProblemError(_of_caller(self._caller_bytes_max))
        # guard: bodies-of-an-instance
        if self._used > held and self._used + more > self._bytes_max:
            raise ProblemError(_of_instance())
        self._used += more
        if caller is not None:
            self._of[caller] += more

    def give_back(self, caller: str | None, held: int) -> None:
        """The end of a body."""
        self._used -= held
        if caller is not None:
            self._of[caller] -= held
            if not self._of[caller]:
                del self._of[caller]


class BodyShare:
    """What one call has taken of the budget. Until its caller is known, its address stands for it."""

    __slots__ = ("_budget", "_caller", "_held")

    def __init__(self, budget: BodyBudget, scope: Scope) -> None:
        self._budget = budget
        self._caller: str | None = caller_address(scope)
        self._held = 0
        scope[SHARE] = self

    def is_of(self, caller: str | None, *, secret: bool) -> None:
        """Who calls is known. What was taken before stays counted where it is."""
        if not self._held and (secret or caller is not None):
            self._caller = None if secret else caller

    def take(self, more: int) -> None:
        """Take so many bytes more. Raises ProblemError (429, 503)."""
        self._budget.take(self._caller, self._held, more)
        self._held += more

    def release(self) -> None:
        """Give all back."""
        self._budget.give_back(self._caller, self._held)
        self._held = 0


_CLOSING = (("retry-after", "1"), ("connection", "close"))
"""Closing spares us from reading the rest only to throw it away."""


def _of_caller(bytes_max: int) -> Problem:
    detail = (
        f"bodies of this caller already take {bytes_max} bytes with this one; "
        "wait for a call to be answered, or send less at once"
    )
    return Problem(429, "rate_limited", detail, retryable=True, headers=_CLOSING)


def _of_instance() -> Problem:
    detail = "this instance holds as many bodies as it has memory for; try again soon"
    return Problem(503, "overloaded", detail, retryable=True, headers=_CLOSING)
