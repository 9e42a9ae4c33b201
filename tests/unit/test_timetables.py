"""When schedules tick: over changes of clocks, in leap years, and what is refused."""

from __future__ import annotations

import importlib.util
import itertools
import random
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from outlast import UsageError, at, cron, every, workflow
from outlast.core.timetables import COUNTED_MAX, BadTimetable, Cron, Every, first_after, times_within

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"


def local(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next times as a clock there shows them, with their offsets from UTC."""
    times = Cron(expression, zone).times(datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)))
    return [
        each.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M:%S%z").replace(":00+", "+").replace(":00-", "-")
        for each in itertools.islice(times, count)
    ]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "right"),
    [
        # In the gap: once, at the first instant after it.
        ("30 2 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
        ("0 30 2 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:30+0200"]),
        ("0,30 2 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+0200", "03-30 02:00+0200"]),
        ("30 2,3 * * *", BERLIN, "2026-03-28T12:00", ["03-29 03:00+0200", "03-29 03:30+0200"]),
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00", ["03-08 03:00-0400", "03-09 02:30-0400"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-03T12:00", ["10-04 02:30+1100", "10-05 02:15+1100"]),
        # Twice on the clock: once, the first time.
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("0 30 2 * * *", BERLIN, "2026-10-24T12:00", ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", ["11-01 01:30-0400", "11-02 01:30-0500"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-04T12:00", ["04-05 01:45+1100", "04-06 01:45+1030"]),
        # Real intervals.
        (
            "*/30 2 * * *",
            BERLIN,
            "2026-10-24T12:00",
            ["10-25 02:00+0200", "10-25 02:30+0200", "10-25 02:00+0100", "10-25 02:30+0100"],
        ),
        ("*/30 2 * * *", BERLIN, "2026-03-28T12:00", ["03-30 02:00+0200", "03-30 02:30+0200"]),
        (
            "0 * * * *",
            BERLIN,
            "2026-03-29T00:30",
            ["03-29 01:00+0100", "03-29 03:00+0200", "03-29 04:00+0200"],
        ),
        (
            "0 * * * *",
            BERLIN,
            "2026-10-25T01:30",
            ["10-25 02:00+0200", "10-25 02:00+0100", "10-25 03:00+0100"],
        ),
        # A leap day.
        ("0 12 29 2 *", "UTC", "2026-01-01T00:00", ["02-29 12:00+0000", "02-29 12:00+0000"]),
        # The last day, the last Friday, the second Monday, names.
        ("0 0 L * *", "UTC", "2026-01-31T12:00", ["02-28 00:00+0000", "03-31 00:00+0000"]),
        ("0 0 * * 5L", "UTC", "2026-01-01T12:00", ["01-30 00:00+0000", "02-27 00:00+0000"]),
        ("0 0 * * MON#2", "UTC", "2026-01-01T12:00", ["01-12 00:00+0000", "02-09 00:00+0000"]),
        ("0 9 * JAN mon-fri", "UTC", "2026-01-02T12:00", ["01-05 09:00+0000", "01-06 09:00+0000"]),
        ("@daily", BERLIN, "2026-01-02T12:00", ["01-03+0100", "01-04+0100"]),
    ],
)
def test_times_are_these(expression: str, zone: str, after: str, right: list[str]) -> None:
    found = local(expression, zone, after, len(right))
    assert found == [each if each.count(":") else each.replace("+", " 00:00+") for each in right]


def test_leap_days_are_four_years_apart() -> None:
    times = itertools.islice(Cron("0 12 29 2 *").times(datetime(2026, 1, 1, tzinfo=UTC)), 2)
    assert [each.year for each in times] == [2028, 2032]


class Changed(tzinfo):
    """A zone whose rules change: from 2027-06-01 its clocks are three hours ahead, without notice."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        return timedelta(hours=3 if moment.date() >= date(2027, 6, 1) else 1)

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, moment: datetime | None) -> str:
        return "changed"

    def fromutc(self, moment: datetime) -> datetime:
        change = datetime(2027, 5, 31, 23, tzinfo=UTC)
        ahead = timedelta(hours=3 if moment.replace(tzinfo=UTC) >= change else 1)
        return (moment + ahead).replace(tzinfo=self)


