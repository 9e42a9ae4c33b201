"""The cases of schedules in memory and in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from outlast import sleep, workflow
from outlast.core.observations import ScheduleFailed
from outlast.core.ports import Locked, TookTooLong
from outlast.core.schedules import Backfill, Order
from outlast.core.verbs import BACKFILL_SCHEDULE, CREATE_SCHEDULE
from outlast.engine.instances.setbacks import SLOW
from outlast.testing.rows import RowRefused, Workflow
from outlast.testing.statements.schedules import ScheduleStatements
from tests.engine.harness import Bench, engine_on
from tests.engine.memory import Memory
from tests.engine.schedule_cases import *  # noqa: F403
from tests.engine.schedule_cases import nominal_of

LONG_S = 60.0
LOCK_S = 0.1
"""So long a tick waits for a lock (store/schedules.sql)."""


async def test_a_schedule_whose_tick_fails_slows_no_other(database: str) -> None:
    """Whose pauses grow to seconds: another one that ticks each second is in time all the same."""
    if not isinstance(database, Memory):
        pytest.skip("a minute, in virtual time alone")

    @workflow
    async def stays() -> None:
        await sleep(10 * LONG_S)

    @workflow
    async def passes() -> None: ...

    async with engine_on(database, stays, passes) as bench:
        tables = database.database
        for name, function, overlap in (("bad", "stays", "cancel"), ("a_good", "passes", "allow")):
            given = {"name": name, "function": function, "overlap": overlap, "every": timedelta(seconds=1)}
            ScheduleStatements(tables, "sql").act(CREATE_SCHEDULE, None, given, "ann")
        (first,) = await bench.until(lambda: [each for each in tables.workflows if ":bad:" in each])
        tables.refusing[first] = RowRefused
        tries = Counter(await tried_for(bench, LONG_S))
        started = [row for each, row in tables.workflows.items() if ":a_good:" in each]
        assert [each for each in tables.ticks if each.schedule == "a_good"] == []
        assert len(started) >= LONG_S - 3
        assert max(map(late_s, started)) < 0.1
        assert len([each for each in tables.workflows if ":bad:" in each]) == 1
        # It is tried ever more seldom, every two seconds at most, and told of once.
        assert LONG_S / 2 < tries["bad"] < LONG_S
        told = [each for each in bench.observations if isinstance(each, ScheduleFailed)]
        assert [(each.schedule, each.what) for each in told] == [("bad", "tick")]
        tables.refusing.clear()
        await bench.until(lambda: [each for each in tables.workflows if ":bad:" in each][1:])


async def tried_for(bench: Bench, seconds: float) -> list[str]:
    """Of which schedules ticks were tried in that time."""
    store: Any = bench.store.schedules
    tick = store.tick
    tried: list[str] = []

    async def noted(orders: Sequence[Order], limit_s: float) -> Any:
        tried.extend(each.name for each in orders)
        return await tick(orders, limit_s)

    store.tick = noted
    await asyncio.sleep(seconds)
    return tried


def late_s(row: Workflow) -> float:
    """How late a tick was."""
    tick = json.loads(row.new.tick or "")
    return (datetime.fromisoformat(tick["actual"]) - datetime.fromisoformat(tick["nominal"])).total_seconds()


async def test_what_is_held_costs_others_one_wait_at_a_time(database: str) -> None:
    """Ten schedules, of whose ticks each waits for somebody's lock, make no other one late."""
    if not isinstance(database, Memory):
        pytest.skip("a minute, in virtual time alone")

    @workflow
    async def passes() -> None: ...

    async with engine_on(database, passes) as bench:
        tables, store = database.database, bench.store.schedules
        tick: Any = store.tick

        async def held(orders: Sequence[Order], limit_s: float) -> Any:
            if any(each.name.startswith("held") and each.nominal for each in orders):
                await asyncio.sleep(LOCK_S)
                raise Locked("somebody holds it")
            return await tick(orders, limit_s)

        vars(store)["tick"] = held
        for name in ("good", *(f"held{number}" for number in range(10))):
            given = {"name": name, "function": "passes", "overlap": "allow", "every": timedelta(seconds=1)}
            ScheduleStatements(tables, "sql").act(CREATE_SCHEDULE, None, given, "ann")
        await asyncio.sleep(10.0)  # each is found to be held, by itself
        before = len(tables.workflows)
        await asyncio.sleep(LONG_S)
        started = list(tables.workflows.values())[before:]
        assert len(started) >= LONG_S - 2
        assert max(map(late_s, started)) < 2 * LOCK_S
        vars(store)["tick"] = tick
        await bench.until(lambda: len({each.split(":")[1] for each in tables.workflows}) == 11)


