"""A saga killed and cancelled at each point of its run: what was done is undone, unless it succeeded."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from outlast import UNKNOWN, receive, saga, sleep, step, workflow
from outlast.core.errors import CompensationFailed
from outlast.core.status import Status
from outlast.testing import Outlast
from outlast.testing.points import crashes
from outlast.testing.trials import Trial, many_trials, run_trial
from outlast.testing.worlds import CANCEL, Act

standing: set[str] = set()
undone: list[str] = []
failures: list[None] = []
"""How often an undo still fails."""


@pytest.fixture(autouse=True)
def nothing_stands() -> None:
    reset()


def reset() -> None:
    standing.clear()
    undone.clear()
    failures.clear()


def reset_to_fail() -> None:
    reset()
    failures[:] = [None, None]


@step
async def book(name: str) -> str:
    standing.add(name)
    await asyncio.sleep(0.01)
    if name.startswith("bad"):
        raise ValueError(name)
    return f"{name}!"


@step
async def cancel(booking: Any, name: str) -> None:
    assert booking is UNKNOWN or booking == f"{name}!"
    await asyncio.sleep(0.01)
    standing.discard(name)
    undone.append(name)


@step
def book_here(name: str) -> str:
    standing.add(name)
    return f"{name}!"


@step
def cancel_here(booking: Any, name: str) -> None:
    if failures:
        failures.pop()
        raise ConnectionError("not now")
    standing.discard(name)
    undone.append(name)


@workflow
async def trip(last: str) -> str:
    async with saga() as s:
        await asyncio.gather(s.do(book, "hotel", undo=cancel), s.do(book, "car", undo=cancel))
        await sleep(3600)
        async with saga() as inner:
            await inner.do(book, last, undo=cancel)
            return (await receive("seats", timeout=60, default="none")) or "some"


@workflow
def plain(last: str) -> str:
    with saga() as s:
        s.do(book_here, "hotel", undo=cancel_here)
        _ = sleep(3600)
        if last == "bad":
            raise ValueError(last)
        return s.do(book_here, last, undo=cancel_here)


@pytest.mark.parametrize("flow", [trip, plain], ids=["async", "def"])
@pytest.mark.parametrize("last", ["flight", pytest.param("bad", marks=pytest.mark.slow)])
def test_it_comes_to_the_same_wherever_it_is_killed(outlast: Outlast, flow: Any, last: str) -> None:
    outlast.before_each(reset)
    if last == "bad":
        assert outlast.crash_everywhere(flow, last, raises=ValueError).crashes > 10
        assert standing == set()
    else:
        assert outlast.crash_everywhere(flow, last).crashes > 10
        assert standing == {"hotel", "flight"} | ({"car"} if flow is trip else set())


@pytest.mark.parametrize("flow", [trip, plain], ids=["async", "def"])
def test_it_ends_and_is_undone_wherever_it_is_cancelled(outlast: Outlast, flow: Any) -> None:
    outlast.before_each(reset)
    told = outlast.cancel_everywhere(flow, "flight")
    assert "was cancelled at" in str(told)


@pytest.mark.parametrize("flow", [trip, plain], ids=["async", "def"])
@pytest.mark.parametrize("last", ["flight", pytest.param("bad", marks=pytest.mark.slow)])
def test_nothing_stands_after_a_cancel_and_a_kill_anywhere(outlast: Outlast, flow: Any, last: str) -> None:
    outlast.before_each(reset_to_fail)
    subject = outlast._prover.subject("cancel_everywhere", flow.definition, (last,), {}, outlast._caller)
    chance = random.Random(1)
    with many_trials() as graves:
        calm = run_trial(subject, graves)
        for number in crashes(calm.lives[0]):
            cancelled = run_trial(subject, graves, act=Act(number, CANCEL))
            check(cancelled)
            after = [each for each in crashes(cancelled.lives[0]) if each > number]
            for killed in chance.sample(after, min(4, len(after))):
                check(run_trial(subject, graves, [killed], act=Act(number, CANCEL)))


def check(trial: Trial) -> None:
    assert trial.deadlock is None, (trial.where, trial.deadlock)
    assert not trial.faults, (trial.where, trial.faults)
    for status, _, _ in trial.ends.values():
        assert status is Status.SUCCESS or not standing, (trial.where, standing)
        assert status in (Status.SUCCESS, Status.CANCELLED, Status.ERROR), trial.where


@pytest.mark.slow
def test_what_fails_for_a_day_stands_and_is_told(outlast: Outlast) -> None:
    @workflow
    async def hopeless() -> None:
        async with saga() as s:
            await s.do(book, "kept", undo=cancel)
            await s.do(book, "hotel", undo=cancel)
            raise ValueError("why")

    def refuse(booking: Any, name: str) -> None:
        if name == "kept":
            raise ConnectionError("never")
        standing.discard(name)

    outlast.stub(cancel, by=refuse)
    began = outlast.now
    run = outlast.finish(outlast.start(hopeless))
    assert isinstance(run.error, CompensationFailed)
    assert run.error.undone == ["book"]
    (left,) = run.error.standing
    assert (left["step"], left["result"], left["error"]) == ("book", "kept!", "ConnectionError: never")
    assert standing == {"kept"}
    assert 24 <= (outlast.now - began).total_seconds() / 3600 < 24.1
