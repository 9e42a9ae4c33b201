"""The cases of schedules on Postgres, in real seconds, and what one schedule must not hold up."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from outlast import every, workflow
from outlast.core.observations import LoopFailed, ScheduleFailed
from outlast.core.retry import RetryPolicy
from outlast.core.schedules import DueSchedule, Order, decide
from outlast.engine.instances import setbacks, ticking
from outlast.store import schedules as stored
from tests.engine.harness import Bench, engine_on
from tests.engine.schedule_cases import *  # noqa: F403
from tests.engine.schedule_cases import EACH_S, age, hourly, noted, planned, schedule_row, started, told
from tests.store.harness import under_way

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

GOOD = "select outlast.schedule('good', 'tidy', every => '1 second', overlap => 'allow')"


@workflow
async def tidy() -> None: ...


async def ticks_on(bench: Bench) -> None:
    """Wait until the good schedule has ticked twice more."""

    async def started() -> int:
        return int(
            (await bench.rows("select started from outlast.schedules where name = 'good'"))[0]["started"]
        )

    before = await started()

    async def further() -> bool:
        return await started() >= before + 2

    await bench.until(further)


@pytest.mark.parametrize("until", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
async def test_a_time_that_only_postgres_has_is_refused(database: str, until: str) -> None:
    async with engine_on(database, tidy) as bench:
        with pytest.raises(psycopg.DataError, match="until is in the years 1971 to 9990"):
            await bench.rows(
                "select outlast.schedule('s', 'tidy', every => '1 hour', until => %s::timestamptz)", until
            )
        await bench.rows(GOOD)
        with pytest.raises(psycopg.DataError, match="after is a time"):
            await bench.rows(
                "select * from outlast.backfill_schedule('good', '0044-03-15 BC', '0044-03-16 BC')"
            )


@pytest.mark.parametrize("column", ["until", "at", "nominal_at", "backfill_after"])
async def test_a_row_that_nobody_can_read_says_so_and_holds_up_no_other(database: str, column: str) -> None:
    async with engine_on(database, tidy) as bench:
        await bench.rows(GOOD)
        when = "at => '9000-01-01'" if column == "at" else "every => '1 hour'"
        await bench.rows(f"select outlast.schedule('bad', 'tidy', {when})")
        ends = ", backfill_until = now()" if column == "backfill_after" else ", next_at = now()"
        await bench.rows(
            f"update outlast.schedules set {column} = '-infinity'{ends}, revision = revision + 1"
            " where name = 'bad' returning name"
        )

        async def fault() -> Any:
            return (await bench.rows("select fault from outlast.schedules where name = 'bad'"))[0]["fault"]

        assert "-infinity" in await bench.until(fault)
        await ticks_on(bench)


async def test_a_schedule_whose_tick_fails_is_told_of_and_holds_up_no_other(database: str) -> None:
    async with engine_on(database, tidy) as bench:
        await bench.rows(
            "insert into outlast.queues (name, functions, override)"
            """ values ('q', '{other}', '{"drop": {"n": "x"}}') returning name"""
        )
        await bench.rows("select outlast.schedule('bad', 'other', every => '1 second', overlap => 'allow')")
        await bench.rows(GOOD)
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, ScheduleFailed)])
        await ticks_on(bench)
        await bench.rows("update outlast.queues set override = null where name = 'q' returning name")

        async def begins() -> Any:
            return (await bench.rows("select started from outlast.schedules where name = 'bad'"))[0][
                "started"
            ]

        await bench.until(begins)


SLOWLY = """
create function outlast.slowly() returns trigger language plpgsql as $$
begin perform pg_sleep(100); return new; end $$;
create trigger slowly before insert on outlast.workflow_status for each row
when (new.tick ->> 'schedule' = 'slow') execute function outlast.slowly()
"""


def told_slow(bench: Bench) -> list[tuple[str, str]]:
    """What was told of what takes too long."""
    return [
        (each.schedule, each.what)
        for each in bench.observations
        if isinstance(each, ScheduleFailed) and "a trigger of yours" in each.error
    ]


async def test_a_schedule_whose_tick_is_slow_holds_up_no_other_for_long(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for it no longer than a bound, and ever more seldom."""
    monkeypatch.setattr(ticking, "TICK_LIMIT_S", 0.5)
    monkeypatch.setattr(ticking, "SLOW_LIMIT_S", 1.0)
    monkeypatch.setattr(setbacks, "SLOW", RetryPolicy(backoff_s=1.0, backoff_max_s=4.0))
    async with engine_on(database, tidy) as bench:
        await bench.rows(SLOWLY)
        await bench.rows(GOOD)
        await bench.rows("select outlast.schedule('slow', 'tidy', every => '1 second', overlap => 'allow')")
        await bench.until(lambda: told_slow(bench))
        for _ in range(3):
            await ticks_on(bench)
        assert told_slow(bench) == [("slow", "tick")]
        await bench.rows("drop trigger slowly on outlast.workflow_status")

        async def ticks() -> Any:
            (row,) = await bench.rows("select started from outlast.schedules where name = 'slow'")
            return row["started"] >= 2

        await bench.until(ticks)
        assert not [each for each in bench.observations if isinstance(each, LoopFailed)]


