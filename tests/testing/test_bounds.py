"""An endless workflow ends the test with its line, and a long one may go on for as long as the test says."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from outlast import receive, sleep, step, workflow
from outlast.core.places import shown_place
from outlast.testing import Deadlock, Endless, Outlast

DAY = timedelta(days=1)
HERE = re.escape(shown_place(__file__, 0).removesuffix(":0"))


@step
async def reserve() -> bool:
    return False


@workflow
async def polls_daily() -> None:
    while not await reserve():
        await sleep(DAY)  # HERE


@workflow
async def asks_daily() -> None:
    while await receive("stop", timeout=DAY, default=None) is None:
        pass


@workflow
async def answers_for_ever() -> None:
    while True:
        await receive("question")


@workflow
async def never_pauses() -> None:
    while not await reserve():
        pass


@workflow
async def naps(times: int) -> int:
    for _ in range(times):
        await sleep(DAY)
    return times


@pytest.mark.parametrize("workflow", [polls_daily, asks_daily, answers_for_ever])
def test_a_workflow_that_waits_again_and_again_ends_the_test(outlast: Outlast, workflow: Any) -> None:
    outlast.waits_max = 20
    outlast.answer("question", "?")
    with pytest.raises(
        Endless,
        match=rf"waited 20 times, until 2026-01-\d\d, and goes on with .* at {HERE}:",
    ):
        _ = outlast.run(workflow)
    for prove in (outlast.crash_everywhere, outlast.deterministic):
        with pytest.raises(Deadlock, match=r"`outlast.waits_max = 200` lets it go on for longer"):
            _ = prove(workflow)


def test_one_that_only_calls_does_too(outlast: Outlast) -> None:
    outlast.calls_max = 500
    for ask in (outlast.run, outlast.start):
        with pytest.raises(Endless, match="called something 500 times"):
            _ = ask(never_pauses)


def test_the_bound_can_be_raised(outlast: Outlast) -> None:
    outlast.waits_max = 20
    assert outlast.run(naps, 20).result == 20
    with pytest.raises(Endless):
        _ = outlast.run(naps, 21)
    outlast.waits_max = 21
    assert outlast.run(naps, 21).result == 21


def test_what_the_test_lets_pass_itself_is_not_bounded(outlast: Outlast) -> None:
    outlast.waits_max = 20
    run = outlast.start(polls_daily)
    _ = outlast.advance(days=30)
    assert run.status == "PENDING"
    outlast.stub(reserve, returns=True)
    assert outlast.finish(run).status == "SUCCESS"
