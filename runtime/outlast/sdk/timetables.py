"""`cron`, `every`, `at`: a workflow's schedules, and how missed and overlapping ticks are handled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic_core import PydanticSerializationError, to_json

from outlast.core.errors import UsageError
from outlast.core.schedules import (
    JITTER_S_MAX,
    NAME,
    NAME_RULE,
    PAUSE_AFTER_MAX,
    TIMES_MAX,
    Catchup,
    Overlap,
    Policies,
    Schedule,
)
from outlast.core.timetables import At, BadTimetable, Cron, Every, Timetable
from outlast.sdk.durations import Duration, seconds_of

SCHEDULES_MAX = 100
"""The most schedules of one workflow."""


def cron(
    expression: str,
    *,
    tz: str = "UTC",
    name: str | None = None,
    input: Mapping[str, Any] | None = None,
    catchup: Literal["last", "none", "all"] = "last",
    overlap: Literal["skip", "wait", "allow", "cancel"] = "skip",
    until: datetime | None = None,
    times: int | None = None,
    jitter: Duration = 0,
    pause_after: int | None = None,
) -> Schedule:
    """The times of a cron expression: `@workflow(schedule=cron("0 9 * * 1-5", tz="Europe/Berlin"))`.

    Five fields (minute, hour, day of the month, month, day of the week), or six with the second first; names
    (`MON`, `JAN`), `L`, `#`, and `@daily`, `@hourly` and so on. `tz` is a zone of the IANA database.

    - `name`: of the schedule; its function's, if it has only one. `input`: what the workflow is given.
    - `catchup`: ticks at which no instance was there. "last": the newest is run, at most 24 hours late;
      "none": none; "all": all, 1,000 at most (needs `overlap="allow"`).
    - `overlap`: a tick that comes while the workflow of an earlier one is live. "skip": it isn't run;
      "wait": it is run afterwards, one of them; "allow": it is run beside it; "cancel": the earlier one is
      cancelled.
    - `until`: no tick is later. `times`: there are so many ticks. `jitter`: each comes up to so much later
      (seconds or a timedelta, a day at most), always the same for one name. `pause_after`: it is paused
      after so many failures in a row (100 at most).

    Raises UsageError for what never comes or can't be.
    """
    options = _options("cron", catchup, overlap, until, times, jitter, pause_after)
    return _schedule("cron", lambda: Cron(expression, tz), name, input, options)


def every(
    *,
    weeks: float = 0,
    days: float = 0,
    hours: float = 0,
    minutes: float = 0,
    seconds: float = 0,
    name: str | None = None,
    input: Mapping[str, Any] | None = None,
    catchup: Literal["last", "none", "all"] = "last",
    overlap: Literal["skip", "wait", "allow", "cancel"] = "skip",
    until: datetime | None = None,
    times: int | None = None,
    jitter: Duration = 0,
    pause_after: int | None = None,
) -> Schedule:
    """Times at equal distances: `every(minutes=5)`. The options are those of `cron`.

    Whole seconds, 366 days at most, counted from the beginning of 1970 in UTC, so that the times don't depend
    on when it was deployed. Raises UsageError.
    """

    def timetable() -> Timetable:
        try:
            each = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
        except (TypeError, OverflowError, ValueError):
            raise BadTimetable("an interval is given in numbers: every(minutes=5)") from None
        if each % timedelta(seconds=1):
            raise BadTimetable(f"an interval is whole seconds, not {each.total_seconds():g}")
        return Every(int(each.total_seconds()))

    options = _options("every", catchup, overlap, until, times, jitter, pause_after)
    return _schedule("every", timetable, name, input, options)


def at(
    when: datetime,
    *,
    name: str | None = None,
    input: Mapping[str, Any] | None = None,
    catchup: Literal["last", "none", "all"] = "last",
) -> Schedule:
    """Once, at `when`, a datetime with a zone. The options are those of `cron`. Raises UsageError."""
    options = _options("at", catchup, "allow" if catchup == "all" else "skip", None, None, 0, None)
    return _schedule("at", lambda: At(when), name, input, options)


def schedules_of(schedule: Schedule | Sequence[Schedule] | None, what: str) -> tuple[Schedule, ...]:
    """The schedules of `schedule=`. Raises UsageError."""
    if schedule is None:
        return ()
    listed = [schedule] if isinstance(schedule, Schedule) else schedule
    if not isinstance(listed, list | tuple) or not all(isinstance(each, Schedule) for each in listed):
        raise UsageError(f"{what} takes cron(…), every(…), at(…), or a list of those, not {schedule!r:.100}")
    if len(listed) > SCHEDULES_MAX:
        raise UsageError(f"{what} takes {SCHEDULES_MAX} schedules at most")
    names = [each.name for each in listed]
    if len(listed) > 1 and (None in names or len({*names}) < len(names)):
        raise UsageError(f'{what}: several schedules need names of their own: cron("@daily", name="nightly")')
    return tuple(listed)


def _options(
    what: str, catchup: Any, overlap: Any, until: Any, times: Any, jitter: Any, pause_after: Any
) -> Policies:
    if catchup not in [*Catchup]:
        raise UsageError(f"{what}(catchup) is {_one_of(Catchup)}, not {catchup!r:.100}")
    if overlap not in [*Overlap]:
        raise UsageError(f"{what}(overlap) is {_one_of(Overlap)}, not {overlap!r:.100}")
    if catchup == Catchup.ALL and overlap != Overlap.ALLOW:
        raise UsageError(f'{what}(catchup="all") starts many at once: it needs overlap="allow"')
    if until is not None and (not isinstance(until, datetime) or until.utcoffset() is None):
        raise UsageError(f"{what}(until) is a datetime with a zone, not {until!r:.100}")
    _check_count(f"{what}(times)", times, TIMES_MAX)
    _check_count(f"{what}(pause_after)", pause_after, PAUSE_AFTER_MAX)
    jitter_s = seconds_of(jitter, f"{what}(jitter)")
    if jitter_s > JITTER_S_MAX:
        raise UsageError(f"{what}(jitter) is a day at most, not {jitter!r:.100}")
    return Policies(Catchup(catchup), Overlap(overlap), until, times, jitter_s, pause_after)


def _check_count(what: str, count: Any, most: int) -> None:
    if count is not None and not (type(count) is int and 1 <= count <= most):
        raise UsageError(f"{what} is a whole number from 1 to {most:,}, not {count!r:.100}")


def _one_of(kinds: type[Catchup] | type[Overlap]) -> str:
    *others, last = (f'"{each}"' for each in kinds)
    return f"{', '.join(others)} or {last}"


def _schedule(
    what: str,
    timetable: Callable[[], Timetable],
    name: Any,
    given: Mapping[str, Any] | None,
    policies: Policies,
) -> Schedule:
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name)):
        raise UsageError(f"{what}(name) is {NAME_RULE}; not {name!r:.100}")
    try:
        return Schedule(timetable(), policies, name, _json(what, given))
    except BadTimetable as error:
        raise UsageError(f"{what}: {error}") from None


def _json(what: str, given: Mapping[str, Any] | None) -> str:
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(f"{what}(input) is a dict of the workflow's arguments, not {given!r:.100}")
    try:
        return to_json({} if given is None else dict(given), inf_nan_mode="constants").decode()
    except (PydanticSerializationError, ValueError) as error:
        raise UsageError(f"{what}(input) has no JSON form: {error}") from None
