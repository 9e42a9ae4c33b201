"""`schedules.sql`, and the functions behind it, in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from outlast.core.ports import BadData, NoSuchRow, NotNow, Unacceptable
from outlast.core.records import NewWorkflow
from outlast.core.schedules import (
    Backfill,
    Catchup,
    Declared,
    DueSchedule,
    Order,
    Overlap,
    Policies,
    Schedule,
    ScheduleWork,
    Ticked,
    Unusable,
    tick_id,
    timetable_of,
)
from outlast.core.status import LIVE, Status
from outlast.core.timetables import times_within
from outlast.core.verbs import (
    BACKFILL_SCHEDULE,
    CREATE_SCHEDULE,
    DELETE_SCHEDULE,
    PAUSE_SCHEDULE,
    RESUME_SCHEDULE,
    TRIGGER_SCHEDULE,
    Verb,
)
from outlast.testing.database import Database
from outlast.testing.rows import RowRefused, ScheduleRow, TickRow, Workflow
from outlast.testing.statements.queues import QueueStatements
from outlast.testing.statements.statements import Statements

_CLAIMS = '{"role":"service_role","outlast":{"mode":"schedule","key":null}}'
_REFUSALS = ("key_missing", "queue_full", "rate_limited", "queue_busy")
_FAILED = (Status.ERROR, Status.EXHAUSTED)


class ScheduleStatements(Statements):
    """See core.ports.ScheduleStore."""

    # --- what is due --------------------------------------------------------------------------------------

    def due(self, passed: Sequence[str] = ()) -> ScheduleWork:
        """`due`."""
        now, rows = self._db.date(), self._db.schedules
        ready = [
            self._due(name, row)
            for name, row in sorted(rows.items())
            if row.ticks and name not in passed and self.is_ready(name, row)
        ]
        later = [row.next_at for row in rows.values() if row.ticks and row.next_at and row.next_at > now]
        backfills = [
            Backfill(name, row.revision, row.schedule.timetable, *row.backfill)
            for name, row in rows.items()
            if row.backfill is not None
        ]
        next_s = (min(later) - now).total_seconds() if later else None
        if any(row.ticks and row.waiting_at is not None for row in rows.values()):
            next_s = 1.0 if next_s is None else min(1.0, next_s)
        return ScheduleWork(ready, backfills, [], next_s)

    def is_ready(self, name: str, row: ScheduleRow) -> bool:
        """Whether there is something to decide about it now."""
        if row.waiting_at is not None and not self._live(name):
            return True
        return row.waiting_at is None if row.next_at is None else row.next_at <= self._db.date()

    def _due(self, name: str, row: ScheduleRow) -> DueSchedule:
        schedule = row.schedule
        return DueSchedule(
            name,
            row.revision,
            schedule.timetable,
            schedule.policies,
            row.nominal_at,
            self._db.date(),
            row.since,
            row.ticked,
        )

    # --- ticks --------------------------------------------------------------------------------------------

    def tick(self, orders: Sequence[Order], limit_s: float = 1.0) -> list[Ticked]:
        """`tick`: all of them, or none if a row refuses."""
        with _all_or_nothing(self._db):
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
        started = refusal = None
        if start_at is not None:
            replaced = running if policies.overlap is Overlap.CANCEL else []
            started, refusal = (
                self._start_in_place(name, row, start_at, replaced)
                if order.refusal is None
                else (None, order.refusal)
            )
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

    def _start_in_place(
        self, name: str, row: ScheduleRow, nominal: datetime, running: list[str]
    ) -> tuple[str | None, str | None]:
        """`outlast.start_tick_in_place`."""
        before = {each: copy(self._db.workflows[each]) for each in running}
        for each in running:
            self._db.check_writable(each)
            self._db.cancel(self._db.workflows[each], "the next tick of its schedule came")
        started, refusal = self._start(name, row, nominal)
        if refusal is not None:
            self._db.workflows.update(before)
        self._db.tell_ends()
        return started, refusal

    def _start(
        self, name: str, row: ScheduleRow, nominal: datetime, workflow_id: str | None = None
    ) -> tuple[str | None, str | None]:
        """The id of the workflow, or why its queue refused it."""
        times = {"nominal": nominal, "actual": self._db.date(), "previous": row.last_at}
        tick = {"schedule": name, **{each: at and at.isoformat() for each, at in times.items()}}
        takes = {
            q: known.declared_at for q, known in self._db.queues.items() if row.function in known.functions
        }
        queue = max(takes, key=takes.__getitem__, default=None)
        new = NewWorkflow(
            workflow_id or tick_id(name, nominal),
            row.function,
            row.schedule.input,
            claims=_CLAIMS,
            queue=queue,
            queue_key=None,
            tick=json.dumps(tick),
        )
        if new.workflow_id not in self._db.workflows:
            self._db.check_writable(new.workflow_id)
        if queue is not None:
            entered = QueueStatements(self._db, self._me).enter(new, 0)
            outcome, of = entered.outcome, self._db.workflows.get(entered.target or "")
            if outcome == "attached" and of is not None and _nominal_of(of) != times["nominal"]:
                return None, outcome  # its target runs with another tick, or with none
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

    def _note(self, name: str, nominal: datetime, outcome: str, count: int) -> None:
        self._db.ticks.append(TickRow(name, nominal, outcome, count))

    # --- verbs ----------------------------------------------------------------------------------------

    def act(self, verb: Verb, key: str | None, arguments: Mapping[str, Any], by: str) -> Mapping[str, Any]:
        """Call the function of a verb."""
        if verb.check is not None:
            try:
                verb.check(arguments)
            except ValueError as error:
                raise Unacceptable(str(error)) from error
        if verb is CREATE_SCHEDULE:
            return self._create(arguments)
        row = self._db.schedules.get(key or "")
        if row is None or key is None:
            raise NoSuchRow
        return self._acts[verb](key, row, arguments)

    @property
    def _acts(self) -> Mapping[Verb, Callable[[str, ScheduleRow, Mapping[str, Any]], Mapping[str, Any]]]:
        return {
            DELETE_SCHEDULE: self._delete,
            PAUSE_SCHEDULE: self._pause,
            RESUME_SCHEDULE: self._resume,
            TRIGGER_SCHEDULE: self._trigger,
            BACKFILL_SCHEDULE: self._backfill,
        }

    def _create(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        name, every = given["name"], given.get("every")
        every_s = None if every is None else every.total_seconds()
        policies = Policies(
            Catchup(given.get("catchup", "last")),
            Overlap(given.get("overlap", "skip")),
            given.get("until"),
            given.get("times"),
            given.get("jitter", timedelta()).total_seconds(),
            given.get("pause_after"),
        )
        timetable = timetable_of(given.get("cron"), given.get("tz"), every_s, given.get("at"))
        schedule = Schedule(timetable, policies, None, json.dumps(given.get("input", {})))
        row = self._db.schedules.get(name)
        if row is not None and row.declared:
            raise NotNow(f"{name!r} is declared by a function's file")
        if row is None or (row.function, row.schedule) != (given["function"], schedule):
            revision = 1 if row is None else row.revision + 1
            since = self._db.date() if row is None else self._since_changed(name, row, schedule)
            self._db.schedules[name] = ScheduleRow(given["function"], schedule, since, revision=revision)
        return {"created": name}

    def _delete(self, name: str, row: ScheduleRow, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if row.declared and not row.orphaned:
            raise NotNow(f"{name!r} is declared by a function's file")
        del self._db.schedules[name]
        return {"deleted": name}

    def _pause(self, name: str, row: ScheduleRow, given: Mapping[str, Any]) -> Mapping[str, Any]:
        row.paused, row.waiting_at = given.get("why", ""), None
        row.revision += 1
        return {"paused": name}

    def _resume(self, name: str, row: ScheduleRow, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if row.orphaned:
            raise NotNow(f"no function's file declares {name!r} any more")
        if row.paused is not None:
            row.paused, row.nominal_at, row.next_at = None, None, None
            row.since = self._db.date()
            row.revision += 1
        return {"resumed": name}

    def _trigger(self, name: str, row: ScheduleRow, given: Mapping[str, Any]) -> Mapping[str, Any]:
        key = given.get("idempotency_key") or f"{self._db.chance.getrandbits(64):x}"
        workflow_id = f"schedule:{name}:now:{key}"
        _, refusal = self._start(name, row, self._db.date(), workflow_id)
        if refusal is not None:
            raise NotNow(refusal)
        return {"workflow_id": workflow_id}

    def _backfill(self, name: str, row: ScheduleRow, given: Mapping[str, Any]) -> Mapping[str, Any]:
        span, dry_run = (given["after"], given["until"]), given.get("dry_run", False)
        if span[0] >= span[1]:
            raise Unacceptable("until is later than after, by at most 366 days", "until")
        if span[1] > self._db.date():
            raise Unacceptable("until is in the future, and its ticks will come by themselves", "until")
        if not dry_run and row.backfill is None:
            row.backfill = span
            row.revision += 1
        times = times_within(row.schedule.timetable, *span, 10)
        newest = json.dumps([each.isoformat() for each in times.newest])
        return {"count": times.count, "newest": newest, "dry_run": dry_run}

    # --- what else changes schedules ----------------------------------------------------------------------

    def mark_unusable(self, schedule: Unusable, limit_s: float = 1.0) -> None:
        """`unusable`."""
        row = self._db.schedules.get(schedule.name)
        if row is not None and row.revision == schedule.revision:
            row.fault = schedule.fault
            row.revision += 1

    def backfill(
        self,
        schedule: Backfill,
        times: Sequence[datetime],
        next_after: datetime | None,
        limit_s: float = 1.0,
    ) -> int | None:
        """`backfill`."""
        row = self._db.schedules.get(schedule.name)
        if row is None or row.revision != schedule.revision or row.backfill is None:
            return None
        started = 0
        for each in times:
            try:
                with _all_or_nothing(self._db):
                    workflow_id, _ = self._start(schedule.name, row, each)
            # guard: memory-one-tick-stops-its-backfill
            except (BadData, RowRefused):
                workflow_id = None
            row = self._db.schedules[schedule.name]  # it may be a copy
            if workflow_id is None:
                self._note(schedule.name, each, "skipped", 1)
            started += workflow_id is not None
        row.backfill = None if next_after is None else (next_after, schedule.until)
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

    def _since_changed(self, name: str, row: ScheduleRow, new: Schedule) -> datetime:
        now = self._db.date()
        if row.nominal_at is not None and row.paused is None and not row.orphaned:
            if row.schedule.timetable == new.timetable:
                return row.nominal_at - timedelta(microseconds=1)
            if row.nominal_at <= now:
                self._note(name, row.nominal_at, "missed", 1)
        return now

    def _declare(self, declared: Declared) -> tuple[str, str] | None:
        name, schedule = declared.name, declared.schedule
        row = self._db.schedules.get(name)
        made = ScheduleRow(declared.function, schedule, self._db.date(), declared=True)
        if row is None:
            self._db.schedules[name] = made
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
        if not same:
            made.since = self._since_changed(name, row, schedule)
        fresh = replace(row) if same else made
        fresh.schedule, fresh.revision, fresh.ticked, fresh.last_at = (
            schedule,
            row.revision + 1,
            row.ticked,
            row.last_at,
        )
        fresh.paused, fresh.waiting_at = row.paused, row.waiting_at
        self._db.schedules[name] = fresh
        return None if same else (name, "changed")


@contextmanager
def _all_or_nothing(database: Database) -> Iterator[None]:
    """If a row refuses, restore the tables of schedules, queues and workflows."""
    if not database.refusing:
        yield
        return
    tables: list[dict[str, Any]] = [database.workflows, database.schedules, database.queues]
    before = [{name: copy(row) for name, row in table.items()} for table in tables]
    attached, ticks, waits = dict(database.attached), list(database.ticks), set(database.waits)
    calls = {name: list(queue.calls) for name, queue in database.queues.items()}
    try:
        yield
    except Exception:
        for table, rows in zip(tables, before, strict=True):
            table.clear()
            table.update(rows)
        for name, queue in database.queues.items():
            queue.calls = calls[name]
        database.attached, database.ticks, database.waits = attached, ticks, waits
        raise


def _when(policies: object) -> tuple[object, ...]:
    return tuple(getattr(policies, each) for each in ("until", "times", "jitter_s"))


def _nominal_of(row: Workflow) -> datetime | None:
    nominal = json.loads(row.new.tick or "{}").get("nominal")
    return None if nominal is None else datetime.fromisoformat(nominal)


def _schedule_of(row: Workflow) -> str | None:
    if row.new.tick is None:
        return None
    schedule: str = json.loads(row.new.tick)["schedule"]
    return schedule
