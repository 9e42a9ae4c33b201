"""The cases of schedules in memory and in virtual time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from outlast import sleep, workflow
from outlast.core.verbs import CREATE_SCHEDULE
from outlast.testing.rows import RowRefused
from outlast.testing.statements.schedules import ScheduleStatements
from tests.engine.harness import engine_on
from tests.engine.memory import Memory
from tests.engine.schedule_cases import *  # noqa: F403

LONG_S = 60.0


async def test_a_schedule_whose_tick_fails_slows_no_other(database: str) -> None:
    """Whose pauses grow to seconds, another one that ticks each second would miss ticks."""
    if not isinstance(database, Memory):
        pytest.skip("a minute, in virtual time alone")

    @workflow
    async def stays() -> None:
        await sleep(10 * LONG_S)

    @workflow
    async def passes() -> None: ...

    async with engine_on(database, stays, passes) as bench:
        tables = database.database
        for name, function, overlap in (("bad", "stays", "cancel"), ("good", "passes", "allow")):
            given = {"name": name, "function": function, "overlap": overlap, "every": timedelta(seconds=1)}
            ScheduleStatements(tables, "sql").act(CREATE_SCHEDULE, None, given, "ann")
        (first,) = await bench.until(lambda: [each for each in tables.workflows if ":bad:" in each])
        tables.refusing[first] = RowRefused
        await asyncio.sleep(LONG_S)
        started = [each for each in tables.workflows if ":good:" in each]
        assert [each for each in tables.ticks if each.schedule == "good"] == []
        assert len(started) >= LONG_S - 3
        assert len([each for each in tables.workflows if ":bad:" in each]) == 1
        tables.refusing.clear()
