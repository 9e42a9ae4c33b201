"""Schedules: each of their times was run once, or a row of `outlast.ticks` says why it wasn't."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from outlast.core.timetables import Every, times_within
from tests.torture.oracles.violations import Violations
from tests.torture.oracles.window import Row
from tests.torture.server import Server

LOOK_EVERY_S = 0.25

_PAUSE = "select outlast.pause_schedule(name, 'the run is over') from outlast.schedules"
_AT_ONCE = """
select w.tick ->> 'schedule' as name, count(*)::int as n
from outlast.workflow_status w join outlast.schedules s on s.name = w.tick ->> 'schedule'
where w.completed_at is null and s.overlap = 'skip' group by 1 having count(*) > 1
"""
_ACCOUNT = """
select s.name, s.every_s::float8, s.since, s.nominal_at, s.catchup, s.started, s.skipped, s.missed,
  (select array_agg((w.tick ->> 'nominal')::timestamptz) from outlast.workflow_status w
    where w.tick ->> 'schedule' = s.name) as ran,
  (select array_agg(t.nominal_at) from outlast.ticks t
    where t.schedule = s.name and t.outcome = 'skipped') as skips
from outlast.schedules s
"""


class Schedules:
    """Looks all the time whether two of a schedule run that must not, and in the end at all times."""

    def __init__(self, server: Server, violations: Violations) -> None:
        self.checks = 0
        self._server = server
        self._violations = violations

    async def look_on(self) -> None:
        """Look until cancelled."""
        while True:
            self.checks += 1
            for row in await self._server.rows(_AT_ONCE):
                self._violations.add("a schedule overlaps itself", row["name"], f"{row['n']} at once")
            await asyncio.sleep(LOOK_EVERY_S)

    async def pause(self) -> None:
        """Nothing begins any more."""
        await self._server.rows(_PAUSE)

    async def look_at_all(self) -> None:
        """Account for every time of every schedule. They are paused."""
        rows = await self._server.rows(_ACCOUNT)
        if not rows:
            self._violations.add("no schedule was declared", "load.py", "outlast.schedules is empty")
        for row in rows:
            self.checks += 1
            for wrong in wrongs_of(row):
                self._violations.add("a tick is lost, doubled or not told of", row["name"], wrong)


def wrongs_of(row: Row) -> list[str]:
    """What is wrong with the account of a schedule."""
    ran, skips = row["ran"] or [], row["skips"] or []
    wrongs = []
    if not ran:
        wrongs.append("it never ticked")
    if len({*ran, *skips}) != len(ran) + len(skips):
        wrongs.append(f"times that were run twice, or run and skipped: {sorted([*ran, *skips])}")
    if row["started"] != len(ran):
        wrongs.append(f"it counts {row['started']} starts, and {len(ran)} are there")
    until = (row["nominal_at"] or max(ran)) - timedelta(microseconds=row["nominal_at"] is not None)
    due = times_within(Every(int(row["every_s"])), row["since"], until, 0).count
    found = len(ran) + row["skipped"] + row["missed"]
    if found != due:
        wrongs.append(f"of {due} times {len(ran)} were run, {row['skipped']} skipped, {row['missed']} missed")
    if row["catchup"] == "all" and row["missed"]:
        wrongs.append(f"{row['missed']} were missed, and all are to be caught up")
    return wrongs
