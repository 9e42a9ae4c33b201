"""Which records stay where a workflow goes on from an earlier one: what can't depend on what is dropped."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from outlast import sleep, step, workflow
from tests.engine.harness import engine_on
from tests.store.harness import rows

ONE = "insert into outlast.workflow_status (workflow_id, function, status) values ('w', 'f', 'ERROR')"
NOTE = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, error, completion_order, called_after, kind
) values ('w', %s, %s, %s, %s, %s, %s, %s)
"""
STAYING = """
select o.name, o.error is not null, o.step_id in (select outlast.records_kept(o.workflow_id, f.steps))
from outlast.operation_outputs o cross join (select array[outlast.failed_step(%s)] as steps) f
order by completion_order
"""
KEPT = "select array(select outlast.records_kept('w', %s) order by 1)"


@step
async def work(number: int) -> int:
    if number == 2:
        raise ValueError("two")
    return number


@workflow
async def beside_each_other() -> int:
    first = await work(1)
    await asyncio.gather(work(2), work(3), work(4), return_exceptions=True)
    await sleep(0)
    return first + await work(5)


async def test_what_was_called_before_a_failure_came_stays(database: str) -> None:
    async with engine_on(database, beside_each_other) as bench:
        workflow_id = await bench.start(beside_each_other)
        assert await bench.result(workflow_id) == 6
    found = await rows(database, STAYING, workflow_id)
    assert found[0] == ("work", False, True)
    assert sorted(found[1:4]) == [("work", False, True), ("work", False, True), ("work", True, False)]
    assert [each[2] for each in found[4:]] == [False, False]


@pytest.mark.parametrize(
    ("dropped", "kept"),
    [
        ([], ["1", "2", "3", "4", "5"]),
        (["2"], ["1", "3"]),
        (["3"], ["1", "2"]),
        (["5"], ["1", "2", "3", "4"]),
        (["1", "3"], []),
    ],
    ids=str,
)
def test_an_order_of_records(database: str, dropped: list[str], kept: list[str]) -> None:
    """2 and 3 were called beside each other; of 4 it isn't known when; 5 is a wait."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ONE)
        for step_id, place, called in (("1", 1, 0), ("2", 2, 1), ("3", 3, 1), ("4", 4, None), ("5", None, 3)):
            connection.execute(NOTE, (step_id, "s", "1", None, place, called, "step"))
        assert connection.execute(KEPT, (dropped,)).fetchone() == (kept,)


def test_a_step_is_named_by_its_id_or_by_a_name_of_one(database: str) -> None:
    named = "select outlast.step_named('fork_workflow', 'from', 'w', %s)"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ONE)
        for step_id, name in (("1", "a"), ("2", "b"), ("3", "b")):
            connection.execute(NOTE, (step_id, name, "1", None, int(step_id), 0, "step"))
        for text, found in (("1", "1"), ("a", "1"), ("3", "3")):
            assert connection.execute(named, (text,)).fetchone() == (found,)
        for text, told in (("b", r"several steps: .* such as 2, 3"), ("c", "no recorded step")):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=told):
                connection.execute(named, (text,))


def test_what_was_undone_or_may_have_been_is_not_kept_as_done(database: str) -> None:
    """A saga of three steps: the last one is undone, the undo of the second one has begun."""
    note = '{"step": "%s", "undo": "free"}'
    records: list[tuple[Any, ...]] = [
        *(
            record
            for place, name in ((1, "a"), (3, "b"), (5, "c"))
            for record in (
                (str(place), f"undo {name}", note % name, None, place, place - 1, "undo"),
                (str(place + 1), name, "1", None, place + 1, place, "step"),
            )
        ),
        ("7", "pay", None, '{"message": "no"}', 7, 6, "step"),
        ("8.1", "undoing", '{"total": 3, "next": "5"}', None, 8, 7, "undo"),
        ("8.2", "free", "1", None, 9, 8, "step"),
        ("8.3", "undone", '{"step": "c", "undo": "free", "next": "3", "since": "8.1"}', None, 10, 9, "undo"),
    ]
    check = "select outlast.check_undone('fork_workflow', 'w', %s)"
    every = [each[0] for each in records]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ONE)
        for each in records:
            connection.execute(NOTE, each)
        for kept in ([], ["1", "2"], every[:8], every):
            connection.execute(check, (kept,))
        for kept, undone in ((every[:4], "b"), (every[:7], "b"), (["1", "5", "6"], "c")):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=f"has undone {undone}, or"):
                connection.execute(check, (kept,))
        for steps, more in (([], set()), (["7"], {"3", "5"}), (["8.3"], set()), (["4"], {"3"})):
            found = connection.execute("select outlast.with_undone('w', %s)", (steps,)).fetchone()
            assert found is not None
            assert set(found[0]) == {*steps, *more}
