"""`schedules.sql`, and the functions behind it, in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from outlast.core.records import NewWorkflow
from outlast.core.schedules import (
    Backfill,
    Declared,
    DueSchedule,
    Order,
    Overlap,
    ScheduleWork,
    Ticked,
    Unusable,
    tick_id,
)
from outlast.core.status import LIVE, Status
from outlast.testing.database import Database
from outlast.testing.rows import ScheduleRow, TickRow, Workflow
from outlast.testing.statements.queues import QueueStatements

_CLAIMS = '{"role":"service_role","outlast":{"mode":"schedule","key":null}}'
_REFUSALS = ("key_missing", "queue_full", "rate_limited", "queue_busy")
_FAILED = (Status.ERROR, Status.EXHAUSTED)


class ScheduleStatements:
    """See core.ports.ScheduleStore."""

    def __init__(self, database: Database, instance_id: str) -> None:
        self._db = database
        self._me = instance_id

    # --- what is due --------------------------------------------------------------------------------------

    def due(self) -> ScheduleWork:
        """`due`."""
        now, rows = self._now(), self._db.schedules
        ready = [
            self._due(name, row)
            for name, row in sorted(rows.items())
            if row.ticks and (self._is_due(row, now) or self._may_start_what_waits(name, row))
        ]
        later = [row.next_at for row in rows.values() if row.ticks and row.next_at and row.next_at > now]
        backfills = [
            Backfill(name, row.revision, row.schedule.timetable, *row.backfill)
            for name, row in rows.items()
            if row.backfill is not None
        ]
        next_s = (min(later) - now).total_seconds() if later else None
        return ScheduleWork(ready, backfills, [], next_s)

    def _is_due(self, row: ScheduleRow, now: datetime) -> bool:
        return row.waiting_at is None if row.next_at is None else row.next_at <= now

    def _may_start_what_waits(self, name: str, row: ScheduleRow) -> bool:
        return row.waiting_at is not None and not self._live(name)

    def _due(self, name: str, row: ScheduleRow) -> DueSchedule:
        schedule = row.schedule
        return DueSchedule(
            name,
            row.revision,
            schedule.timetable,
            schedule.policies,
            row.nominal_at,
            self._now(),
            row.since,
            row.ticked,
        )

    # --- ticks --------------------------------------------------------------------------------------------

    def tick(self, orders: Sequence[Order]) -> list[Ticked]:
        """`tick`."""
        return [
            self._tick(each, row)
            for each in orders
            if (row := self._db.schedules.get(each.name)) is not None
            and row.revision == each.revision
            and row.ticks
        ]

    def _tick(self, order: Order, row: ScheduleRow) -> Ticked:
        name, policies = order.name, row.schedule.policies
        row.revision += 1
        if (order.nominal or row.waiting_at) and (failed := self._failed_in_a_row(name, row)) is not None:
            row.paused = f"{policies.pause_after} failures in a row, the last one {failed}"
            return Ticked(name, "paused", None)
        running = [] if policies.overlap is Overlap.ALLOW else self._live(name)
        blocked = policies.overlap in (Overlap.SKIP, Overlap.WAIT) and bool(running)
        before = row.waiting_at
        start_at = None if blocked else before or order.nominal
        waiting = None
        if blocked and policies.overlap is Overlap.WAIT:
            waiting = before or order.nominal
        elif not blocked and before is not None:
            waiting = order.nominal
        skipped = order.nominal if blocked and (policies.overlap is Overlap.SKIP or before) else None
        if start_at is not None and policies.overlap is Overlap.CANCEL:
            for each in running:
                self._cancel(self._db.workflows[each])
        started = refusal = None
        if start_at is not None:
            started, refusal = self._start(name, row, start_at)
            if refusal is not None:
                self._note(name, start_at, "skipped", 1)
            elif order.late_s is not None and before is None:
                self._note(name, start_at, "late", 1)
        if skipped is not None:
            self._note(name, skipped, "skipped", 1)
        if order.missed_count > len(order.missed) and row.nominal_at is not None:
            self._note(name, row.nominal_at, "missed", order.missed_count - len(order.missed))
        for missed in order.missed:
            self._note(name, missed, "missed", 1)
        row.nominal_at, row.next_at, row.waiting_at = order.next_nominal, order.next_at, waiting
        row.last_at = row.last_at if started is None else start_at
        row.ticked += order.nominal is not None
        row.ended = order.next_at is None and waiting is None
        outcome = "skipped" if skipped or refusal else "waits" if waiting else "moved"
        return Ticked(name, "started" if started else outcome, started)

    def _start(self, name: str, row: ScheduleRow, nominal: datetime) -> tuple[str | None, str | None]:
        """The id of the workflow, or why its queue didn't take it."""
        times = {"nominal": nominal, "actual": self._now(), "previous": row.last_at}
        tick = {"schedule": name, **{each: at and at.isoformat() for each, at in times.items()}}
        queue = next((q for q, known in self._db.queues.items() if row.function in known.functions), None)
        new = NewWorkflow(
            tick_id(name, nominal),
            row.function,
            row.schedule.input,
            claims=_CLAIMS,
            queue=queue,
            queue_key=None,
            tick=json.dumps(tick),
        )
        if queue is not None:
            outcome = QueueStatements(self._db).enqueue(new, 0).outcome
            return (None, outcome) if outcome in _REFUSALS else (new.workflow_id, None)
        if new.workflow_id not in self._db.workflows:
            self._db.insert_waiting(new._replace(queue_key=""), 0)
        return new.workflow_id, None

    def _live(self, name: str) -> list[str]:
        return [
            each
            for each, row in self._db.workflows.items()
            if row.status in LIVE and _schedule_of(row) == name
        ]

    def _failed_in_a_row(self, name: str, row: ScheduleRow) -> str | None:
        number = row.schedule.policies.pause_after
        if number is None:
            return None
        ended = [
            (each.updated_at, workflow_id, each.status)
            for workflow_id, each in self._db.workflows.items()
            if _schedule_of(each) == name
            and each.status not in LIVE
            and each.status is not Status.CANCELLED
            and each.updated_at > row.since.timestamp()
        ]
        last = sorted(ended, reverse=True)[:number]
        failed = len(last) == number and all(status in _FAILED for _, _, status in last)
        return last[0][1] if failed else None

    def _cancel(self, row: Workflow) -> None:
        row.status, row.owner, row.claimable_at = Status.CANCELLED, None, None
        row.epoch += 1
        row.updated_at = self._db.now()
        message = "the next tick of its schedule came"
        row.error = json.dumps({"code": "workflow_cancelled", "message": message})

    def _note(self, name: str, nominal: datetime, outcome: str, count: int) -> None:
        self._db.ticks.append(TickRow(name, nominal, outcome, count))

    # --- what else changes schedules ----------------------------------------------------------------------

    def mark_unusable(self, schedule: Unusable) -> None:
        """`unusable`."""
        row = self._db.schedules.get(schedule.name)
        if row is not None and row.revision == schedule.revision:
            row.fault = schedule.fault
            row.revision += 1

    def backfill(
        self, schedule: Backfill, times: Sequence[datetime], next_after: datetime | None
    ) -> int | None:
        """`backfill`."""
        row = self._db.schedules.get(schedule.name)
        if row is None or row.revision != schedule.revision or row.backfill is None:
            return None
        started = sum(self._start(schedule.name, row, each)[0] is not None for each in times)
        row.backfill = None if next_after is None else (next_after, row.backfill[1])
        row.revision += 1
        return started

    def declare(self, declared: Sequence[Declared], broken: Sequence[str]) -> list[tuple[str, str]] | None:
        """`newest` and `declare`."""
        edition = repr(sorted(declared, key=lambda each: each.name))
        editions = self._db.schedule_editions
        editions.setdefault(edition, len(editions))
        if self._me in self._db.instances:
            self._db.instances[self._me].schedule_edition = edition
        now = self._db.now()
        living = {
            each.schedule_edition
            for each in self._db.instances.values()
            if each.lease_until > now and each.schedule_edition is not None
        }
        newest = max({edition, *living}, key=editions.__getitem__)
        if newest != edition or self._db.schedules_of == edition:
            return None
        self._db.schedules_of = edition
        changes = [change for each in declared if (change := self._declare(each)) is not None]
        names = {each.name for each in declared}
        for name, row in self._db.schedules.items():
            if row.declared and not row.orphaned and name not in names:
                if row.function.partition("/")[0] in broken:
                    continue
                row.orphaned, row.waiting_at = True, None
                row.revision += 1
                changes.append((name, "orphaned"))
        return changes

    def _declare(self, declared: Declared) -> tuple[str, str] | None:
        name, schedule = declared.name, declared.schedule
        row = self._db.schedules.get(name)
        if row is None:
            self._db.schedules[name] = ScheduleRow(declared.function, schedule, self._now(), declared=True)
            return name, "declared"
        if not row.declared:
            return name, "taken"
        former = row.schedule
        same = (
            not row.orphaned
            and row.function == declared.function
            and former.timetable == schedule.timetable
            and _when(former.policies) == _when(schedule.policies)
        )
        fresh = replace(row) if same else ScheduleRow(declared.function, schedule, self._now(), declared=True)
        fresh.schedule, fresh.revision, fresh.ticked, fresh.last_at = (
            schedule,
            row.revision + 1,
            row.ticked,
            row.last_at,
        )
        fresh.paused, fresh.waiting_at = row.paused, row.waiting_at
        self._db.schedules[name] = fresh
        return None if same else (name, "changed")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._db.now(), UTC)


def _when(policies: object) -> tuple[object, ...]:
    return tuple(getattr(policies, each) for each in ("until", "times", "jitter_s"))


def _schedule_of(row: Workflow) -> str | None:
    if row.new.tick is None:
        return None
    schedule: str = json.loads(row.new.tick)["schedule"]
    return schedule