async def test_a_missed_tick_that_is_slow_for_long_is_waited_for(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database may be slow for long; all missed ticks are to be run."""
    monkeypatch.setattr(ticking, "TICK_LIMIT_S", 0.3)
    monkeypatch.setattr(ticking, "SLOW_LIMIT_S", 0.3)
    monkeypatch.setattr(ticking, "GIVEN_UP_AFTER_S", 0.5)
    monkeypatch.setattr(setbacks, "SLOW", RetryPolicy(backoff_s=0.1, backoff_max_s=0.2))
    job = every(seconds=EACH_S, catchup="all", overlap="allow")
    async with hourly(told(job), database) as bench:
        await bench.rows("create sequence outlast.tries")
        await bench.rows(
            SLOWLY.replace("perform", "perform nextval('outlast.tries'), ").replace("= 'slow'", "= 'job'")
        )
        await age(bench, "job", 3 * EACH_S)

        async def tried() -> Any:
            return (await bench.rows("select last_value >= 6 as often from outlast.tries"))[0]["often"]

        await bench.until(tried)
        await bench.rows("drop trigger slowly on outlast.workflow_status")
        await started(bench, "job", 3)
        assert await noted(bench, "job", 3) == [("late", 1)] * 3


async def test_a_backfill_that_is_slow_is_done_in_smaller_parts(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "TICK_LIMIT_S", 0.5)
    monkeypatch.setattr(setbacks, "SLOW", RetryPolicy(backoff_s=0.1, backoff_max_s=0.2))
    async with engine_on(database, tidy) as bench:
        await bench.rows(SLOWLY.replace("100", "0.05"))
        await bench.rows(GOOD)
        await bench.rows("select outlast.schedule('slow', 'tidy', every => '1 hour', overlap => 'allow')")
        await bench.rows(
            "select * from outlast.backfill_schedule('slow', now() - interval '40 hours', now())"
        )

        async def over() -> Any:
            (row,) = await bench.rows("select backfill_until from outlast.schedules where name = 'slow'")
            return row["backfill_until"] is None

        await bench.until(over)
        assert told_slow(bench) == [("slow", "backfill")]
        (row,) = await bench.rows(
            "select count(*)::int as n from outlast.workflow_status where tick ->> 'schedule' = 'slow'"
        )
        assert row["n"] == 40


async def test_a_schedule_of_which_nothing_can_be_decided_holds_up_no_other(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(schedule: DueSchedule) -> Order:
        if schedule.name == "bad":
            raise OverflowError
        return decide(schedule)

    monkeypatch.setattr(ticking, "decide", picky)
    async with engine_on(database, tidy) as bench:
        await bench.rows("select outlast.schedule('bad', 'tidy', every => '1 second')")
        await bench.rows(GOOD)
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, ScheduleFailed)])
        await ticks_on(bench)


async def test_whoever_holds_the_row_of_a_tick_holds_up_no_other_schedule(database: str) -> None:
    async with engine_on(database, tidy) as bench:
        await bench.rows("select outlast.schedule('bad', 'other', every => '1 second', overlap => 'cancel')")
        ticked = "select workflow_id from outlast.workflow_status where function = 'other'"
        await bench.until(lambda: bench.rows(ticked))
        async with under_way(
            database, "select from outlast.workflow_status where function = 'other' for update"
        ):
            await bench.rows(GOOD)
            await ticks_on(bench)


async def test_whoever_holds_the_door_of_a_backfill_holds_up_no_other_and_no_tick(database: str) -> None:
    async with engine_on(database, tidy) as bench:
        await bench.rows(
            "insert into outlast.queues (name, functions, base)"
            """ values ('q', '{other}', '{"drop": {"n": 1000, "per": 1}}') returning name"""
        )
        await bench.rows("select outlast.schedule('a_bad', 'other', every => '1 hour', overlap => 'allow')")
        await bench.rows("select outlast.schedule('b_good', 'tidy', every => '1 hour', overlap => 'allow')")
        await bench.rows(GOOD)

        async def done(name: str) -> bool:
            found = await bench.rows("select backfill_until from outlast.schedules where name = %s", name)
            return found[0]["backfill_until"] is None

        async with under_way(database, "insert into outlast.queue_doors (queue, passed) values ('q', 1)"):
            for name in ("a_bad", "b_good"):
                await bench.rows(
                    f"select * from outlast.backfill_schedule('{name}', now() - interval '9 hours', now())"
                )
            await bench.until(lambda: done("b_good"))
            await bench.until(
                lambda: [
                    each
                    for each in bench.observations
                    if isinstance(each, ScheduleFailed) and each.what == "backfill"
                ]
            )
            await ticks_on(bench)
            assert not await done("a_bad")
        await bench.until(lambda: done("a_bad"))


async def test_whoever_holds_a_schedule_that_code_changes_holds_up_no_other(database: str) -> None:
    def hourly(hours: int) -> Any:
        @workflow(schedule=every(hours=hours))
        async def job() -> None: ...

        return job

    async with engine_on(database, tidy, hourly(1)) as bench:
        await planned(bench, "job")
    held = "select from outlast.schedules where name = 'job' for update"
    async with under_way(database, held), engine_on(database, tidy, hourly(2)) as bench:
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, LoopFailed)])
        await bench.rows(GOOD)
        await ticks_on(bench)
        assert (await schedule_row(bench, "job"))["every_s"] == 3600


async def test_a_schedule_that_can_not_be_marked_as_unusable_holds_up_no_other(database: str) -> None:
    async with engine_on(database, tidy) as bench:
        await bench.rows(
            """
            create function outlast.never() returns trigger language plpgsql as $$
            begin raise 'no fault here'; end $$;
            create trigger never before update on outlast.schedules for each row
            when (new.fault is not null) execute function outlast.never()
            """
        )
        await bench.rows("select outlast.schedule('bad', 'tidy', at => '9000-01-01')")
        await bench.rows(
            "update outlast.schedules set at = '-infinity', next_at = now(), revision = revision + 1"
            " where name = 'bad' returning name"
        )
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, ScheduleFailed)])
        await bench.rows(GOOD)
        await ticks_on(bench)
        await bench.rows("drop trigger never on outlast.schedules")

        async def fault() -> Any:
            return (await bench.rows("select fault from outlast.schedules where name = 'bad'"))[0]["fault"]

        await bench.until(fault)


async def test_however_many_fail_others_are_found(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is looked at in parts: those that fail are due longest, and fill none."""
    monkeypatch.setattr(stored, "DUE_MAX", 2)
    async with engine_on(database, tidy) as bench:
        await bench.rows(
            """
            create function outlast.never() returns trigger language plpgsql as $$
            begin raise 'not today'; end $$;
            create trigger never before insert on outlast.workflow_status for each row
            when (new.function = 'other') execute function outlast.never()
            """
        )
        for number in range(5):
            await bench.rows(
                f"select outlast.schedule('a{number}', 'other', every => '1 second', overlap => 'allow')"
            )
        await bench.until(
            lambda: len([each for each in bench.observations if isinstance(each, ScheduleFailed)]) >= 5
        )
        await bench.rows(GOOD)
        await ticks_on(bench)
