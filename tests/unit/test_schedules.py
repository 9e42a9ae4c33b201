"""What is decided about a schedule, by its row and the time alone."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast.core.observations import Observation
from outlast.core.schedules import (
    CATCHUP_MAX,
    LATE_S,
    Catchup,
    DueSchedule,
    Overlap,
    Policies,
    decide,
    delay_of,
    tick_id,
)
from outlast.core.timetables import At, Cron, Every, Timetable
from outlast.engine.instances.ticking import Ticker

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def due(
    timetable: Timetable, nominal: datetime | None, now: datetime, ticked: int = 0, **policies: Any
) -> DueSchedule:
    return DueSchedule("s", 1, timetable, Policies(**policies), nominal, now, NOON, ticked)


def test_the_first_time_is_found() -> None:
    order = decide(due(Every(3600), None, NOON + SECOND))
    assert (order.nominal, order.next_nominal, order.missed_count) == (None, NOON + timedelta(hours=1), 0)
    assert order.upcoming == tuple(NOON + timedelta(hours=n) for n in range(1, 6))


def test_a_tick_that_is_due_is_run_and_the_next_one_is_named() -> None:
    order = decide(due(Every(3600), NOON, NOON + SECOND))
    assert (order.nominal, order.late_s, order.next_at) == (NOON, None, NOON + timedelta(hours=1))


def test_the_last_missed_one_is_run_a_day_late_at_most() -> None:
    day = timedelta(days=1)
    order = decide(due(At(NOON), NOON, NOON + day, catchup=Catchup.LAST))
    assert (order.nominal, order.late_s) == (NOON, 86_400)
    order = decide(due(At(NOON), NOON, NOON + day + SECOND))
    assert (order.nominal, order.missed, order.next_at) == (None, (NOON,), None)


def test_ticks_that_are_a_little_late_are_all_run() -> None:
    row, ran = due(Every(2), NOON, NOON + timedelta(seconds=LATE_S) - SECOND), []
    for _ in range(5):
        order = decide(row)
        assert order.nominal is not None
        assert order.late_s is None
        assert order.missed_count == 0
        ran.append(order.nominal)
        row = due(Every(2), order.next_nominal, row.now)
    assert ran == [NOON + n * 2 * SECOND for n in range(5)]


def test_no_tick_is_later_than_until() -> None:
    until = NOON + timedelta(hours=2)
    order = decide(due(Every(3600), NOON, NOON + SECOND, until=until))
    assert order.upcoming == (NOON + timedelta(hours=1), until)
    order = decide(due(Every(3600), until, until + SECOND, until=until))
    assert (order.nominal, order.next_at) == (until, None)


def test_so_many_ticks_there_are() -> None:
    order = decide(due(Every(3600), NOON, NOON + SECOND, 1, times=3))
    assert len(order.upcoming) == 1
    order = decide(due(Every(3600), NOON, NOON + SECOND, 2, times=3))
    assert (order.nominal, order.next_at) == (NOON, None)


def test_of_very_many_the_newest_are_run() -> None:
    now = NOON + timedelta(seconds=5000)
    row = due(Every(1), NOON, now, catchup=Catchup.ALL, overlap=Overlap.ALLOW)
    order = decide(row)
    assert order.nominal == now - (CATCHUP_MAX - 1) * SECOND
    assert order.missed_count == 5001 - CATCHUP_MAX


def test_jitter_is_the_names() -> None:
    assert delay_of("a", 600) == delay_of("a", 600) != delay_of("b", 600)
    assert timedelta(0) <= delay_of("a", 600) < timedelta(seconds=600)
    assert decide(due(Every(3600), NOON, NOON, jitter_s=600)).nominal is None


def test_ids_are_in_utc() -> None:
    assert (
        tick_id("s", datetime.fromisoformat("2026-03-20T13:00:00+01:00")) == "schedule:s:2026-03-20T12:00:00Z"
    )


@pytest.mark.slow
@given(
    timetable=st.sampled_from([Every(1), Every(7), Cron("*/5 * * * *"), Cron("30 2 * * *", "Europe/Berlin")]),
    catchup=st.sampled_from(Catchup),
    gaps_s=st.lists(st.sampled_from([0, 1, 2, 9, 10, 11, 60, 3600, 90_000]), min_size=1, max_size=8),
    jitter_s=st.sampled_from([0.0, 30.0]),
)
def test_each_time_is_decided_about_once(
    timetable: Timetable, catchup: Catchup, gaps_s: list[int], jitter_s: float
) -> None:
    """Whatever looks there are: what was run and what was missed are all times up to the next one."""
    ran: list[datetime] = []
    missed, ticked, now = 0, 0, NOON
    policies: dict[str, Any] = {"catchup": catchup, "overlap": Overlap.ALLOW, "jitter_s": jitter_s}
    nominal = decide(due(timetable, None, now, **policies)).next_nominal
    for gap_s in gaps_s:
        now += timedelta(seconds=gap_s)
        for _ in range(3):
            assert nominal is not None
            if nominal + delay_of("s", jitter_s) > now:
                break
            order = decide(due(timetable, nominal, now, ticked, **policies))
            assert order.next_nominal is not None
            assert order.next_nominal > nominal
            ran += [] if order.nominal is None else [order.nominal]
            missed += order.missed_count
            assert len(order.missed) <= order.missed_count
            nominal = order.next_nominal
    assert nominal is not None
    times = itertools.takewhile(lambda each: each < nominal, timetable.times(NOON))
    count = sum(1 for _ in itertools.islice(times, 200_000))
    if count < 10_000:
        assert len(ran) + missed == count
    assert ran == sorted({*ran})


async def test_an_instance_that_leaves_ticks_no_more() -> None:
    seen: list[Observation] = []
    looked = asyncio.Event()

    def leaving() -> bool:
        looked.set()
        return False

    store: Any = None  # asked for anything it would raise
    ticker = Ticker(store, store, lambda: None, leaving, seen.append, 10.0)
    ticker.loop.open()
    async with asyncio.timeout(10):
        await looked.wait()
        while not ticker.loop.asleep:
            await asyncio.sleep(0)
    failing = ticker.loop.failing
    await ticker.loop.close()
    assert not failing
    assert seen == []


@pytest.mark.parametrize("late_s", [0, 5])
def test_nothing_is_late_that_nobody_missed(late_s: int) -> None:
    assert decide(due(Every(60), NOON, NOON + late_s * SECOND)).late_s is None
