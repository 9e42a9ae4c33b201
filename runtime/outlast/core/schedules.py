"""Schedules: their declarations, and the decision what to do about one at a given moment. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from outlast.core.timetables import At, Cron, Every, Timetable, first_after, times_within

LATE_S = 10.0
"""A later tick counts as missed: no instance was there. Live instances are a second late at most."""

CATCHUP_S_MAX = 24 * 3600.0
"""`catchup="last"` runs a missed tick if it is at most this late."""

CATCHUP_MAX = 1000
"""How many missed ticks `catchup="all"` runs. Older ones are only counted."""

LISTED_MAX = 100
"""How many of the ticks that are missed at once get a row each."""

JITTER_S_MAX = 24 * 3600.0
TIMES_MAX = 1_000_000_000
PAUSE_AFTER_MAX = 100
UPCOMING = 5
SHOWN_MAX = 10
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}", re.ASCII)
NAME_RULE = 'a letter, then letters, digits, "_", "-" and ".", 100 at most'


class Catchup(StrEnum):
    """What to do about ticks that were missed because no instance was there."""

    LAST = "last"
    NONE = "none"
    ALL = "all"


class Overlap(StrEnum):
    """What to do at a tick while the workflow of an earlier one is live."""

    SKIP = "skip"
    WAIT = "wait"
    ALLOW = "allow"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Policies:
    """How a schedule ticks, apart from its timetable."""

    catchup: Catchup = Catchup.LAST
    overlap: Overlap = Overlap.SKIP
    until: datetime | None = None
    """There are no later ticks."""
    times: int | None = None
    """The number of ticks. A skipped tick counts, a missed one doesn't."""
    jitter_s: float = 0.0
    """Each tick is delayed by up to this much; a schedule's delay is always the same."""
    pause_after: int | None = None
    """The schedule is paused after this many failures in a row."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule, as a function's file declares it."""

    timetable: Timetable
    policies: Policies = field(default_factory=Policies)
    name: str | None = None
    """None: the name of its function."""
    input: str = "{}"
    """JSON text."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A schedule and the function that it belongs to."""

    name: str
    function: str
    version: str | None
    schedule: Schedule


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """The state of a schedule in the database that decides what to do now."""

    name: str
    revision: int
    """Incremented by each change of the row."""
    timetable: Timetable
    policies: Policies
    nominal_at: datetime | None
    """The next time by its timetable; None if that isn't known yet."""
    now: datetime
    """By the database's clock."""
    since: datetime
    """Ticks count from then on: when it was made, changed or resumed."""
    ticked: int = 0
    """How many ticks there were, without missed ones."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to do about a schedule, in one commit, if its row hasn't changed."""

    name: str
    revision: int
    nominal: datetime | None = None
    """The tick to run."""
    late_s: float | None = None
    """How late the tick is, if it was missed."""
    missed: tuple[datetime, ...] = ()
    """Ticks that are not run: the newest of them, oldest first."""
    missed_count: int = 0
    next_nominal: datetime | None = None
    next_at: datetime | None = None
    """When the next tick is due; None if the schedule has ended."""
    upcoming: tuple[datetime, ...] = ()
    refusal: str | None = None
    """Why the tick is skipped: it was tried for too long."""


def decide(schedule: DueSchedule) -> Order:
    """What to do now. At most one tick is run, so that each tick has its own commit."""
    policies, delay = schedule.policies, delay_of(schedule.name, schedule.policies.jitter_s)
    first = schedule.nominal_at
    if first is None:
        return _order(schedule, first_after(schedule.timetable, schedule.since))
    due_until = schedule.now - delay
    if policies.until is not None:
        due_until = min(due_until, policies.until)
    before = first - timedelta(microseconds=1)
    span = times_within(schedule.timetable, before, due_until, CATCHUP_MAX)
    if not span.count:  # the timetable may have changed, or no time of it is left
        return _order(schedule, first if first > due_until else first_after(schedule.timetable, due_until))
    missed_until = schedule.now - delay - timedelta(seconds=LATE_S)
    missed = [each for each in span.newest if each <= missed_until]
    on_time = [each for each in span.newest if each > missed_until]
    runs = _caught_up(policies.catchup, missed, on_time, schedule.now - delay)
    tick = next(iter(runs or on_time), None)
    later = [each for each in span.newest if tick is not None and each > tick]
    passed = span.count - len(later) - (tick is not None)
    dropped = [each for each in span.newest if each != tick and each not in later][-LISTED_MAX:]
    upcoming = later[0] if later else first_after(schedule.timetable, span.newest[-1])
    return _order(
        schedule,
        upcoming,
        nominal=tick,
        late_s=(schedule.now - tick - delay).total_seconds() if tick in runs and tick is not None else None,
        missed=tuple(dropped),
        missed_count=passed,
    )


