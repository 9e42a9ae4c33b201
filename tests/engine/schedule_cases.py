"""Schedules: each time starts one workflow, and what is not run is told of.

They run in memory (test_schedules.py) and on Postgres (test_schedules_on_postgres.py): each decides for
itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outlast import Queue, ScheduleNotFound, UsageError, context, every, receive, schedules, step, workflow
from outlast.core.callers import Caller
from outlast.core.clock import Clock
from outlast.core.observations import ScheduleFailed
from outlast.core.schedules import Schedule, tick_id
from outlast.engine.instances import ticking
from outlast.sdk.workflows import Workflow
from outlast.testing.rows import RowRefused, ScheduleRow
from tests.engine.harness import Bench, engine_on
from tests.engine.memory import BEGAN_S, Memory

EACH_S = next(
    n
    for n in range(3_600, 40_000, 700)
    if all(900 <= now_s % n <= n - 900 for now_s in (BEGAN_S, Clock().now().timestamp()))
)
"""An interval whose last time lies some minutes back, in memory and now, and so does the next one ahead."""


async def schedule_row(bench: Bench, name: str) -> dict[str, Any]:
    """What is known of a schedule."""
    if isinstance(bench.url, Memory):
        kept = bench.url.database.schedules[name]
        return {each: getattr(kept, each) for each in ScheduleRow.__slots__}
    (row,) = await bench.rows("select * from outlast.schedules where name = %s", name)
    return row


async def age(bench: Bench, name: str, seconds: float) -> None:
    """Let a schedule be as if so much time had passed in which nobody was there."""
    back = timedelta(seconds=seconds)
    if isinstance(bench.url, Memory):
        row = bench.url.database.schedules[name]
        assert row.nominal_at is not None
        assert row.next_at is not None
        row.nominal_at -= back
        row.next_at -= back
        row.since -= back
        row.revision += 1
        return
    await bench.rows(
        "update outlast.schedules set nominal_at = nominal_at - %s, next_at = next_at - %s,"
        " since = since - %s, revision = revision + 1 where name = %s",
        back,
        back,
        back,
        name,
    )


async def ticks(bench: Bench, name: str) -> list[tuple[str, int]]:
    """What was noted of ticks: outcomes, and for how many each row stands."""
    if isinstance(bench.url, Memory):
        return [(each.outcome, each.ticks) for each in bench.url.database.ticks if each.schedule == name]
    found = await bench.rows("select * from outlast.ticks where schedule = %s order by tick_id", name)
    return [(each["outcome"], each["count"]) for each in found]


async def runs(bench: Bench, name: str) -> dict[str, str]:
    """The workflows of a schedule, and how they stand."""
    prefix = f"schedule:{name}:"
    if isinstance(bench.url, Memory):
        rows = bench.url.database.workflows.items()
        return {each: row.status.value for each, row in sorted(rows) if each.startswith(prefix)}
    found = await bench.rows(
        "select workflow_id, status from outlast.workflow_status where workflow_id like %s order by 1",
        f"{prefix}%",
    )
    return {each["workflow_id"]: each["status"] for each in found}


async def planned(bench: Bench, name: str) -> dict[str, Any]:
    """The row of a schedule, once its next time is known."""

    async def known() -> bool:
        with contextlib.suppress(KeyError, ValueError):
            return (await schedule_row(bench, name))["next_at"] is not None
        return False

    await bench.until(known)
    return await schedule_row(bench, name)


async def started(bench: Bench, name: str, count: int) -> list[str]:
    """The ids of a schedule's workflows, once there are so many."""

    async def enough() -> bool:
        return len(await runs(bench, name)) >= count

    await bench.until(enough)
    found = list(await runs(bench, name))
    assert len(found) == count, found
    return found


async def noted(bench: Bench, name: str, count: int) -> list[tuple[str, int]]:
    """What was noted of ticks, once it is so many rows."""

    async def enough() -> bool:
        return len(await ticks(bench, name)) >= count

    await bench.until(enough)
    return await ticks(bench, name)


