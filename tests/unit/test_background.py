"""Background loops, in time that is given: it jumps from timer to timer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator

import pytest

from outlast.core.background import Loop, end_tasks
from outlast.core.observations import DatabaseFound, DatabaseLost, LoopFailed, Observation
from outlast.core.ports import HeldUp, Unreachable
from outlast.testing.clock import given_time
from outlast.testing.virtual import Time, VirtualLoop

BEGAN = 100.0


class TooMany(BaseException):
    """Rounds without end: no Exception, which a loop would survive."""


class Rounds:
    """A loop whose rounds do what `plan` says: pauses to return, errors to raise, or calls; then None."""

    def __init__(self, *plan: float | BaseException | Callable[[], Awaitable[float | None]] | None) -> None:
        self.plan = list(plan)
        self.began: list[float] = []
        self.told: list[Observation] = []
        self.under_way = 0

    def loop(self, *, tells_absence: bool = False) -> Loop:
        self.made = Loop("tested", self.do, self.told.append, tells_absence=tells_absence)
        self.made.open()
        return self.made

    async def do(self) -> float | None:
        self.began.append(asyncio.get_running_loop().time() - BEGAN)
        if len(self.began) > 1_000:
            raise TooMany
        assert self.under_way == 0
        self.under_way += 1
        try:
            await asyncio.sleep(0)
            what = self.plan.pop(0) if self.plan else None
            if isinstance(what, BaseException):
                raise what
            return await what() if callable(what) else what
        finally:
            self.under_way -= 1


@pytest.fixture
def virtual() -> Iterator[Callable[[Awaitable[None]], None]]:
    """Runs a coroutine on a loop whose time jumps, beginning at 100 s."""
    time = Time(BEGAN)
    loop = VirtualLoop(time, lambda at: at is not None, lambda: True)

    def run(what: Awaitable[None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(10_000.0):
                await what

        loop.run_until_complete(bounded())

    with given_time(time.monotonic, 1):
        yield run
    loop.close()


Run = Callable[[Awaitable[None]], None]


def test_a_round_says_when_the_next_is_due(virtual: Run) -> None:
    rounds = Rounds(5.0, 0.0, 2.5, None)

    async def test() -> None:
        loop = rounds.loop()
        await asyncio.sleep(100.0)
        assert rounds.began == pytest.approx([0.0, 5.0, 5.0, 7.5])
        slept = loop.asleep
        loop.wake()
        assert (slept, loop.asleep) == (True, False)  # though its round has not begun
        await loop.close()

    virtual(test())


def test_a_wake_begins_a_round_at_once_or_at_its_time_and_none_gets_lost(virtual: Run) -> None:
    rounds = Rounds(None, None, 50.0, 50.0, 50.0)

    async def test() -> None:
        loop = rounds.loop()
        await asyncio.sleep(3.0)
        loop.wake()
        loop.wake()
        await asyncio.sleep(1.0)
        loop.wake(at=BEGAN + 20.0)
        loop.wake(at=BEGAN + 30.0)  # later than one that is due
        await asyncio.sleep(6.0)
        assert rounds.began == pytest.approx([0.0, 3.0])
        loop.wake(at=BEGAN + 12.0)  # sooner
        await asyncio.sleep(20.0)
        assert rounds.began == pytest.approx([0.0, 3.0, 12.0])
        await asyncio.sleep(40.0)
        assert rounds.began == pytest.approx([0.0, 3.0, 12.0, 62.0])
        await loop.close()

    virtual(test())


def test_a_wake_for_later_outlasts_the_rounds_before_it(virtual: Run) -> None:
    rounds = Rounds(5.0, None)

    async def test() -> None:
        loop = rounds.loop()
        loop.wake(at=BEGAN + 20.0)
        await asyncio.sleep(100.0)
        assert rounds.began == pytest.approx([0.0, 5.0, 20.0])
        await loop.close()

    virtual(test())


def test_a_wake_during_a_round_leads_to_another_one_after_it(virtual: Run) -> None:
    async def long() -> None:
        await asyncio.sleep(10.0)

    rounds = Rounds(long)

    async def test() -> None:
        loop = rounds.loop()
        await asyncio.sleep(1.0)
        loop.wake()
        loop.wake()
        await asyncio.sleep(100.0)
        assert rounds.began == pytest.approx([0.0, 10.0])
        await loop.close()

    virtual(test())


def test_failures_are_retried_at_once_and_then_ever_later_and_told_once(virtual: Run) -> None:
    rounds = Rounds(*[ValueError("x")] * 9, OSError("y"), 50.0, ValueError("x"), None)

    async def test() -> None:
        loop = rounds.loop()
        await asyncio.sleep(0.01)
        failing = [loop.failing]
        loop.wake()  # shortens no pause
        await asyncio.sleep(40.0)
        assert [*failing, loop.failing] == [True, False]
        pauses = [after - before for before, after in zip(rounds.began, rounds.began[1:], strict=False)]
        assert pauses[0] == pytest.approx(0.0)
        for number, pause in enumerate(pauses[1:10]):
            ceiling = min(2.0, 0.1 * 2**number)
            assert ceiling / 2 - 1e-5 <= pause <= ceiling + 1e-5
        await asyncio.sleep(40.0)
        known = [LoopFailed("tested", "ValueError('x')"), LoopFailed("tested", "OSError('y')")]
        assert rounds.told == [*known, known[0]]
        await loop.close()

    virtual(test())


def test_who_knows_that_what_failed_is_over_lets_pauses_grow_from_the_shortest_again(virtual: Run) -> None:
    rounds = Rounds(*[ValueError("x")] * 20)

    async def test() -> None:
        loop = rounds.loop()

        async def found_again() -> None:
            loop.relent()
            raise ValueError("x")

        rounds.plan[10:12] = [found_again, found_again]
        await asyncio.sleep(60.0)
        pauses = [after - before for before, after in zip(rounds.began, rounds.began[1:], strict=False)]
        assert pauses[9] >= 1.0
        assert all(0.05 - 1e-5 <= pause <= 0.1 + 1e-5 for pause in pauses[10:12])
        assert pauses[19] >= 1.0
        await loop.close()

    virtual(test())


def test_what_is_not_to_be_repeated_waits_for_a_wake_and_its_pauses_grow_all_the_same(virtual: Run) -> None:
    began: list[float] = []

    async def fail() -> None:
        began.append(asyncio.get_running_loop().time())
        raise ValueError("x")

    async def test() -> None:
        loop = Loop("tested", fail, lambda _: None, repeats=False)
        loop.open()
        await asyncio.sleep(100.0)
        assert len(began) == 1
        for _ in range(5):
            loop.wake()
            await asyncio.sleep(100.0)
        assert len(began) == 6
        for _ in range(50):
            loop.wake()
            await asyncio.sleep(0.1)
        assert len(began) <= 6 + 1 + 5
        await loop.close()

    virtual(test())


def test_an_absent_database_is_told_by_the_loop_whose_task_that_is(virtual: Run) -> None:
    silent, telling = (Rounds(*[Unreachable("gone")] * 3, ValueError("x"), None) for _ in range(2))

    async def test() -> None:
        loops = [silent.loop(), telling.loop(tells_absence=True)]
        await asyncio.sleep(10.0)
        assert silent.told == [LoopFailed("tested", "ValueError('x')")]
        lost, failed, found = telling.told
        assert lost == DatabaseLost("tested", "gone")
        assert isinstance(failed, LoopFailed)
        assert isinstance(found, DatabaseFound)
        assert found.away_s == pytest.approx(telling.began[4])
        for loop in loops:
            await loop.close()

    virtual(test())


def test_a_row_that_somebody_holds_is_no_absence(virtual: Run) -> None:
    rounds = Rounds(HeldUp("held"), HeldUp("held"), None)

    async def test() -> None:
        loop = rounds.loop(tells_absence=True)
        await asyncio.sleep(10.0)
        assert rounds.told == [LoopFailed("tested", "HeldUp('held')")]
        await loop.close()

    virtual(test())


def test_what_a_round_waits_for_may_be_cancelled(virtual: Run) -> None:
    async def disappointed() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    rounds = Rounds(disappointed, None)

    async def test() -> None:
        loop = rounds.loop()
        await asyncio.sleep(1.0)
        assert len(rounds.began) == 2
        assert [type(each) for each in rounds.told] == [LoopFailed]
        await loop.close()

    virtual(test())


@pytest.mark.parametrize("pause_s", [None, 50.0, 0.0])
def test_a_loop_ends_wherever_it_is(virtual: Run, pause_s: float | None) -> None:
    rounds = Rounds(*[pause_s] * 900)

    async def test() -> None:
        loop = rounds.loop()
        await asyncio.sleep(0)
        async with asyncio.timeout(0.1):
            await loop.close(patience_s=5.0)
        count = len(rounds.began)
        loop.wake()
        await asyncio.sleep(100.0)
        assert len(rounds.began) == count
        await loop.close()

    virtual(test())


def test_a_failing_loop_ends_without_waiting_for_its_pause(virtual: Run) -> None:
    rounds = Rounds(*[ValueError("x")] * 900)

    async def test() -> None:
        loop = rounds.loop()
        await asyncio.sleep(20.0)
        began = asyncio.get_running_loop().time()
        await loop.close(patience_s=5.0)
        assert asyncio.get_running_loop().time() == pytest.approx(began)

    virtual(test())


@pytest.mark.parametrize(("takes_s", "whole"), [(3.0, True), (30.0, False)])
def test_a_round_that_is_under_way_may_end_within_bounds(virtual: Run, takes_s: float, whole: bool) -> None:
    done: list[bool] = []

    async def long() -> None:
        await asyncio.sleep(takes_s)
        done.append(rounds.made.closing)

    rounds = Rounds(long)

    async def test() -> None:
        loop = rounds.loop()
        await asyncio.sleep(1.0)
        await loop.close(patience_s=5.0)
        await asyncio.sleep(100.0)
        assert done == [True] * whole
        assert len(rounds.began) == 1

    virtual(test())


def test_rounds_without_a_pause_leave_others_their_turn(virtual: Run) -> None:
    rounds = Rounds(*[0.0] * 1_000)

    async def test() -> None:
        async def nothing() -> float:
            rounds.began.append(0.0)
            if len(rounds.began) > 100:
                raise TooMany
            return 0.0

        loop = Loop("tested", nothing, rounds.told.append)
        loop.open()
        for _ in range(20):
            await asyncio.sleep(0)
        await loop.close()
        assert 5 < len(rounds.began) < 50

    virtual(test())


def test_whatever_comes_when_one_round_at_a_time_runs_and_every_wake_is_followed_by_one(virtual: Run) -> None:
    chance = random.Random(7)
    rounds = Rounds()
    wakes: list[float] = []

    async def test() -> None:
        async def some() -> float | None:
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.3]))
            if chance.random() < 0.1:
                raise ValueError("x")
            return chance.choice([None, 0.0, 1.0])

        rounds.plan = [some] * 900
        loop = rounds.loop()
        for _ in range(300):
            await asyncio.sleep(chance.choice([0.0, 0.001, 0.1, 0.7]))
            wakes.append(asyncio.get_running_loop().time() - BEGAN)
            loop.wake()
        await asyncio.sleep(60.0)
        for each in wakes:
            assert any(began >= each - 1e-6 for began in rounds.began)
        assert rounds.began[-1] >= wakes[-1] - 1e-6
        await loop.close()

    virtual(test())


async def test_a_task_that_loses_a_cancellation_ends_too() -> None:
    lost = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(30.0):
        await end_tasks([task])
    assert lost.is_set()
    assert task.cancelled()
    await end_tasks([])