def _caught_up(
    catchup: Catchup, missed: list[datetime], on_time: list[datetime], now: datetime
) -> list[datetime]:
    """The missed ticks to run."""
    if catchup is Catchup.ALL:
        return missed
    if catchup is Catchup.NONE or on_time or not missed:
        return []
    # guard: catchup-however-late
    return [each for each in missed[-1:] if (now - each).total_seconds() <= CATCHUP_S_MAX]


def _order(
    schedule: DueSchedule,
    following: datetime | None,
    *,
    nominal: datetime | None = None,
    late_s: float | None = None,
    missed: tuple[datetime, ...] = (),
    missed_count: int = 0,
) -> Order:
    policies = schedule.policies
    left = None if policies.times is None else policies.times - schedule.ticked - (nominal is not None)
    upcoming: list[datetime] = []
    while following is not None and len(upcoming) < UPCOMING and (left is None or len(upcoming) < left):
        # guard: ticks-after-until
        if policies.until is not None and following > policies.until:
            break
        upcoming.append(following)
        following = first_after(schedule.timetable, following)
    at = upcoming[0] if upcoming else None
    delay = delay_of(schedule.name, policies.jitter_s)
    return Order(
        schedule.name,
        schedule.revision,
        nominal,
        late_s,
        missed,
        missed_count,
        at,
        None if at is None else at + delay,
        tuple(upcoming),
    )


def lag_of(schedule: DueSchedule, order: Order) -> float | None:
    """How many seconds after its time the tick is run; None if no tick is run."""
    if order.nominal is None:
        return None
    delay = delay_of(schedule.name, schedule.policies.jitter_s)
    return (schedule.now - order.nominal - delay).total_seconds()


def delay_of(name: str, jitter_s: float) -> timedelta:
    """The delay of each tick of a schedule. It follows from the name, so it is the same on every instance."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48
    return timedelta(milliseconds=round(share * jitter_s * 1000))


def tick_id(name: str, nominal: datetime) -> str:
    """The id of a tick's workflow."""
    return f"schedule:{name}:{nominal.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def timetable_of(cron: str | None, zone: str | None, every_s: float | None, at: datetime | None) -> Timetable:
    """The timetable that the columns of a schedule describe. Raises BadTimetable."""
    if cron is not None:
        return Cron(cron, zone or "UTC")
    if every_s is not None:
        return Every(int(every_s))
    assert at is not None
    return At(at)


def columns_of(schedule: Schedule) -> dict[str, Any]:
    """A schedule as the columns of its row: its timetable, policies and input."""
    when = schedule.timetable
    return {
        "input": schedule.input,
        "cron": when.expression if isinstance(when, Cron) else None,
        "tz": when.zone if isinstance(when, Cron) else "UTC",
        "every_s": when.seconds if isinstance(when, Every) else None,
        "at": when.when if isinstance(when, At) else None,
        **asdict(schedule.policies),
    }


@dataclass(frozen=True, slots=True)
class Backfill:
    """Past ticks, in `(after, until]`, that are to be started."""

    name: str
    revision: int
    timetable: Timetable
    after: datetime
    until: datetime


class Unusable(NamedTuple):
    """A schedule whose row can't be read, and why."""

    name: str
    revision: int
    fault: str


class ScheduleWork(NamedTuple):
    """What is due for schedules."""

    due: list[DueSchedule]
    backfills: list[Backfill]
    unusable: list[Unusable]
    next_s: float | None
    """In how many seconds the next schedule is due that isn't due yet."""


class Ticked(NamedTuple):
    """The outcome of an order: started, skipped, waits, moved or paused."""

    schedule: str
    outcome: str
    workflow_id: str | None


def check_schedule(arguments: Mapping[str, Any]) -> None:
    """Raise BadTimetable for an invalid cron expression or time zone: the database can't check them."""
    if (expression := arguments.get("cron")) is not None:
        Cron(expression, arguments.get("tz", "UTC"))


def count_ticks(row: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a backfill, made from what `outlast.backfill_schedule` returns. Raises BadTimetable."""
    timetable = timetable_of(row["cron"], row["tz"], row["every_s"], row["at"])
    span = times_within(timetable, row["begins"], row["ends"], SHOWN_MAX)
    newest = json.dumps([each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in span.newest])
    return {"count": span.count, "newest": newest, "dry_run": row["dry"]}