def told(schedule: Schedule, queue: Queue | None = None) -> Workflow[..., Any]:
    """A workflow that returns what it knows of its tick."""

    @workflow(schedule=schedule, queue=queue)
    async def job(n: int = 0) -> list[Any]:
        tick = context().tick
        assert tick is not None
        assert context().caller == Caller("schedule", {"role": "service_role"})
        assert tick.actual >= tick.nominal
        return [n, tick.schedule, tick.nominal.isoformat(), tick.previous and tick.previous.isoformat()]

    return job


def waiting(schedule: Schedule) -> Workflow[..., Any]:
    """A workflow that waits for a message."""

    @workflow(schedule=schedule)
    async def job() -> Any:
        return await receive("go")

    return job


@contextlib.asynccontextmanager
async def hourly(job: Workflow[..., Any], database: str) -> AsyncIterator[Bench]:
    """An engine whose schedule `job` is planned."""
    async with engine_on(database, job) as bench:
        await planned(bench, "job")
        yield bench


def nominal_of(workflow_id: str) -> datetime:
    return datetime.fromisoformat(workflow_id.split(":", 2)[2])


# --- ticks --------------------------------------------------------------------------------------------


async def test_each_time_starts_one_workflow_which_knows_it(database: str) -> None:
    async with hourly(told(every(seconds=EACH_S, input={"n": 7})), database) as bench:
        before = (await schedule_row(bench, "job"))["nominal_at"]
        await age(bench, "job", EACH_S)
        first = before - timedelta(seconds=EACH_S)
        # However late in the hour it is: it is the last one, and run.
        (one,) = await started(bench, "job", 1)
        assert one == tick_id("job", first)
        assert await bench.result(one) == [7, "job", first.isoformat(), None]
        row = await planned(bench, "job")
        assert row["nominal_at"] >= before
        assert row["last_at"] == first


async def test_a_tick_knows_the_one_before(database: str) -> None:
    async with hourly(told(every(seconds=1)), database) as bench:
        await bench.until(lambda: _at_least(bench, 3))
        ids = list(await runs(bench, "job"))
        results = [await bench.result(each) for each in ids[:3]]
        assert [each[3] for each in results] == [None, results[0][2], results[1][2]]


async def _at_least(bench: Bench, count: int) -> bool:
    return len(await runs(bench, "job")) >= count


async def test_several_engines_start_a_tick_once(database: str) -> None:
    job = told(every(seconds=1, overlap="allow"))
    async with engine_on(database, job), engine_on(database, job), engine_on(database, job) as bench:
        await bench.until(lambda: _at_least(bench, 4))
        ids = [nominal_of(each) for each in await runs(bench, "job")]
        assert ids == [ids[0] + timedelta(seconds=n) for n in range(len(ids))]
        assert (await schedule_row(bench, "job"))["ticked"] >= len(ids)


async def test_a_tick_goes_to_the_queue_of_its_function(database: str) -> None:
    job = told(every(seconds=EACH_S), Queue("slow", concurrency=1))
    async with hourly(job, database) as bench:
        await age(bench, "job", EACH_S)
        (one,) = await started(bench, "job", 1)
        assert (await bench.result(one))[1] == "job"
        if not isinstance(database, Memory):
            assert (await bench.row(one))["queue"] == "slow"


# --- what was missed ----------------------------------------------------------------------------------


async def test_of_missed_ticks_the_last_is_run(database: str) -> None:
    async with hourly(told(every(seconds=EACH_S)), database) as bench:
        following = (await schedule_row(bench, "job"))["nominal_at"]
        await age(bench, "job", 4 * EACH_S)
        (one,) = await started(bench, "job", 1)
        assert nominal_of(one) == following - timedelta(seconds=EACH_S)
        assert await noted(bench, "job", 4) == [("late", 1), *[("missed", 1)] * 3]


