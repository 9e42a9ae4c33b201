"""Batches as the database takes them: what is accepted, what is refused, what is left of a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outlast.core.ports import BadData
from outlast.core.records import Batch, Committed, Ending, FencedWrite, NewWorkflow, StepRecord, Suspension
from outlast.core.status import Status
from outlast.store import journal as journal_module
from outlast.store.connections import Database
from outlast.store.journal import PostgresJournal
from tests.engine.wire import reading_along

NAME = "journal of the test"
JOURNALS = f"where application_name = '{NAME}' and datname = current_database()"
SUCCESS = Ending(Status.SUCCESS, output='{"a": "\\"b\\""}')


@pytest.fixture(params=["sessions", "pooler"])
async def journal(database: str, request: pytest.FixtureRequest) -> AsyncIterator[PostgresJournal]:
    """The journal of instance `me`."""
    sessions = request.param == "sessions"
    opened = PostgresJournal(Database.at(database, NAME, sessions=sessions), "me")
    yield opened
    await opened.close()


def rows(database: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


def starts(*ids: str) -> list[NewWorkflow]:
    return [NewWorkflow(each, "f", "{}", idempotency_key='k"\\,{}') for each in ids]


def step(number: int, output: str = "1") -> StepRecord:
    return StepRecord(str(number), "s", output, None, 1, number)


async def test_all_kinds_in_one_batch_are_one_transaction(journal: PostgresJournal, database: str) -> None:
    await journal.commit(Batch(1, starts("runs", "ends", "sleeps", "stops"), []))
    writes = [
        FencedWrite("runs", 1, [step(1), step(2)]),
        FencedWrite("ends", 1, [step(1)], SUCCESS),
        FencedWrite("sleeps", 1, [], Suspension(9e9)),
        FencedWrite("stops", 1, [], Ending(Status.ERROR, error='{"code": "x"}')),
    ]
    done = await journal.commit(Batch(2, starts("new"), writes))
    assert done == Committed(frozenset({"new"}), frozenset({"runs", "ends", "sleeps", "stops"}))
    statuses = rows(database, "select workflow_id, status from outlast.workflow_status order by 1")
    assert statuses == [
        ("ends", "SUCCESS"),
        ("new", "PENDING"),
        ("runs", "PENDING"),
        ("sleeps", "PENDING"),
        ("stops", "ERROR"),
    ]
    steps = rows(database, "select workflow_id, step_id from outlast.operation_outputs order by 1, 2")
    assert steps == [("ends", "1"), ("runs", "1"), ("runs", "2")]
    written = """
        select count(distinct xmin::text) from (
            select xmin from outlast.workflow_status where nonce = 2 union all
            select xmin from outlast.operation_outputs
        ) as written
    """
    assert rows(database, written) == [(1,)]
    (key,) = {row[0] for row in rows(database, "select idempotency_key from outlast.workflow_status")}
    assert key == 'k"\\,{}'


async def test_a_refused_fence_lets_nothing_of_its_workflow_in(
    journal: PostgresJournal, database: str
) -> None:
    await journal.commit(Batch(1, starts("mine", "older", "foreign", "taken"), []))
    rows(
        database, "update outlast.workflow_status set owner = 'you' where workflow_id = 'foreign' returning 1"
    )
    for end in (None, SUCCESS):
        writes = [
            FencedWrite("mine", 1, [step(1 if end is None else 2)], end),
            FencedWrite("older", 7, [step(1)], end),
            FencedWrite("foreign", 1, [step(1)], end),
            FencedWrite("missing", 1, [step(1)], end),
        ]
        done = await journal.commit(Batch(2, starts("taken", "fresh" if end is None else "fresher"), writes))
        assert done.accepted == {"mine"}
        assert done.started == {"fresh" if end is None else "fresher"}
    assert rows(database, "select distinct workflow_id from outlast.operation_outputs") == [("mine",)]


async def test_a_step_that_stands_there_is_not_accepted_but_a_sleep_that_is_over_is(
    journal: PostgresJournal, database: str
) -> None:
    await journal.commit(Batch(1, starts("a", "b"), []))
    asleep = StepRecord("1", "s", "9e9", None, 1, None)
    first = Batch(2, [], [FencedWrite("a", 1, [asleep]), FencedWrite("b", 1, [step(1)])])
    assert (await journal.commit(first)).accepted == {"a", "b"}
    again = Batch(3, [], [FencedWrite("a", 1, [step(1)]), FencedWrite("b", 1, [step(1, "2"), step(2)])])
    assert (await journal.commit(again)).accepted == {"a"}
    # As after an answer that was lost: the same nonce tells whose the rows are.
    assert (await journal.commit(first)).accepted == set()
    assert set(await journal.confirm(first)) == {"b"}


async def test_a_batch_is_confirmed_only_where_all_of_it_was_written(
    journal: PostgresJournal, database: str
) -> None:
    """A stranger's record stands in the way of one step; the other step, or the end, went in beside it."""
    await journal.commit(Batch(1, starts("a", "b", "c", "d"), []))
    taken = Batch(2, [], [FencedWrite(each, 1, [step(1)]) for each in ("a", "b")])
    assert (await journal.commit(taken)).accepted == {"a", "b"}
    batch = Batch(
        3,
        starts("e"),
        [
            FencedWrite("a", 1, [step(1), step(2)]),
            FencedWrite("b", 1, [step(1)], SUCCESS),
            FencedWrite("c", 1, [step(1), step(2)]),
            FencedWrite("d", 1, [step(1)], SUCCESS),
        ],
    )
    assert (await journal.commit(batch)).accepted == {"c", "d"}
    assert set(await journal.confirm(batch)) == {"c", "d", "e"}


