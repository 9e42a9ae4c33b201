"""The functions by which schedules tick, on Postgres: what is done under the lock of the row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from outlast.core.schedules import Declared, Order, Overlap, Policies, Schedule, decide
from outlast.core.timetables import Cron, Every
from outlast.store.postgres import PostgresStore
from tests.store.harness import rows, store_of

HOUR = timedelta(hours=1)


@pytest.fixture
async def store(database: str) -> AsyncIterator[PostgresStore]:
    async with store_of(database) as store:
        await store.instances.beat(60.0)
        yield store


def declared(name: str = "s", seconds: int = 3600, function: str = "f", **policies: Any) -> Declared:
    return Declared(name, function, "v1", Schedule(Every(seconds), Policies(**policies), name))


async def planned(store: PostgresStore, database: str, each: Declared) -> Order:
    """A schedule with a time that has come, and what is decided about it."""
    assert await store.schedules.declare([each], []) == [(each.name, "declared")]
    await store.schedules.tick([decide(row) for row in (await store.schedules.due()).due])
    await rows(
        database,
        "update outlast.schedules set nominal_at = date_trunc('second', now()),"
        " next_at = date_trunc('second', now()), revision = revision + 1",
    )
    (due,) = (await store.schedules.due()).due
    return Order(due.name, due.revision, due.nominal_at, None, (), 0, due.now + HOUR, due.now + HOUR)


async def count(database: str) -> int:
    found = await rows(database, "select count(*)::int from outlast.workflow_status")
    return found[0][0]


async def test_an_order_is_done_once(store: PostgresStore, database: str) -> None:
    order = await planned(store, database, declared(overlap=Overlap.ALLOW))
    (ticked,) = await store.schedules.tick([order])
    assert (ticked.outcome, await count(database)) == ("started", 1)
    assert order.nominal is not None
    again = replace(order, nominal=order.nominal + HOUR)
    assert await store.schedules.tick([again]) == []
    assert await count(database) == 1


async def test_an_order_by_an_older_row_does_nothing(store: PostgresStore, database: str) -> None:
    order = await planned(store, database, declared())
    await rows(database, "update outlast.schedules set revision = revision + 1")
    assert await store.schedules.tick([order]) == []
    assert await count(database) == 0


async def test_a_row_that_somebody_holds_is_left_to_them(store: PostgresStore, database: str) -> None:
    order = await planned(store, database, declared())
    async with await psycopg.AsyncConnection.connect(database) as other:
        await other.execute("select from outlast.schedules for update")
        async with asyncio.timeout(10):
            assert await store.schedules.tick([order]) == []
    assert [each.outcome for each in await store.schedules.tick([order])] == ["started"]


async def test_many_instances_start_a_tick_once(database: str, store: PostgresStore) -> None:
    order = await planned(store, database, declared(overlap=Overlap.ALLOW))
    async with store_of(database, "a") as one, store_of(database, "b") as other:
        found = await asyncio.gather(*(each.schedules.tick([order]) for each in (store, one, other) * 3))
    assert sum(len(each) for each in found) == 1
    assert await count(database) == 1


async def test_a_tick_is_skipped_under_the_lock(store: PostgresStore, database: str) -> None:
    order = await planned(store, database, declared())
    await store.schedules.tick([order])
    (row,) = await rows(database, "select revision from outlast.schedules")
    assert order.nominal is not None
    later = replace(order, revision=row[0], nominal=order.nominal + HOUR)
    assert [each.outcome for each in await store.schedules.tick([later])] == ["skipped"]
    ((outcome, reason),) = await rows(database, "select outcome, reason from outlast.ticks")
    assert (outcome, reason.endswith(" still runs")) == ("skipped", True)


async def test_it_is_paused_by_failures_in_a_row(store: PostgresStore, database: str) -> None:
    order = await planned(store, database, declared(pause_after=1))
    await store.schedules.tick([order])
    await rows(
        database,
        "update outlast.workflow_status set status = 'ERROR', completed_at = now(), claimable_at = null",
    )
    (row,) = await rows(database, "select revision from outlast.schedules")
    assert order.nominal is not None
    later = replace(order, revision=row[0], nominal=order.nominal + HOUR)
    assert [each.outcome for each in await store.schedules.tick([later])] == ["paused"]
    assert await count(database) == 1


@pytest.mark.parametrize(
    "changed",
    [
        declared(jitter_s=0.001),
        declared(times=5),
        declared(function="g"),
        declared(until=datetime(2999, 1, 1, tzinfo=UTC)),
    ],
    ids=["jitter", "times", "function", "until"],
)
async def test_a_change_of_its_options_takes_no_tick_that_is_due(
    store: PostgresStore, database: str, changed: Declared
) -> None:
    order = await planned(store, database, declared(seconds=1))
    changed = replace(changed, schedule=replace(changed.schedule, timetable=Every(1)))
    assert await store.schedules.declare([changed], []) == [("s", "changed")]
    (due,) = (await store.schedules.due()).due
    assert order.nominal is not None
    assert decide(due).next_nominal == order.nominal


async def test_a_tick_that_is_absorbed_is_run_and_one_that_is_attached_is_not(
    store: PostgresStore, database: str
) -> None:
    """Each moment is handled by one tick: from its `previous` to its `nominal`."""
    order = await planned(store, database, declared(overlap=Overlap.ALLOW))
    options = '{"debounce": {"quiet": 60, "at_most": 600}}'
    await rows(
        database, f"insert into outlast.queues (name, base, functions) values ('q', '{options}', '{{f}}')"
    )

    async def tick(hours: int) -> str:
        (row,) = await rows(database, "select revision from outlast.schedules")
        assert order.nominal is not None
        later = replace(order, revision=row[0], nominal=order.nominal + hours * HOUR)
        (ticked,) = await store.schedules.tick([later])
        return ticked.outcome

    assert [await tick(0), await tick(1)] == ["started", "started"]
    query = "select (tick ->> 'nominal')::timestamptz, tick ->> 'previous' from outlast.workflow_status"
    assert order.nominal is not None
    assert await rows(database, query) == [(order.nominal + HOUR, None)]
    await rows(
        database,
        """with q as (update outlast.queues set base = '{"exclusive": true, "on_busy": "attach"}')
        update outlast.workflow_status set status = 'PENDING', owner = 'me', claimable_at = null""",
    )
    assert await tick(2) == "skipped"
    ((last_at,),) = await rows(database, "select last_at from outlast.schedules")
    assert last_at == order.nominal + HOUR
    ((reason,),) = await rows(database, "select reason from outlast.ticks")
    assert reason.startswith("queue q attached it to schedule:s:")


async def test_who_runs_is_cancelled_only_if_the_next_tick_is_taken(
    store: PostgresStore, database: str
) -> None:
    order = await planned(store, database, declared(overlap=Overlap.CANCEL))
    await rows(
        database,
        """insert into outlast.queues (name, base, functions) values ('q', '{"max_backlog": 1}', '{f}')""",
    )
    await store.schedules.tick([order])
    await rows(
        database, "update outlast.workflow_status set status = 'PENDING', owner = 'me', claimable_at = null"
    )
    await rows(database, "select outlast.start('f', '{}')")
    assert order.nominal is not None
    later = replace(order, revision=order.revision + 1, nominal=order.nominal + HOUR)
    running = "select status from outlast.workflow_status where tick is not null order by created_at"
    (refused,) = await store.schedules.tick([later])
    assert (refused.outcome, await rows(database, running)) == ("skipped", [("PENDING",)])
    assert await rows(database, "select reason from outlast.ticks") == [("queue q is full",)]
    await rows(database, "select outlast.drain_queue('q')")
    again = replace(later, revision=later.revision + 1, nominal=order.nominal + 2 * HOUR)
    (taken,) = await store.schedules.tick([again])
    assert (taken.outcome, await rows(database, running)) == ("started", [("CANCELLED",), ("ENQUEUED",)])


async def test_another_timetable_leaves_a_row_of_the_tick_that_was_due(
    store: PostgresStore, database: str
) -> None:
    order = await planned(store, database, declared())
    assert await store.schedules.declare([declared(seconds=120)], []) == [("s", "changed")]
    found = await rows(database, "select nominal_at, outcome, reason from outlast.ticks")
    assert found == [(order.nominal, "missed", "its timetable was changed before it ran")]
    assert await store.schedules.declare([declared(seconds=180)], []) == [("s", "changed")]
    assert len(await rows(database, "select 1 from outlast.ticks")) == 1  # none was due by the second


async def test_only_the_newest_edition_declares(database: str, store: PostgresStore) -> None:
    old, new = declared(seconds=60), declared(seconds=120)
    assert await store.schedules.declare([old], []) is not None
    async with store_of(database, "new") as other:
        await other.instances.beat(60.0)
        assert await other.schedules.declare([new], []) == [("s", "changed")]
        assert await store.schedules.declare([old], []) is None
        assert await other.schedules.declare([new], []) is None
        await other.instances.leave()
    assert await store.schedules.declare([old], []) == [("s", "changed")]


async def test_schedules_of_broken_files_stay(store: PostgresStore) -> None:
    here, broken = declared("here"), declared("there", function="bad/job")
    await store.schedules.declare([here, broken], [])
    assert await store.schedules.declare([], ["bad"]) == [("here", "orphaned")]


async def test_only_so_many_notes_are_kept(database: str) -> None:
    note = "select outlast.note_tick('s', now(), 'missed', 'why', 1, null) from generate_series(1, 1100)"
    await rows(database, note)
    assert await rows(database, "select count(*)::int from outlast.ticks") == [(1000,)]


async def test_an_expression_that_nobody_can_read_is_told(store: PostgresStore, database: str) -> None:
    await rows(database, "select outlast.schedule('s', 'f', '0 0 30 2 *')")
    work = await store.schedules.due()
    assert work.due == []
    (unusable,) = work.unusable
    await store.schedules.mark_unusable(unusable)
    ((fault,),) = await rows(database, "select fault from outlast.schedules")
    assert "never comes" in fault
    assert (await store.schedules.due()).unusable == []


async def test_what_was_declared_is_read_back(store: PostgresStore) -> None:
    until = datetime(2099, 1, 1, tzinfo=UTC)
    policies = Policies(until=until, times=3, jitter_s=1.5, pause_after=2)
    schedule = Schedule(Cron("0 9 * * 1-5", "Europe/Berlin"), policies, "s", '{"n":1}')
    await store.schedules.declare([Declared("s", "f", "v1", schedule)], [])
    (found,) = (await store.schedules.due()).due
    assert (found.timetable, found.policies, found.nominal_at) == (schedule.timetable, policies, None)


async def test_what_the_queue_of_a_backfill_does_not_take_is_noted(
    store: PostgresStore, database: str
) -> None:
    await planned(store, database, declared())
    await rows(
        database,
        """insert into outlast.queues (name, functions, base) values ('q', '{f}', '{"max_backlog": 3}')""",
    )
    await rows(database, "select outlast.backfill_schedule('s', now() - interval '9 hours 1 second', now())")
    (backfill,) = (await store.schedules.due()).backfills
    times = [backfill.after + n * HOUR for n in range(1, 10)]
    assert await store.schedules.backfill(backfill, times, None) == 3
    assert await rows(
        database, "select outcome, count(*)::int, min(reason) from outlast.ticks group by 1"
    ) == [("skipped", 6, "queue q is full")]
    assert await rows(database, "select skipped::int from outlast.schedules") == [(6,)]