async def test_the_last_missed_one_is_not_run_a_day_late(database: str) -> None:
    async with hourly(told(every(seconds=40 * EACH_S)), database) as bench:
        following = (await schedule_row(bench, "job"))["nominal_at"]
        now = await _now(bench)
        await age(bench, "job", 40 * EACH_S)
        if (now - (following - timedelta(seconds=40 * EACH_S))).total_seconds() > 24 * 3600:
            assert await noted(bench, "job", 1) == [("missed", 1)]
            assert not await runs(bench, "job")
        else:
            await started(bench, "job", 1)
        assert (await planned(bench, "job"))["nominal_at"] == following


async def _now(bench: Bench) -> datetime:
    if isinstance(bench.url, Memory):
        return datetime.fromtimestamp(bench.url.database.now(), UTC)
    ((row),) = await bench.rows("select now() as now")
    return row["now"]


async def test_missed_ticks_may_be_dropped(database: str) -> None:
    async with hourly(told(every(seconds=EACH_S, catchup="none")), database) as bench:
        following = (await schedule_row(bench, "job"))["nominal_at"]
        await age(bench, "job", 3 * EACH_S)
        assert await noted(bench, "job", 3) == [("missed", 1)] * 3
        assert not await runs(bench, "job")
        assert (await planned(bench, "job"))["nominal_at"] == following


async def test_missed_ticks_may_all_be_run(database: str) -> None:
    async with hourly(told(every(seconds=EACH_S, catchup="all", overlap="allow")), database) as bench:
        await age(bench, "job", 5 * EACH_S)
        ids = await started(bench, "job", 5)
        assert await noted(bench, "job", 5) == [("late", 1)] * 5
        results = [await bench.result(each) for each in ids]
        assert [each[3] for each in results] == [None, *[each[2] for each in results[:-1]]]


async def refuse(bench: Bench, workflow_id: str) -> None:
    """As a trigger of the project's does."""
    if isinstance(bench.url, Memory):
        bench.url.database.refusing[workflow_id] = RowRefused
        return
    await bench.rows(
        f"""
        create function outlast.never() returns trigger language plpgsql as $$
        begin raise 'not this one'; end $$;
        create trigger never before insert on outlast.workflow_status for each row
        when (new.workflow_id = '{workflow_id}') execute function outlast.never()
        """
    )


async def test_a_missed_tick_that_is_refused_for_good_is_skipped_for_those_after_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticking, "GIVEN_UP_AFTER_S", 2.0)
    async with hourly(told(every(seconds=EACH_S, catchup="all", overlap="allow")), database) as bench:
        next_at = (await schedule_row(bench, "job"))["nominal_at"]
        bad = next_at - timedelta(seconds=4 * EACH_S)
        await refuse(bench, tick_id("job", bad))
        await age(bench, "job", 5 * EACH_S)
        ids = await started(bench, "job", 4)
        assert [nominal_of(each) for each in ids] == [
            next_at - timedelta(seconds=EACH_S * n) for n in (5, 3, 2, 1)
        ]
        assert await noted(bench, "job", 5) == [("late", 1), ("skipped", 1), *[("late", 1)] * 3]
        if not isinstance(bench.url, Memory):
            (why,) = await bench.rows("select reason from outlast.ticks where outcome = 'skipped'")
            assert why["reason"] == "it was tried again and again: not this one"


async def test_missed_ticks_that_are_refused_for_a_moment_are_all_run(database: str) -> None:
    async with hourly(told(every(seconds=EACH_S, catchup="all", overlap="allow")), database) as bench:
        bad = (await schedule_row(bench, "job"))["nominal_at"] - timedelta(seconds=2 * EACH_S)
        await refuse(bench, tick_id("job", bad))
        await age(bench, "job", 3 * EACH_S)
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, ScheduleFailed)])
        if isinstance(bench.url, Memory):
            bench.url.database.refusing.clear()
        else:
            await bench.rows("drop trigger never on outlast.workflow_status")
        assert len(await started(bench, "job", 3)) == 3
        assert await noted(bench, "job", 3) == [("late", 1)] * 3


