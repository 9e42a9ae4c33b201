"""The cases of maps on Postgres, and what only it has: queries, and commits that meet."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from outlast import map_, rows, workflow
from outlast.store.maps import PostgresMaps
from tests.engine import map_cases
from tests.engine.harness import Bench, engine_on
from tests.engine.map_cases import *  # noqa: F403
from tests.engine.map_cases import doubled, item, ran

pytestmark = pytest.mark.postgres


@workflow
async def over_query(query: str, parameters: list[Any]) -> Any:
    result = await map_(item, rows(query, *parameters), concurrency=400)
    return [len(result), sum(result)]


@workflow
async def over_keys(query: str) -> Any:
    result = await map_(describe, rows(query), key=lambda row: row["name"], tolerate=1.0)
    return [[[key, value] for key, value in result.ok], [[key, str(error)] for key, error in result.failed]]


@workflow
async def describe(row: dict[str, Any]) -> str:
    if row["age"] is None:
        raise ValueError("no age")
    return f"{row['name']} is {row['age']}"


async def prepare(bench: Bench, *statements: str) -> None:
    for each in statements:
        await bench.rows(each)


@pytest.mark.slow
async def test_a_query_gives_the_items_as_they_were_when_the_map_began(database: str) -> None:
    async with engine_on(database, over_query, item) as bench:
        await prepare(bench, "create table numbers as select n from generate_series(1, 2500) as n")
        query = "select n from numbers where n <= %s order by n;"
        parent_id = await bench.start(over_query, query, [2_400])
        assert await bench.result(parent_id) == [2_400, sum(range(2_401)) * 2]
        assert set(ran) == set(range(1, 2_401))
        assert await bench.rows("select count(*)::int as n from outlast.map_sources") == [{"n": 0}]


async def test_rows_that_change_between_two_blocks_change_nothing(database: str) -> None:
    """The instance is lost after the first block; meanwhile rows go and others come."""
    reached = asyncio.Event()
    async with engine_on(database, over_query, item) as bench:
        await prepare(bench, "create table numbers as select n from generate_series(1, 1500) as n")
        maps = bench.engine._executor._services.maps
        assert isinstance(maps, PostgresMaps)
        start_block = maps.start_block

        async def stops(fence: Any, map_id: str, first: int, *rest: Any) -> Any:
            if first == 1_000:
                reached.set()
                await asyncio.Event().wait()
            return await start_block(fence, map_id, first, *rest)

        maps.start_block = stops  # type: ignore[method-assign, assignment]
        parent_id = await bench.start(over_query, "select n from numbers order by n", [])
        await asyncio.wait_for(reached.wait(), 30)
        await bench.until(lambda: len(ran) == 1_000)
        await bench.abandon()
        await prepare(bench, "delete from numbers where mod(n, 2) = 0", "insert into numbers values (0)")
    async with engine_on(database, over_query, item) as bench:
        assert await bench.result(parent_id) == [1_500, sum(range(1_501)) * 2]
    assert set(ran) == set(range(1, 1_501))


async def test_rows_of_several_columns_are_objects_and_may_have_keys(database: str) -> None:
    async with engine_on(database, over_keys, describe) as bench:
        people = "(values ('Anna', 31), ('Bo', null), ('Ödön', 7)) as p (name, age)"
        found = await bench.run(over_keys, f"select name, age from {people}")
        assert found == [[["Anna", "Anna is 31"], ["Ödön", "Ödön is 7"]], [["Bo", "no age"]]]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select name, 1 as age from (values ('a'), ('b'), ('a')) as p (name)", "two items have one key"),
        ("select * from nowhere", 'relation "nowhere" does not exist'),
        ("delete from outlast.messages", "syntax error"),
        ("select n::text as name, n as age from generate_series(1, 1000001) as n", "at most 1,000,000 rows"),
    ],
)
async def test_queries_that_can_not_be_are_told(database: str, query: str, told: str) -> None:
    async with engine_on(database, over_keys, describe) as bench:
        error = await bench.failure(await bench.start(over_keys, query))
        assert error["failure"]["type"] == "UsageError"
        assert told in error["failure"]["message"]


async def test_a_query_that_conflicts_again_and_again_is_told(database: str) -> None:
    async with engine_on(database, over_keys, describe) as bench:
        await prepare(
            bench,
            "create function public.conflicts() returns text language plpgsql as"
            " $$ begin raise exception using errcode = '40001', message = 'as ever'; end $$",
        )
        error = await bench.failure(await bench.start(over_keys, "select conflicts() as name, 1 as age"))
        assert error["failure"]["type"] == "UsageError"
        assert "as ever" in error["failure"]["message"]


async def test_no_rows_are_no_map(database: str) -> None:
    async with engine_on(database, over_query, item) as bench:
        parent_id = await bench.start(over_query, "select 1 where false", [])
        assert await bench.result(parent_id) == [0, 0]
        assert await bench.rows("select workflow_id from outlast.workflow_status where map is not null") == []


async def test_of_two_last_items_that_end_at_once_the_later_one_ends_the_map(database: str) -> None:
    """Two instances commit them: neither sees the other's end before both have looked."""
    for each in (1, 2):
        map_cases.gates[each] = asyncio.Event()
    async with engine_on(database, doubled, item) as bench:
        parent_id = await bench.start(doubled, [1, 2])
        await bench.until(lambda: map_cases.running == {1, 2})
        end = (
            "update outlast.workflow_status set status = 'SUCCESS', owner = null, output = '2',"
            " epoch = epoch + 1, untold = false where workflow_id = %s"
        )
        look = "select outlast.end_maps(array[%s])"
        async with (
            await psycopg.AsyncConnection.connect(bench.url) as one,
            await psycopg.AsyncConnection.connect(bench.url) as other,
        ):
            first, second = f"{parent_id}/map.1/0", f"{parent_id}/map.1/1"
            await one.execute(end, [first])
            await other.execute(end, [second])
            found = await (await one.execute(look, [first])).fetchone()
            assert found == ([],)
            later = asyncio.ensure_future(other.execute(look, [second]))
            await bench.until(lambda: waits_for_a_lock(bench))
            await one.commit()
            found = await (await later).fetchone()
            await other.commit()
            assert found == ([f"{parent_id}/map.1"],)
        assert await bench.result(parent_id) == [2, 2]


async def waits_for_a_lock(bench: Bench) -> bool:
    return bool(
        await bench.rows(
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
    )


async def test_the_concurrency_of_a_map_may_be_changed_while_it_runs(database: str) -> None:
    for each in range(20):
        map_cases.gates[each] = asyncio.Event()
    async with engine_on(database, doubled, item) as bench:
        parent_id = await bench.start(doubled, list(range(20)))
        await bench.until(lambda: len(map_cases.running) == 3)
        await bench.rows(
            "update outlast.queues set override = '{\"concurrency\": 10}' where name = %s",
            f"{parent_id}/map.1",
        )
        await bench.until(lambda: len(map_cases.running) == 10)
        for gate in map_cases.gates.values():
            gate.set()
        await bench.result(parent_id)
        assert map_cases.most[0] == 10
