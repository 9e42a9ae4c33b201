"""How many workflows of a user may lie in the database."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from outlast.core.ports import Unreachable
from outlast.web.callers.stored import KEPT_S, Stored, StoredLimits
from outlast.web.http.problems import ProblemError


class Rows:
    """What a database would count."""

    def __init__(self) -> None:
        self.sleeping, self.stored, self.asked = 0, 0, 0
        self.now_s = 0.0
        self.away = False

    async def counts(self, subject: str, sleeping_max: int, stored_max: int) -> tuple[int, int]:
        self.asked += 1
        if self.away:
            raise Unreachable("away")
        return min(self.sleeping, sleeping_max), min(self.stored, stored_max)

    def clock(self) -> float:
        return self.now_s


def limited_to(rows: Rows, sleeping_max: int, stored_max: int = 1_000) -> Stored:
    return Stored(cast(Any, rows), StoredLimits(sleeping_max, stored_max), rows.clock)


async def counted(stored: Stored) -> None:
    """Let what counts beside come to its end."""
    await stored.may_start("ada")
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("sleeping", "stored"), [(5, 5), (0, 9)])
async def test_who_has_as_many_as_may_be_starts_none(sleeping: int, stored: int) -> None:
    rows = Rows()
    rows.sleeping, rows.stored = sleeping, stored
    shares = limited_to(rows, 5, 9)
    await counted(shares)  # one alone slips through before anything is known
    with pytest.raises(ProblemError) as caught:
        await shares.may_start("ada")
    assert caught.value.problem.status == 429
    assert caught.value.problem.code == "rate_limited"
    assert dict(caught.value.problem.headers)["retry-after"]
    await shares.may_start("eve")


async def test_a_crowd_at_the_limit_gets_no_more_than_is_left() -> None:
    rows = Rows()
    rows.sleeping = 3
    shares = limited_to(rows, 5)
    await counted(shares)
    rows.sleeping = 4
    answers = await asyncio.gather(*(shares.may_start("ada") for _ in range(20)), return_exceptions=True)
    assert sum(each is None for each in answers) <= 2


async def test_who_is_far_from_the_limits_is_counted_seldom() -> None:
    rows = Rows()
    shares = limited_to(rows, 1_000)
    for _ in range(100):
        await counted(shares)
    assert rows.asked == 1
    rows.now_s = KEPT_S
    await counted(shares)
    assert rows.asked == 2


async def test_what_has_ended_counts_no_more() -> None:
    """An instance that has started many looks before it refuses."""
    rows = Rows()
    shares = limited_to(rows, 3)
    for _ in range(50):
        await shares.may_start("ada")


async def test_nobody_is_refused_for_want_of_a_database() -> None:
    rows = Rows()
    rows.away = True
    shares = limited_to(rows, 10)
    for _ in range(9):
        await counted(shares)