async def test_very_many_missed_ticks_are_counted(database: str) -> None:
    async with hourly(told(every(seconds=EACH_S, catchup="none")), database) as bench:
        await age(bench, "job", 5000 * EACH_S)
        found = await noted(bench, "job", 101)
        assert found == [("missed", 4900), *[("missed", 1)] * 100]
        assert (await planned(bench, "job"))["ticked"] == 0


# --- overlap ------------------------------------------------------------------------------------------


async def test_a_tick_is_skipped_while_an_earlier_one_runs(database: str) -> None:
    async with hourly(waiting(every(seconds=1)), database) as bench:
        assert (await noted(bench, "job", 2))[:2] == [("skipped", 1)] * 2
        (one,) = await runs(bench, "job")
        await bench.engine.host.send(one, "1", "go", None)
        assert await bench.result(one) == 1
        await started(bench, "job", 2)


async def test_one_tick_may_wait_for_an_earlier_one(database: str) -> None:
    async with hourly(waiting(every(seconds=1, overlap="wait")), database) as bench:
        assert (await noted(bench, "job", 1))[:1] == [("skipped", 1)]
        (one,) = await runs(bench, "job")
        waits = (await schedule_row(bench, "job"))["waiting_at"]
        assert waits == nominal_of(one) + timedelta(seconds=1)
        await bench.engine.host.send(one, "1", "go", None)
        assert await started(bench, "job", 2) == [one, tick_id("job", waits)]


async def test_ticks_may_run_beside_each_other(database: str) -> None:
    async with hourly(waiting(every(seconds=1, overlap="allow")), database) as bench:
        await bench.until(lambda: _at_least(bench, 3))
        assert not await ticks(bench, "job")


async def test_a_tick_may_cancel_the_one_before(database: str) -> None:
    async with hourly(waiting(every(seconds=1, overlap="cancel")), database) as bench:
        await bench.until(lambda: _at_least(bench, 3))
        *before, _ = (await runs(bench, "job")).values()
        assert set(before) == {"CANCELLED"}


# --- ends ---------------------------------------------------------------------------------------------


async def test_it_ticks_so_many_times(database: str) -> None:
    async with hourly(told(every(seconds=1, times=2, overlap="allow")), database) as bench:
        await started(bench, "job", 2)

        async def over() -> bool:
            row = await schedule_row(bench, "job")
            return bool(row.get("ended") or row.get("ended_at"))

        await bench.until(over)
        assert (await schedule_row(bench, "job"))["next_at"] is None
        await asyncio.sleep(2)
        assert len(await runs(bench, "job")) == 2


async def test_it_is_paused_after_failures_in_a_row(database: str) -> None:
    @workflow(schedule=every(seconds=1, pause_after=2))
    async def job() -> None:
        raise ValueError("no")

    async with hourly(job, database) as bench:

        async def paused() -> bool:
            row = await schedule_row(bench, "job")
            return bool(row.get("paused") or row.get("paused_why"))

        await bench.until(paused)
        last = list(await runs(bench, "job"))[-1]
        row = await schedule_row(bench, "job")
        why = row.get("paused") or row.get("paused_why")
        assert why == f"2 failures in a row, the last one {last}"
        assert len(await runs(bench, "job")) == 2


async def test_a_time_may_come_later_always_by_as_much(database: str) -> None:
    async with hourly(told(every(seconds=EACH_S, jitter=600)), database) as bench:
        row = await schedule_row(bench, "job")
        delay = row["next_at"] - row["nominal_at"]
        assert timedelta(0) < delay < timedelta(seconds=600)
        await age(bench, "job", EACH_S)
        await started(bench, "job", 1)
        row = await planned(bench, "job")
        assert row["next_at"] - row["nominal_at"] == delay


# --- what code declares -------------------------------------------------------------------------------


