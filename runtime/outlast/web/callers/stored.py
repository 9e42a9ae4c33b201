"""How many workflows of a user are in the database: beyond the limits no new one is started."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from outlast.core.clock import monotonic
from outlast.core.ports import Unreachable
from outlast.store.workflows import PostgresWorkflows
from outlast.web.http.problems import Problem, ProblemError

KEPT_S = 10.0
"""How long a count is used. What is started meanwhile is added to it."""

FRESH_S = 1.0
"""A user at a limit is counted again after this time."""

USERS_MAX = 10_000
"""How many users' counts are kept."""


class StoredLimits(NamedTuple):
    """Limits of one user: of workflows that sleep or wait to run, and of all rows."""

    sleeping_max: int
    stored_max: int


class Counts(NamedTuple):
    """The counts of one user in the database."""

    sleeping: int
    stored: int


_NONE = Counts(0, 0)


@dataclass(slots=True)
class _UserCount:
    counts: Counts = _NONE
    started: int = 0
    """Workflows that this instance started since the count: each may sleep by now."""
    counted_at_s: float = float("-inf")
    counting: asyncio.Task[None] | None = None
    before: int = 0
    """How many of the started ones the running count includes."""


class Stored:
    """Users' counts, as far as this instance needs to know them.

    Counting costs no call time while a user is far from the limits: it is done beside. So several instances
    let through as much beyond a limit as the others start within KEPT_S; one alone what comes until the first
    count is there.
    """

    def __init__(
        self, counting: PostgresWorkflows, limits: StoredLimits, clock: Callable[[], float] = monotonic
    ) -> None:
        self._counting = counting
        self._limits = limits
        self._clock = clock
        self._users: OrderedDict[str, _UserCount] = OrderedDict()

    async def may_start(self, subject: str) -> None:
        """Count one more. Raises ProblemError (429)."""
        known = self._users.setdefault(subject, _UserCount())
        self._users.move_to_end(subject)
        if len(self._users) > USERS_MAX:
            self._users.popitem(last=False)
        age_s = self._clock() - known.counted_at_s
        if age_s >= KEPT_S:
            _ = self._begin_count(subject, known)
        if self._limit_reached(known) is not None:
            # Most of those that were started since may have ended.
            if known.counting is not None and known.before < known.started:
                await asyncio.shield(known.counting)  # it does not include what was started after it began
            if known.started or age_s >= FRESH_S:
                await asyncio.shield(self._begin_count(subject, known))
            # guard: stored-without-end
            if (reached := self._limit_reached(known)) is not None:
                raise rate_limited(reached)
        known.started += 1

    def _limit_reached(self, known: _UserCount) -> str | None:
        if known.counts.sleeping + known.started >= self._limits.sleeping_max:
            return f"{self._limits.sleeping_max} workflows of this caller sleep or wait to run"
        if known.counts.stored + known.started >= self._limits.stored_max:
            return f"{self._limits.stored_max} workflows of this caller are stored"
        return None

    def _begin_count(self, subject: str, known: _UserCount) -> asyncio.Task[None]:
        if known.counting is None:
            known.before = known.started
            known.counting = asyncio.get_running_loop().create_task(
                self._count(subject, known), name="outlast-count"
            )
        return known.counting

    async def _count(self, subject: str, known: _UserCount) -> None:
        try:
            counts = Counts(*await self._counting.counts(subject, *self._limits))
        except Unreachable:
            return  # the start itself will report it
        finally:
            known.counting = None
        known.counts = counts
        known.started -= known.before
        known.counted_at_s = self._clock()


def rate_limited(reached: str) -> ProblemError:
    """429: the caller has reached a limit."""
    detail = f"{reached}, as many as may be; try again later"
    return ProblemError(Problem("rate_limited", detail, headers=(("retry-after", "1"),)))