async def test_a_schedule_whose_tick_is_slow_makes_no_other_miss_one(database: str) -> None:
    """It is given up in time, and tried ever more seldom."""
    if not isinstance(database, Memory):
        pytest.skip("ten minutes, in virtual time alone")

    @workflow
    async def passes() -> None: ...

    async with engine_on(database, passes) as bench:
        tables, store, tries = database.database, bench.store.schedules, Counter[str]()
        tick: Any = store.tick

        async def slow(orders: Sequence[Order], limit_s: float) -> Any:
            tries.update(each.name for each in orders if each.nominal)
            if any(each.name == "slow" and each.nominal for each in orders):
                await asyncio.sleep(limit_s)
                raise TookTooLong("a trigger sleeps")
            return await tick(orders, limit_s)

        vars(store)["tick"] = slow
        for name, catchup in (("good", "none"), ("slow", "last")):
            given = {"name": name, "function": "passes", "overlap": "allow", "every": timedelta(seconds=1)}
            ScheduleStatements(tables, "sql").act(CREATE_SCHEDULE, None, {**given, "catchup": catchup}, "ann")
        await asyncio.sleep(10 * LONG_S)
        assert [each for each in tables.ticks if each.schedule == "good"] == []
        assert len([each for each in tables.workflows if ":good:" in each]) > 10 * LONG_S - 10
        assert 5 < tries["slow"] < 15
        told = [each for each in bench.observations if isinstance(each, ScheduleFailed)]
        assert [(each.schedule, each.what) for each in told] == [("slow", "tick")]
        vars(store)["tick"] = tick
        await asyncio.sleep(SLOW.backoff_max_s)
        assert [each for each in tables.workflows if ":slow:" in each]


async def test_a_backfill_that_fails_stops_no_other_and_slows_no_tick(database: str) -> None:
    if not isinstance(database, Memory):
        pytest.skip("a minute, in virtual time alone")

    @workflow
    async def passes() -> None: ...

    async with engine_on(database, passes) as bench:
        tables = database.database
        store: Any = bench.store.schedules
        backfill, tries = store.backfill, Counter[str]()

        async def held(schedule: Backfill, *given: Any) -> Any:
            tries[schedule.name] += 1
            if schedule.name == "bad":
                await asyncio.sleep(LOCK_S)
                raise Locked("somebody holds the door of its queue")
            return await backfill(schedule, *given)

        store.backfill = held
        verbs = ScheduleStatements(tables, "sql")
        for name in ("bad", "good"):
            given = {"name": name, "function": "passes", "overlap": "allow", "every": timedelta(seconds=1)}
            verbs.act(CREATE_SCHEDULE, None, given, "ann")
        now = tables.date()
        span = {"after": now - timedelta(seconds=500), "until": now - timedelta(seconds=100)}
        for name in ("bad", "good"):
            verbs.act(BACKFILL_SCHEDULE, name, span, "ann")
        await asyncio.sleep(LONG_S)
        assert tables.schedules["good"].backfill is None
        assert tables.schedules["bad"].backfill is not None
        past = [each for each in tables.workflows if nominal_of(each) < now]
        assert len(past) == 400
        on_time = [row for each, row in tables.workflows.items() if each not in past]
        assert max(map(late_s, on_time)) < 2 * LOCK_S
        assert LONG_S / 4 < tries["bad"] < LONG_S
        told = [each for each in bench.observations if isinstance(each, ScheduleFailed)]
        assert [(each.schedule, each.what) for each in told] == [("bad", "backfill")]
        store.backfill = backfill
        await bench.until(lambda: tables.schedules["bad"].backfill is None)


async def test_backfills_take_turns_and_slow_no_tick(database: str) -> None:
    if not isinstance(database, Memory):
        pytest.skip("in virtual time alone")

    @workflow
    async def passes() -> None: ...

    async with engine_on(database, passes) as bench:
        tables = database.database
        store: Any = bench.store.schedules
        backfill, turns = store.backfill, []

        async def slow(schedule: Backfill, *given: Any) -> Any:
            turns.append(schedule.name)
            await asyncio.sleep(LOCK_S)
            return await backfill(schedule, *given)

        store.backfill = slow
        verbs = ScheduleStatements(tables, "sql")
        names = ["a", "b", "c", "d"]
        now = tables.date()
        for name in names:
            given = {"name": name, "function": "passes", "overlap": "allow", "every": timedelta(seconds=1)}
            verbs.act(CREATE_SCHEDULE, None, given, "ann")
            span = {"after": now - timedelta(seconds=500), "until": now - timedelta(seconds=100)}
            verbs.act(BACKFILL_SCHEDULE, name, span, "ann")
        await bench.until(lambda: not any(row.backfill for row in tables.schedules.values()))
        assert (sorted(turns[:4]), len(turns)) == (names, 36)
        assert turns == turns[:4] * (len(turns) // 4)
        await asyncio.sleep(2.0)
        on_time = [row for each, row in tables.workflows.items() if nominal_of(each) >= now]
        assert max(map(late_s, on_time)) < 2 * LOCK_S