def test_a_zone_whose_rules_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was planned by the old rules comes once; what follows is by the new ones."""
    monkeypatch.setattr("outlast.core.timetables.zone_of", lambda name: Changed())
    times = Cron("30 1 * * *", "Changed").times(datetime(2027, 5, 30, 12, tzinfo=UTC))
    found = [each.strftime("%m-%d %H:%M") for each in itertools.islice(times, 4)]
    # On 06-01 at 00:00 the clock jumps to 02:00: 01:30 is in the gap.
    assert found == ["05-31 00:30", "05-31 23:00", "06-01 22:30", "06-02 22:30"]


ZONES = [
    "Africa/Cairo", "Africa/Casablanca", "America/Asuncion", "America/Havana", "America/New_York",
    "America/Nuuk", "America/Santiago", "America/Sao_Paulo", "Asia/Beirut", "Asia/Gaza", "Asia/Kolkata",
    "Asia/Tehran", "Atlantic/Azores", "Australia/Lord_Howe", "Australia/Sydney", "Europe/Berlin",
    "Europe/Dublin", "Europe/Lisbon", "Pacific/Auckland", "Pacific/Chatham",
]  # fmt: skip
EXPRESSIONS = ["30 2 * * *", "0,30 0-3 * * *", "*/20 * * * *", "0 */2 * * *", "15 1 1,15 * *", "59 23 * * 0"]


def changes(zone: str) -> list[datetime]:
    """The hours of 2024 to 2030 in which a zone's offset changes."""
    here, found, moment = ZoneInfo(zone), [], datetime(2024, 1, 1, tzinfo=UTC)
    while moment.year <= 2030:
        later = moment + timedelta(hours=6)
        if moment.astimezone(here).utcoffset() != later.astimezone(here).utcoffset():
            found.append(moment)
        moment = later
    return found


@pytest.mark.parametrize("zone", ZONES)
def test_over_each_change_it_says_what_cronsim_says(zone: str) -> None:
    """Beside that it never goes back, nor comes twice to the same instant."""
    moments = changes(zone) or [datetime(2027, 3, 28, tzinfo=UTC)]
    for moment, expression in itertools.product(moments, EXPRESSIONS):
        began = moment - timedelta(hours=3)
        theirs = CronSim(expression, began.astimezone(ZoneInfo(zone)))
        ours = list(itertools.islice(Cron(expression, zone).times(began), 30))
        expected = {each.astimezone(UTC) for each in itertools.islice(theirs, 60)}
        assert ours == sorted(ours)
        assert len({*ours}) == len(ours)
        assert ours == sorted(each for each in expected if began < each <= ours[-1])


@pytest.mark.parametrize("zone", ["UTC", BERLIN, LORD_HOWE])
def test_times_do_not_depend_on_where_one_begins(zone: str) -> None:
    chance = random.Random(7)
    for expression in EXPRESSIONS:
        timetable, began = Cron(expression, zone), datetime(2026, 3, 20, tzinfo=UTC)
        all_of_them = list(itertools.islice(timetable.times(began), 200))
        for _ in range(20):
            moment = began + timedelta(seconds=chance.randrange(86_400 * 4))
            following = next((each for each in all_of_them if each > moment), None)
            if following is not None:
                assert first_after(timetable, moment) == following


def test_every_counts_from_the_same_beginning() -> None:
    times = Every(300).times(datetime(2026, 1, 1, 0, 4, 59, 999_999, tzinfo=UTC))
    assert [f"{each:%H:%M:%S}" for each in itertools.islice(times, 2)] == ["00:05:00", "00:10:00"]
    assert first_after(Every(300), datetime(2026, 1, 1, 0, 5, tzinfo=UTC)) == datetime(
        2026, 1, 1, 0, 10, tzinfo=UTC
    )