async def test_what_code_no_longer_declares_starts_nothing(database: str) -> None:
    async with hourly(told(every(seconds=1)), database) as bench:
        await bench.until(lambda: _at_least(bench, 1))

    @workflow
    async def other() -> None: ...

    async with engine_on(database, other) as bench:

        async def orphaned() -> bool:
            row = await schedule_row(bench, "job")
            return bool(row.get("orphaned") or row.get("orphaned_at"))

        await bench.until(orphaned)
    async with engine_on(database, told(every(seconds=1))) as bench:
        before = len(await runs(bench, "job"))
        await bench.until(lambda: _at_least(bench, before + 1))


async def test_an_older_instance_takes_nothing_back(database: str) -> None:
    """A rolling deploy: the old code runs on beside the new, and starts anew."""
    old, new = told(every(seconds=EACH_S)), told(every(seconds=2 * EACH_S))
    async with engine_on(database, old), engine_on(database, new) as bench:

        async def is_new() -> bool:
            row = await planned(bench, "job")
            return (row.get("every_s") or row["schedule"].timetable.seconds) == 2 * EACH_S

        await bench.until(is_new)
        async with engine_on(database, old) as again:
            assert (
                await again.store.schedules.declare(list(again.engine._ticker._catalog.schedules()), [])
                is None
            )
            assert await is_new()


async def test_an_older_instance_that_is_left_alone_declares_again(database: str) -> None:
    old, new = told(every(seconds=EACH_S)), told(every(seconds=2 * EACH_S))
    async with engine_on(database, old) as bench:
        await planned(bench, "job")
        async with engine_on(database, new):

            async def is_new() -> bool:
                row = await planned(bench, "job")
                return (row.get("every_s") or row["schedule"].timetable.seconds) == 2 * EACH_S

            await bench.until(is_new)

        async def is_old() -> bool:
            return not await is_new()

        await bench.until(is_old)


async def test_what_stays_the_same_goes_on_over_a_deploy(database: str) -> None:
    """A tick that came due between two instances is caught up."""
    async with hourly(told(every(seconds=EACH_S)), database) as bench:
        await age(bench, "job", 0)
        before = (await schedule_row(bench, "job"))["nominal_at"]
    if isinstance(database, Memory):
        row = database.database.schedules["job"]
        assert row.nominal_at is not None
        assert row.next_at is not None
        row.nominal_at, row.next_at = (
            row.nominal_at - timedelta(seconds=EACH_S),
            row.next_at - timedelta(seconds=EACH_S),
        )
    else:
        await bench.rows(
            "update outlast.schedules set nominal_at = nominal_at - make_interval(secs => %s),"
            " next_at = next_at - make_interval(secs => %s)",
            EACH_S,
            EACH_S,
        )
    async with engine_on(database, told(every(seconds=EACH_S, overlap="wait"))) as bench:
        (one,) = await started(bench, "job", 1)
        assert nominal_of(one) == before - timedelta(seconds=EACH_S)
        assert await noted(bench, "job", 1) == [("late", 1)]


@pytest.mark.parametrize("count", [1, 3])
async def test_ticks_of_the_past_are_started_once(database: str, count: int) -> None:
    async with hourly(told(every(seconds=EACH_S)), database) as bench:
        until = (await schedule_row(bench, "job"))["nominal_at"] - timedelta(seconds=EACH_S)
        after = until - timedelta(seconds=EACH_S * count)
        for _ in range(2):
            if isinstance(bench.url, Memory):
                row = bench.url.database.schedules["job"]
                row.backfill, row.revision = (after, until), row.revision + 1
            else:
                await bench.rows("select * from outlast.backfill_schedule('job', %s, %s)", after, until)

            async def done() -> bool:
                row = await schedule_row(bench, "job")
                return (row.get("backfill") or row.get("backfill_until")) is None

            await bench.until(done)
        ids = await started(bench, "job", count)
        assert [nominal_of(each) for each in ids] == [
            after + timedelta(seconds=EACH_S * (n + 1)) for n in range(count)
        ]


