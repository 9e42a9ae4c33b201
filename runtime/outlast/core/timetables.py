"""When a schedule ticks: by a cron expression in a time zone, at an interval, or once. Pure.

cronsim reads the fields of cron; it and the time zones are imported at first use. Daylight-saving changes are
handled as Debian's cron does. A fixed time within the gap comes once, at the first instant after it. A fixed
time that the clock shows twice comes once, the first time. If the minute or hour field begins with `*`, ticks
come at real intervals.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

EXPRESSION_CHARS_MAX = 200
ZONE_CHARS_MAX = 100
EVERY_S_MIN, EVERY_S_MAX = 1, 366 * 24 * 3600
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_YEAR = 9990
COUNTED_MAX = 10_000
"""How far the times of a cron expression are counted. Each takes some microseconds."""

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")
_TAKES = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L (the last) or LW (the last weekday)",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 (0 and 7 are Sunday) or SUN-SAT, MON#2 (the second) or 5L (the last Friday)",
}


class BadTimetable(ValueError):
    """An invalid timetable; the text names the field and the values that it takes."""


@dataclass(frozen=True, slots=True)
class Cron:
    """The times that a cron expression names: five fields, or six with seconds first."""

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Raises BadTimetable."""
        _check_text(self.expression)
        zone_of(self.zone)
        _check_fields(self.expression, self._fields)
        if first_after(self, datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise BadTimetable(f"{self.expression!r} never comes: no day has what it asks for")

    @property
    def _fields(self) -> list[str]:
        return ALIASES.get(self.expression.strip().lower(), self.expression).split()

    def times(self, moment: datetime) -> Iterator[datetime]:
        """The times after `moment`, in UTC, in ascending order. `moment` must be aware."""
        from cronsim import CronSim

        fields, zone, last = self._fields, zone_of(self.zone), moment
        minute, hour = fields[-5], fields[-4]
        fixed = not (minute.startswith("*") or hour.startswith("*")) and zone is not UTC
        began = moment.astimezone(zone)
        # cronsim handles changes so only for expressions with five fields. Here it counts in local time
        # without changes.
        times = CronSim(" ".join(fields), began.replace(tzinfo=None) if fixed else began)
        for found in times:
            if found.year > LAST_YEAR:
                return
            at = (_first_valid(found, zone) if fixed else found).astimezone(UTC)
            # Two times in the gap map to the same instant, and an hour that comes twice maps to earlier ones.
            # guard: a-tick-comes-twice-at-a-change = True
            if at > last:
                last = at
                yield at


@dataclass(frozen=True, slots=True)
class Every:
    """Times at equal distances: whole multiples of the interval since the beginning of 1970 in UTC."""

    seconds: int

    def __post_init__(self) -> None:
        """Raises BadTimetable."""
        if not (isinstance(self.seconds, int) and EVERY_S_MIN <= self.seconds <= EVERY_S_MAX):
            raise BadTimetable("an interval is a whole number of seconds, from 1 to those of 366 days")

    def times(self, moment: datetime) -> Iterator[datetime]:
        """Like Cron.times."""
        count = math.floor((moment - EPOCH) / timedelta(seconds=self.seconds))
        while True:
            count += 1
            at = EPOCH + timedelta(seconds=count * self.seconds)
            if at.year > LAST_YEAR:
                return
            yield at


@dataclass(frozen=True, slots=True)
class At:
    """One time, to the second."""

    when: datetime

    def __post_init__(self) -> None:
        """Raises BadTimetable."""
        if not isinstance(self.when, datetime) or self.when.utcoffset() is None:
            raise BadTimetable(
                "the time has no zone: write datetime(2026, 3, 8, 9, tzinfo=ZoneInfo('Europe/Berlin'))"
            )
        if not 1971 <= self.when.year <= LAST_YEAR:
            raise BadTimetable(f"the time is in the years 1971 to {LAST_YEAR}")

    def times(self, moment: datetime) -> Iterator[datetime]:
        """Like Cron.times."""
        at = self.when.astimezone(UTC).replace(microsecond=0)
        if at > moment:
            yield at


Timetable = Cron | Every | At


def first_after(timetable: Timetable, moment: datetime) -> datetime | None:
    """The first time after `moment`; None if there is none."""
    return next(timetable.times(moment), None)


@dataclass(frozen=True, slots=True)
class Span:
    """Times within a span: the newest of them, oldest first, and the total count."""

    newest: tuple[datetime, ...]
    count: int
    """For a cron expression at most COUNTED_MAX, which then means that many or more."""


def times_within(timetable: Timetable, after: datetime, until: datetime, newest: int) -> Span:
    """The times in `(after, until]`, of which the `newest` are listed."""
    if isinstance(timetable, Every):
        each = timedelta(seconds=timetable.seconds)
        count = max(0, math.floor((until - EPOCH) / each) - math.floor((after - EPOCH) / each))
        after = max(after, EPOCH + math.floor((until - EPOCH) / each - newest) * each)
        return Span(tuple(_until(timetable, after, until, newest + 1))[-newest:], count)
    found = list(_until(timetable, after, until, COUNTED_MAX + 1))
    if len(found) <= COUNTED_MAX:
        return Span(tuple(found[-newest:]), len(found))
    # There are many. So look for the newest from the end, in spans that grow.
    back = timedelta(minutes=1)
    while until - back > after:
        near = list(_until(timetable, until - back, until, 100 * COUNTED_MAX))
        if len(near) >= newest:
            return Span(tuple(near[-newest:]), COUNTED_MAX)
        back *= 4
    return Span(tuple(list(_until(timetable, after, until, 100 * COUNTED_MAX))[-newest:]), COUNTED_MAX)


def zone_of(name: str) -> tzinfo:
    """The time zone of this name. Raises BadTimetable."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        if not isinstance(name, str) or len(name) > ZONE_CHARS_MAX:
            raise ValueError(name)
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):
        raise BadTimetable(
            f"there is no time zone {name!r:.110}: take a name of the IANA database, such as Europe/Berlin "
            "(where the machine has none of them, install the package tzdata)"
        ) from None


def _until(timetable: Timetable, after: datetime, until: datetime, limit: int) -> Iterator[datetime]:
    for count, each in enumerate(timetable.times(after)):
        if each > until or count == limit:
            return
        yield each


def _first_valid(local: datetime, zone: tzinfo) -> datetime:
    """The instant when a clock in `zone` first shows `local`.

    Within a gap, the first one after it with its second.
    """
    at = local.replace(tzinfo=zone, fold=0)
    while at.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local:
        local += timedelta(minutes=1)
        at = local.replace(tzinfo=zone, fold=0)
    return at


def _check_text(expression: object) -> None:
    if not isinstance(expression, str) or not expression.strip() or len(expression) > EXPRESSION_CHARS_MAX:
        raise BadTimetable(
            f"a cron expression is a text of up to {EXPRESSION_CHARS_MAX} characters, such as "
            f'"0 9 * * 1-5", not {expression!r:.100}'
        )
    if expression.strip().startswith("@") and expression.strip().lower() not in ALIASES:
        raise BadTimetable(f"{expression!r} is none of {', '.join(sorted(ALIASES))}")


def _check_fields(expression: str, fields: list[str]) -> None:
    from cronsim import CronSim, CronSimError

    if len(fields) not in (5, 6):
        raise BadTimetable(
            f"{expression!r} has {len(fields)} fields: write minute, hour, day of the month, month and "
            "day of the week, and before them the second, if it counts"
        )
    try:
        CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, AssertionError, ValueError) as error:
        name = re.sub(r"^Bad ", "", str(error))
        if name not in _FIELDS:
            raise BadTimetable(f"{expression!r} is no cron expression") from None
        value = fields[_FIELDS.index(name) - (6 - len(fields))]
        if name == "day-of-month" and value.isdigit() and 1 <= int(value) <= 31:
            raise BadTimetable(
                f"{expression!r} never comes: no month that it names has a day {value}"
            ) from None
        raise BadTimetable(
            f"the field {name} of {expression!r} is {value!r}: it takes {_TAKES[name]}, *, */n, a-b, "
            "a-b/n and lists with commas"
        ) from None