@pytest.mark.parametrize("timetable", [Every(60), Cron("* * * * *"), Cron("* * * * *", BERLIN)])
@pytest.mark.parametrize("minutes", [0, 1, 7, 200, COUNTED_MAX + 500])
def test_times_within_are_counted_and_the_newest_listed(timetable: Any, minutes: int) -> None:
    after = datetime(2026, 3, 20, 0, 0, 30, tzinfo=UTC)
    span = times_within(timetable, after, after + timedelta(minutes=minutes), 5)
    exact = isinstance(timetable, Every)
    assert span.count == (minutes if exact else min(minutes, COUNTED_MAX))
    last = after + timedelta(minutes=minutes) - timedelta(seconds=30)
    listed = [last - timedelta(minutes=n) for n in range(min(5, minutes))]
    assert list(span.newest) == listed[::-1]


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "zone", "said"),
    [
        ("61 * * * *", "UTC", r"field minute of '61 \* \* \* \*' is '61': it takes 0-59"),
        ("0 25 * * *", "UTC", "field hour .* is '25'"),
        ("0 0 32 * *", "UTC", "field day-of-month .* is '32'"),
        ("0 0 * 13 *", "UTC", "field month .* is '13'"),
        ("0 0 * * 8", "UTC", "field day-of-week .* is '8'"),
        ("60 0 0 * * *", "UTC", "field second .* is '60'"),
        ("*/0 * * * *", "UTC", "field minute .* is '\\*/0'"),
        ("5-1 * * * *", "UTC", "field minute .* is '5-1'"),
        ("0 0 * * MON#6", "UTC", "field day-of-week .* is 'MON#6'"),
        ("0 0 30 2 *", "UTC", "never comes: no month that it names has a day 30"),
        ("0 0 31 4,6 *", "UTC", "never comes"),
        ("* * * *", "UTC", "has 4 fields"),
        ("", "UTC", "a cron expression is a text"),
        ("@reboot", "UTC", "is none of @annually"),
        ("* " * 200, "UTC", "up to 200 characters"),
        (5, "UTC", "a cron expression is a text"),
        ("@daily", "Europe/Berlinn", "no time zone 'Europe/Berlinn': take a name of the IANA database"),
        ("@daily", "../etc/passwd", "no time zone"),
        ("@daily", "", "no time zone"),
        ("@daily", None, "no time zone"),
    ],
)
def test_what_is_no_cron_expression(expression: Any, zone: Any, said: str) -> None:
    with pytest.raises(BadTimetable, match=said):
        Cron(expression, zone)
    with pytest.raises(UsageError, match=said):
        cron(expression, tz=zone)


ZONED = datetime(2026, 1, 1, tzinfo=UTC)


NAIVE = ZONED.replace(tzinfo=None)
BAD_OPTIONS: list[tuple[Any, str]] = [
    (lambda: every(), "whole number of seconds"),
    (lambda: every(seconds=0.5), "whole seconds, not 0.5"),
    (lambda: every(days=367), "366 days"),
    (lambda: every(days=float("inf")), "in numbers"),
    (lambda: every(minutes="5"), "in numbers"),  # type: ignore[arg-type]
    (lambda: at(NAIVE), "has no zone"),
    (lambda: at("2026-01-01"), "has no zone"),  # type: ignore[arg-type]
    (lambda: at(datetime(1960, 1, 1, tzinfo=UTC)), "1971"),
    (lambda: cron("@daily", name="a b"), r"cron\(name\) is a letter"),
    (lambda: cron("@daily", name="x" * 101), "100 at most"),
    (lambda: cron("@daily", input=[1]), r"cron\(input\) is a dict"),  # type: ignore[arg-type]
    (lambda: cron("@daily", input={"a": object()}), "no JSON form"),
    (lambda: cron("@daily", catchup="some"), r'catchup\) is "last", "none" or "all"'),  # type: ignore[arg-type]
    (lambda: cron("@daily", catchup="all"), 'needs overlap="allow"'),
    (lambda: cron("@daily", overlap=True), "overlap"),  # type: ignore[arg-type]
    (lambda: cron("@daily", until=NAIVE), "until"),
    (lambda: cron("@daily", times=0), "times"),
    (lambda: cron("@daily", times=True), "times"),
    (lambda: cron("@daily", jitter=86_401), "jitter"),
    (lambda: cron("@daily", jitter="1"), "jitter"),  # type: ignore[arg-type]
    (lambda: cron("@daily", pause_after=101), "pause_after"),
    (lambda: workflow(schedule="@daily"), r"takes cron\(…\), every\(…\), at\(…\), or a list"),  # type: ignore[arg-type]
    (lambda: workflow(schedule=[every(hours=1), every(hours=2)]), "names of their own"),
    (
        lambda: workflow(schedule=[every(hours=1, name="a"), every(hours=2, name="a")]),
        "names of their own",
    ),
]


@pytest.mark.parametrize(("make", "said"), BAD_OPTIONS, ids=map(str, range(len(BAD_OPTIONS))))
def test_options_that_cannot_be(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    import subprocess
    import sys

    code = "import sys, outlast; assert 'cronsim' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert importlib.util.find_spec("cronsim")