async def test_a_tick_of_the_past_that_is_refused_stops_no_other(database: str) -> None:
    """As by a trigger of the project's."""
    async with hourly(told(every(seconds=EACH_S)), database) as bench:
        until = (await schedule_row(bench, "job"))["nominal_at"] - timedelta(seconds=EACH_S)
        times = [until - timedelta(seconds=EACH_S * n) for n in range(3)][::-1]
        bad = tick_id("job", times[1])
        after = times[0] - timedelta(seconds=1)
        if isinstance(bench.url, Memory):
            bench.url.database.refusing[bad] = RowRefused
            row = bench.url.database.schedules["job"]
            row.backfill, row.revision = (after, until), row.revision + 1
        else:
            await refuse(bench, bad)
            await bench.rows("select * from outlast.backfill_schedule('job', %s, %s)", after, until)
        ids = await started(bench, "job", 2)
        assert [nominal_of(each) for each in ids] == [times[0], times[2]]
        assert await noted(bench, "job", 1) == [("skipped", 1)]
        if not isinstance(bench.url, Memory):
            (why,) = await bench.rows("select reason, nominal_at from outlast.ticks")
            assert (why["reason"], why["nominal_at"]) == ("not this one", times[1])


# --- what functions do --------------------------------------------------------------------------------


@workflow
async def told_later(n: int = 0) -> list[Any]:
    tick = context().tick
    return [n, tick is not None and tick.schedule]


@step
async def make(name: str, seconds: int) -> None:
    await schedules.create(name, told_later, every(seconds=seconds, input={"n": seconds}))


@step
def pause_and_resume(name: str) -> None:
    _ = schedules.pause(name, "because")
    _ = schedules.pause(name, "because")
    _ = schedules.resume(name)


@step
async def run_now(name: str) -> str:
    one = await schedules.trigger(name, idempotency_key="k")
    assert (await schedules.trigger(name, idempotency_key="k")).workflow_id == one.workflow_id
    return one.workflow_id


@step
async def delete(name: str) -> None:
    await schedules.delete(name)
    with pytest.raises(ScheduleNotFound):
        await schedules.pause(name)


async def test_functions_make_and_manage_schedules(database: str) -> None:
    @workflow
    async def flow() -> str:
        await make("mine", EACH_S)
        await make("mine", EACH_S)
        await pause_and_resume.aio("mine")
        return await run_now("mine")

    @workflow
    async def away() -> None:
        await delete("mine")

    async with engine_on(database, flow, away, told_later) as bench:
        ran = await bench.run(flow)
        assert await bench.result(ran) == [EACH_S, "mine"]
        row = await planned(bench, "mine")
        assert row["function"] == "told_later"
        await age(bench, "mine", EACH_S)
        await started(bench, "mine", 2)
        await bench.run(away)


async def test_functions_count_and_start_ticks_of_the_past(database: str) -> None:
    @step
    async def fill(dry_run: bool) -> int:
        row = await planned(bench, "job")
        until = row["nominal_at"] - timedelta(seconds=EACH_S)
        found = await schedules.backfill("job", until - timedelta(seconds=3 * EACH_S), until, dry_run=dry_run)
        assert found.newest[-1] == until
        return found.count

    @workflow
    async def flow() -> list[int]:
        return [await fill(True), await fill(False)]

    async with engine_on(database, flow, told(every(seconds=EACH_S))) as bench:
        assert await bench.run(flow) == [3, 3]
        await started(bench, "job", 3)


async def test_what_a_body_may_not_do_to_schedules(database: str) -> None:
    @workflow
    async def flow() -> None:
        with pytest.raises(UsageError, match="put it into a step"):
            await schedules.pause("mine")

    async with engine_on(database, flow) as bench:
        await bench.run(flow)


async def test_a_bad_schedule_is_refused_where_it_is_made(database: str) -> None:
    @step
    async def declared() -> None:
        with pytest.raises(UsageError, match="is declared by a function's file"):
            await schedules.create("job", told_later, every(seconds=5))
        with pytest.raises(UsageError, match="is declared by a function's file"):
            await schedules.delete("job")

    @workflow
    async def flow() -> None:
        await declared()

    async with engine_on(database, flow, told_later, told(every(seconds=EACH_S))) as bench:
        await planned(bench, "job")
        await bench.run(flow)
