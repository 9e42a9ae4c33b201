"""Ended workflows are removed on Postgres: which ones, what goes with them, and what a batch leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from outlast.core.ports import HeldUp, Place
from outlast.store.connections import Database
from outlast.store.pool import Pool
from outlast.store.retention import PostgresRetention

DAY_S = 86_400.0
KEEP_S = 30 * DAY_S


class Bench:
    """A store, and the rows of its database."""

    def __init__(self, url: str) -> None:
        self.pool = Pool(Database.at(url, "outlast/tests"), 2)
        self.store = PostgresRetention(self.pool)
        self.connection = psycopg.connect(url, autocommit=True)

    def sql(self, text: str, *parameters: Any) -> list[Any]:
        """The first column of each row."""
        cursor = self.connection.execute(text.encode(), parameters)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []

    def add(
        self, workflow_id: str, days_ago: float | None = 40, parent: str | None = None, **columns: Any
    ) -> None:
        """A workflow that ended so long ago; None: it lives."""
        row = {
            "workflow_id": workflow_id, "function": "f", "parent": parent, "untold": False,
            "status": "PENDING" if days_ago is None else "SUCCESS", **columns,
        }  # fmt: skip
        names = ", ".join(row)
        self.sql(
            f"insert into outlast.workflow_status ({names}, completed_at) values ("
            + ", ".join(["%s"] * len(row))
            + ", now() - make_interval(secs => %s))",
            *row.values(),
            None if days_ago is None else days_ago * DAY_S,
        )

    def left(self) -> list[str]:
        """The ids of the workflows that are there."""
        return self.sql("select workflow_id from outlast.workflow_status order by 1")

    async def prune(self, keep_s: float = KEEP_S, most: int = 500, rounds: int = 200) -> int:
        """Remove all that may go; how many. What was announced is what went."""
        told = sum(self.sql("select workflows from outlast.prunable(%s)", keep_s))
        removed, after = 0, Place()
        for _ in range(rounds):
            batch = await self.store.prune(keep_s, after, most)
            assert batch.removed <= most
            removed += batch.removed
            after = batch.after
            if not batch.more:
                assert batch.after == Place()
                assert told == removed
                return removed
        raise AssertionError("it comes to no end")


@pytest.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    bench = Bench(database)
    yield bench
    bench.connection.close()
    await bench.pool.close()


async def test_what_was_kept_for_long_enough_goes_and_all_else_stays(bench: Bench) -> None:
    bench.add("old", 31)
    bench.add("failed", 31, status="ERROR")
    bench.add("young", 29)
    bench.add("alive", None)
    bench.add("queued", None, status="ENQUEUED")
    assert await bench.prune() == 2
    assert bench.left() == ["alive", "queued", "young"]
    assert await bench.prune(0) == 0, "0 keeps all"
    assert await bench.prune(DAY_S) == 1


async def test_how_much_goes_is_told_though_very_much_stays(bench: Bench) -> None:
    bench.sql(
        """
        insert into outlast.workflow_status (workflow_id, function, status, untold, completed_at)
        select 'w' || n, 'f', 'SUCCESS', false, now() from generate_series(1, 20000) as n
        """
    )
    bench.add("old", 31)
    bench.sql("set work_mem = '64kB'")
    bench.sql("set statement_timeout = '15 s'")
    assert bench.sql("select workflows from outlast.prunable(%s)", KEEP_S) == [1]


async def test_functions_that_say_so_keep_theirs_shorter_longer_or_for_ever(bench: Bench) -> None:
    for function in ("short", "long", "ever", "plain"):
        for days in (2, 40, 400):
            bench.add(f"{function}-{days}", days, function=function)
    served = ["short", "long", "ever", "plain"]
    await bench.store.declare({"short": DAY_S, "long": 60 * DAY_S, "ever": None}, served)
    await bench.prune()
    assert bench.left() == ["ever-2", "ever-40", "ever-400", "long-2", "long-40", "plain-2"]
    # Whose instance is away for a while still has its say; whose function says nothing any more, not.
    await bench.store.declare({}, ["long"])
    await bench.prune(0)
    assert bench.left() == ["ever-2", "ever-40", "ever-400", "long-2", "long-40", "plain-2"]
    await bench.prune()
    assert bench.left() == ["ever-2", "ever-40", "ever-400", "long-2", "plain-2"]


async def test_what_a_fork_may_still_read_stays(bench: Bench) -> None:
    bench.add("w", 40)
    bench.add("w/1", 41, "w")
    bench.add("w~2", 40, forked_from="w")
    bench.add("w~3", None, forked_from="w~2")
    bench.add("v", 40)
    bench.add("v~2", 40, forked_from="v")
    assert await bench.prune() == 2
    assert bench.left() == ["w", "w/1", "w~2", "w~3"]
    ended = "update outlast.workflow_status set status = 'SUCCESS', completed_at = now()"
    bench.sql(f"{ended} where workflow_id = 'w~3'")
    assert await bench.prune() == 3


@pytest.mark.parametrize("kind", ["start", "start_all", "map", "step"])
async def test_what_a_fork_reads_if_it_is_retried_stays(bench: Bench, kind: str) -> None:
    bench.add("w", 40)
    bench.add("w/1", 41, "w")
    bench.add("w~2", 40, forked_from="w")
    bench.add("w~3", 1, forked_from="w~2", status="ERROR")
    bench.sql(
        "insert into outlast.operation_outputs (workflow_id, step_id, name, kind, completion_order)"
        " values ('w~3', '1', 'x', %s, 1)",
        kind,
    )
    if kind == "step":
        assert await bench.prune() == 3
        return
    assert await bench.prune() == 0
    # Once that has succeeded it reads nothing more.
    bench.sql("update outlast.workflow_status set status = 'SUCCESS' where workflow_id = 'w~3'")
    assert await bench.prune() == 3
    assert bench.left() == ["w~3"]


@pytest.mark.parametrize("most", [1, 3, 500])
async def test_children_go_with_their_parents_in_batches_of_any_size(bench: Bench, most: int) -> None:
    for tree in ("a", "b", "c"):
        bench.add(tree, 40)
        for n in range(4):
            bench.add(f"{tree}/{n}", 41, tree)
            bench.add(f"{tree}/{n}/1", 42, f"{tree}/{n}")
    bench.add("b/2/1/1", 1, "b/2/1")
    assert await bench.prune(most=most) == 18
    assert bench.left() == sorted(
        ["b", *(f"b/{n}" for n in range(4)), *(f"b/{n}/1" for n in range(4)), "b/2/1/1"]
    )


async def test_a_tree_stays_while_one_of_it_lives(bench: Bench) -> None:
    bench.add("parent", None)
    bench.add("parent/1", 40, "parent")
    bench.add("root", 40)
    bench.add("root/1", None, "root", detached=True)
    assert await bench.prune() == 0


async def test_a_large_tree_is_on_its_way_out_before_it_is_gone(bench: Bench) -> None:
    bench.add("root", 40)
    for n in range(7):
        bench.add(f"root/{n}", 40, "root")
    batch = await bench.store.prune(KEEP_S, Place(), 3)
    assert (batch.removed, batch.more, batch.after) == (3, True, Place())
    assert bench.sql("select removing from outlast.workflow_status where workflow_id = 'root'") == [True]
    with pytest.raises(psycopg.errors.NoDataFound):
        bench.sql("select outlast.fork_workflow('root')")
    while batch.more:
        batch = await bench.store.prune(KEEP_S, batch.after, 3)
    assert bench.left() == []


async def test_what_belongs_to_it_goes_with_it_and_its_key_is_new_again(bench: Bench) -> None:
    bench.sql("select outlast.start('f', '{}', 'k')")
    (workflow_id,) = bench.left()
    bench.sql(
        "update outlast.workflow_status set status = 'SUCCESS', completed_at = now() - interval '40 days',"
        ' claimable_at = null, untold = false, tick = \'{"schedule": "s"}\''
    )
    bench.sql("insert into outlast.operation_outputs (workflow_id, step_id, name) values (%s, '1', 's')",
              workflow_id)  # fmt: skip
    bench.sql("insert into outlast.messages (workflow_id, topic, message) values (%s, 't', '1')", workflow_id)
    bench.sql("insert into outlast.attached (workflow_id, target) values ('x', %s)", workflow_id)
    bench.sql("insert into outlast.ticks (schedule, nominal_at, outcome, reason, workflow_id)"
              " values ('s', now(), 'late', 'r', %s)", workflow_id)  # fmt: skip
    assert await bench.prune() == 1
    for table in ("workflow_status", "operation_outputs", "messages", "attached", "ticks"):
        assert bench.sql(f"select count(*) from outlast.{table}") == [0], table
    assert bench.sql("select outlast.start('f', '{}', 'k')") == [workflow_id]
    assert bench.sql("select status from outlast.workflow_status") == ["ENQUEUED"]


async def test_the_queue_of_a_map_goes_with_it(bench: Bench) -> None:
    bench.add("w", 40)
    bench.add("w/map.1", 40, "w", map='{"total": 1, "started": 1}')
    bench.add("w/map.1/0", 40, "w/map.1", queue="w/map.1")
    bench.sql("insert into outlast.queues (name, base) values ('w/map.1', '{}'), ('other', '{}')")
    bench.sql("insert into outlast.map_sources (map_id, place, item) values ('w/map.1', 0, '1')")
    assert await bench.prune() == 3
    assert bench.sql("select name from outlast.queues") == ["other"]
    assert bench.sql("select count(*) from outlast.map_sources") == [0]


async def test_what_a_large_bulk_was_done_to_goes_before_it(bench: Bench) -> None:
    bench.add("bulk", 40)
    bench.sql("insert into outlast.bulks (bulk_id, verb, arguments, filter, rate, by, total)"
              " values ('bulk', 'retry', '{}', '{}', 1, 'me', 95)")  # fmt: skip
    bench.sql("insert into outlast.bulk_items (bulk_id, place, workflow_id)"
              " select 'bulk', n, 'w' || n from generate_series(1, 95) n")  # fmt: skip
    batch = await bench.store.prune(KEEP_S, Place(), 3)
    assert (batch.removed, batch.more, batch.after) == (0, True, Place())
    assert bench.sql("select count(*) from outlast.bulk_items") == [65]
    assert await bench.prune(most=3) == 1
    assert bench.sql("select count(*) from outlast.bulk_items") == [0]


@pytest.mark.parametrize(
    ("columns", "more"),
    [
        ({}, "insert into outlast.waits (target, waiter) values ('w', 'waiter')"),
        ({"awaited": True, "untold": True}, ""),
        ({"status": "CANCELLED", "untold": True, "started_at": "2026-01-01"}, ""),
        ({}, "insert into outlast.workflow_status (workflow_id, function, status, batch)"
             " values ('member', 'f', 'PENDING', 'w')"),
    ],
    ids=["waited for", "awaited and untold", "its children are to be cancelled", "a batch with members"],
)  # fmt: skip
async def test_nothing_goes_that_somebody_waits_for(bench: Bench, columns: dict[str, Any], more: str) -> None:
    bench.add("w", 40, **columns)
    if more:
        bench.sql(more)
    assert await bench.prune() == 0
    assert "w" in bench.left()


async def test_who_waits_for_an_event_that_never_comes_keeps_nothing(bench: Bench) -> None:
    """It waits for the end too, and was told of that."""
    bench.add("w", 40)
    bench.sql("insert into outlast.waits (target, event, waiter) values ('w', 'e', 'waiter')")
    assert await bench.prune() == 1


async def test_a_row_that_lives_stays_whatever_else_it_says(bench: Bench) -> None:
    """One that was let run again, by whatever way: its former end may still stand there."""
    bench.add("again", 40, status="PENDING")
    assert await bench.prune() == 0


async def test_what_somebody_holds_is_passed_by(bench: Bench, database: str) -> None:
    """It is being retried, say."""
    for each in ("a", "b", "c"):
        bench.add(each, 40)
    bench.add("b/1", 40, "b")
    with psycopg.connect(database) as other:
        other.execute("select from outlast.workflow_status where workflow_id in ('a', 'b/1') for update")
        assert await removed_by(bench, 2) == 1
        assert bench.left() == ["a", "b", "b/1"]
    assert await bench.prune() == 3


async def test_two_never_remove_at_once(bench: Bench, database: str) -> None:
    bench.add("w", 40)
    with psycopg.connect(database) as other:
        other.execute("select outlast.prune(1e9)")
        assert (await bench.store.prune(KEEP_S, Place())).removed == 0
    assert await bench.prune() == 1


async def test_a_batch_reads_no_more_than_it_may_remove(bench: Bench) -> None:
    """Not the rows that live, and not those of the whole history."""
    bench.sql(
        "insert into outlast.workflow_status (workflow_id, function, status, untold, completed_at)"
        " select 'w' || n, 'f', 'SUCCESS', false, now() - interval '40 days' + n * interval '1 s'"
        " from generate_series(1, 20000) n"
    )
    bench.sql("analyze outlast.workflow_status")
    bench.sql("select pg_stat_reset_single_table_counters('outlast.workflow_status'::regclass)")
    assert (await bench.store.prune(KEEP_S, Place(), 100)).removed == 100
    bench.sql("select pg_stat_force_next_flush()")
    (read,) = bench.sql(
        "select coalesce(seq_tup_read, 0) from pg_stat_user_tables where relname = 'workflow_status'"
    )
    assert read == 0


async def test_what_a_table_of_the_project_keeps_holds_up_no_other(bench: Bench) -> None:
    for each in ("a", "kept", "z"):
        bench.add(each)
        bench.add(f"{each}/1", parent=each)
    bench.sql("create table mine (run text references outlast.workflow_status)")
    bench.sql("insert into mine values ('kept/1')")
    batch = await bench.store.prune(KEEP_S, Place())
    assert (batch.removed, bench.left()) == (4, ["kept", "kept/1"])
    bench.sql("delete from mine")
    assert await bench.prune() == 2


@pytest.mark.parametrize("code", ["U0001", "42501", "PT403"])
async def test_what_a_trigger_of_the_project_keeps_holds_up_no_other(bench: Bench, code: str) -> None:
    for each in ("a", "kept", "z"):
        bench.add(each, 40)
    bench.sql(KEEPS.format(code))
    assert await removed_by(bench, 500) == 2
    assert bench.left() == ["kept"]


async def test_of_a_large_tree_what_is_kept_holds_up_neither_the_rest_nor_another_one(bench: Bench) -> None:
    for tree in ("a", "b"):
        bench.add(tree, 40)
        for n in range(7):
            bench.add(f"{tree}/{n}", 41, tree)
    bench.sql("create table mine (run text references outlast.workflow_status)")
    bench.sql("insert into mine values ('a/1')")
    assert await removed_by(bench, 3) == 14
    assert bench.left() == ["a", "a/1"]
    bench.sql("delete from mine")
    assert await bench.prune(most=3) == 2


async def test_what_a_trigger_keeps_without_a_word_holds_up_no_other(bench: Bench) -> None:
    for tree in ("a", "z"):
        bench.add(tree, 40)
        for n in range(7):
            bench.add(f"{tree}/{n}", 41, tree)
    bench.sql(
        "create function public.stay() returns trigger language plpgsql as $$ begin return null; end $$;"
        "create trigger stay before delete on outlast.workflow_status for each row"
        " when (left(old.workflow_id, 1) = 'a') execute function public.stay()"
    )
    assert await removed_by(bench, 3) == 8
    assert bench.left() == ["a", *(f"a/{n}" for n in range(7))]


async def test_a_lock_is_nothing_that_keeps_a_row(bench: Bench) -> None:
    """What is the database's own is raised, and tried again: nothing of it is for the project to mend."""
    bench.add("kept", 40)
    bench.sql(KEEPS.format("55P03"))
    with pytest.raises(HeldUp):
        await bench.prune()


async def removed_by(bench: Bench, most: int) -> int:
    """How many go in one round, where more could be told to go than can."""
    removed, after = 0, Place()
    while (batch := await bench.store.prune(KEEP_S, after, most)).more:
        removed, after = removed + batch.removed, batch.after
    return removed


KEEPS = """
create function public.keep() returns trigger language plpgsql as $$
begin raise exception using errcode = '{}', message = 'not now'; end
$$;
create trigger keep before delete on outlast.workflow_status for each row
  when (old.workflow_id = 'kept') execute function public.keep()
"""