@pytest.mark.parametrize(
    "bad",
    [
        NewWorkflow("bad", "f", "{"),
        NewWorkflow("bad", "f", "{}", idempotency_key="a\0b"),
        NewWorkflow("bad", "f", "{}", idempotency_key="\ud800"),
        FencedWrite("good", 1, [step(1, "{")]),
        FencedWrite("good", 1, [step(1)], Ending(Status.SUCCESS, output="{")),
    ],
)
async def test_bad_data_is_refused_with_all_that_came_along(
    journal: PostgresJournal, database: str, bad: NewWorkflow | FencedWrite
) -> None:
    await journal.commit(Batch(1, starts("good"), []))
    pid = f"select pid from pg_stat_activity {JOURNALS}"
    before = rows(database, pid)
    new, write = (bad, None) if isinstance(bad, NewWorkflow) else (starts("new")[0], bad)
    with pytest.raises(BadData):
        await journal.commit(Batch(2, [new], [write] if write else [FencedWrite("good", 1, [step(1)])]))
    assert rows(database, "select 1 from outlast.operation_outputs") == []
    assert rows(database, "select workflow_id, status from outlast.workflow_status") == [("good", "PENDING")]
    # Nothing is wrong with the connection.
    assert (await journal.commit(Batch(3, starts("new"), []))).started == {"new"}
    assert rows(database, pid) == before


async def test_a_connection_that_ended_while_idle_costs_no_commit(
    journal: PostgresJournal, database: str
) -> None:
    await journal.commit(Batch(1, starts("a"), []))
    rows(database, f"select pg_terminate_backend(pid, 10000) from pg_stat_activity {JOURNALS}")
    async with asyncio.timeout(30):
        while not (journal._wire and journal._wire.lost):
            await asyncio.sleep(0.005)
    assert (await journal.commit(Batch(2, starts("b"), []))).started == {"b"}


async def test_the_statement_is_planned_anew_every_so_often(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "REPLAN_AFTER", 3)
    async with reading_along(database, tmp_path) as (url, traffic):
        opened = PostgresJournal(Database.at(url, NAME, sessions=True), "me")
        for number in range(7):
            done = await opened.commit(Batch(number, starts(f"w{number}"), []))
            assert done.started == {f"w{number}"}
        await opened.close()
    # Within the round trip of a commit.
    assert traffic.count("discard plans") == 2
