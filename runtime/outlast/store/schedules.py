"""Schedules on Postgres, over the instance's pool."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg.errors import LockNotAvailable, QueryCanceled
from pydantic_core import from_json, to_json

from outlast.core import faults
from outlast.core.ports import Locked, ScheduleStore, TookTooLong, Unreachable
from outlast.core.schedules import (
    Backfill,
    Catchup,
    Declared,
    DueSchedule,
    Order,
    Overlap,
    Policies,
    ScheduleWork,
    Ticked,
    Unusable,
    columns_of,
    timetable_of,
)
from outlast.core.timetables import Timetable
from outlast.store.pool import OverPool
from outlast.store.queries import load
from outlast.store.repeatable import rows_of

_SQL = load("schedules.sql")
DUE_MAX = 100

UNREADABLE = (ValueError, OverflowError)
"""The errors for a row that no instance can read: BadTimetable, and times that only Postgres can store."""


class PostgresSchedules(OverPool, ScheduleStore):
    """`ScheduleStore`."""

    async def due(self, passed: Sequence[str] = ()) -> ScheduleWork:
        (row,) = await self._rows("due", {"limit": DUE_MAX, "passed": list(passed)})
        work = ScheduleWork([], [], [], row["next_s"])
        for each in from_json(row["schedules"]):
            try:
                work.due.append(_due(each))
            except UNREADABLE as error:
                work.unusable.append(Unusable(each["name"], each["revision"], str(error)))
        for each in from_json(row["backfills"]):
            try:
                after, until = _at(each["after"]), _at(each["until"])
                work.backfills.append(
                    Backfill(each["name"], each["revision"], _timetable(each), after, until)
                )
            except UNREADABLE as error:
                work.unusable.append(Unusable(each["name"], each["revision"], str(error)))
        return work

    async def tick(self, orders: Sequence[Order], limit_s: float | None = None) -> list[Ticked]:
        rows = await self._rows("tick", {"orders": orders_json(orders)}, limit_s)
        if rows:
            faults.reach("tick.after_commit")
        return [Ticked(row["schedule"], row["outcome"], row["workflow_id"]) for row in rows]

    async def mark_unusable(self, schedule: Unusable, limit_s: float | None = None) -> None:
        await self._rows("unusable", schedule._asdict(), limit_s)

    async def backfill(
        self,
        schedule: Backfill,
        times: Sequence[datetime],
        next_after: datetime | None,
        limit_s: float | None = None,
    ) -> int | None:
        parameters = {
            "name": schedule.name,
            "revision": schedule.revision,
            "times": list(times),
            "next_after": next_after,
        }
        (row,) = await self._rows("backfill", parameters, limit_s)
        started: int | None = row["started"]
        return started

    async def declare(
        self, declared: Sequence[Declared], broken: Sequence[str]
    ) -> list[tuple[str, str]] | None:
        document = declared_json(declared)
        edition = hashlib.sha256(document.encode()).hexdigest()[:32]
        parameters = {"instance": self._instance_id, "edition": edition}
        (row,) = await self._rows("newest", parameters)
        if not row["newest"]:
            return None
        given = {"edition": edition, "declared": document, "broken": list(broken)}
        rows = await self._rows("declare", given)
        return [(row["name"], row["change"]) for row in rows]

    async def _rows(
        self, name: str, parameters: dict[str, Any], limit_s: float | None = None
    ) -> list[dict[str, Any]]:
        try:
            return await rows_of(self._pool, _SQL[name], parameters, limit_s=limit_s)
        except Unreachable as error:
            # guard: locked-is-away
            if isinstance(error.__cause__, LockNotAvailable):
                raise Locked(str(error)) from error
            if isinstance(error.__cause__, QueryCanceled):
                raise TookTooLong("it takes too long: see what a trigger of yours waits for") from error
            raise


def orders_json(orders: Sequence[Order]) -> str:
    """Orders in the form that outlast.tick_schedules takes."""
    return to_json([asdict(each) for each in orders]).decode()


def declared_json(declared: Sequence[Declared]) -> str:
    """Declarations in the form that outlast.declare_schedules takes. Equal ones give equal texts."""
    rows = [
        {"name": each.name, "function": each.function, "version": each.version, **columns_of(each.schedule)}
        for each in sorted(declared, key=lambda each: each.name)
    ]
    return to_json(rows).decode()


def _due(row: Mapping[str, Any]) -> DueSchedule:
    policies = Policies(
        Catchup(row["catchup"]),
        Overlap(row["overlap"]),
        None if row["until"] is None else _at(row["until"]),
        row["times"],
        row["jitter_s"],
        row["pause_after"],
    )
    nominal = None if row["nominal_at"] is None else _at(row["nominal_at"])
    return DueSchedule(
        row["name"],
        row["revision"],
        _timetable(row),
        policies,
        nominal,
        _at(row["now"]),
        _at(row["since"]),
        row["ticked"],
    )


def _timetable(row: Mapping[str, Any]) -> Timetable:
    at = None if row["at"] is None else _at(row["at"])
    return timetable_of(row["cron"], row["tz"], row["every_s"], at)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
