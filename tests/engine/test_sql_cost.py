"""What calls cost the database: round trips and commits, counted on the wire. No timing is asserted."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH, MAX_CACHED_STATEMENT_PARAMS

from outlast import sleep, step, workflow
from outlast.core.observations import WorkflowsClaimed
from outlast.engine.options import EngineOptions
from outlast.store.connections import Database
from outlast.store.queries import for_one_row, load, load_numbered
from tests.engine.harness import engine_on
from tests.engine.wire import reading_along

pytestmark = pytest.mark.postgres

STARTS = "insert into outlast.workflow_status as w"
ENDS = "update outlast.workflow_status w set status = e.status"
WRITES = "insert into outlast.operation_outputs as o"
"""Of what is written the statement has no ends where none does."""
RENEWAL = "insert into outlast.instances as i"
HISTORIES = "from outlast.operation_outputs o where o.workflow_id = d.workflow_id"
SLEEP_S = 0.4


@step
async def one(number: int) -> int:
    return number


@workflow
async def chain(length: int) -> int:
    return sum([await one(number) for number in range(length)])


@workflow
async def nap(length: int) -> int:
    done = sum([await one(number) for number in range(length)])
    await sleep(SLEEP_S)
    return done


@pytest.mark.parametrize("length", [0, 1, 2, 10])
async def test_n_steps_cost_one_commit_each_and_one_for_the_start(
    database: str, tmp_path: Path, length: int
) -> None:
    async with reading_along(database, tmp_path) as (url, traffic), engine_on(url, chain) as bench:
        await bench.run(chain, 1)
        await bench.at_rest()
        traffic.reset()
        await bench.run(chain, length)
        # The last step's record and the end go together; without a step the end has a commit to itself.
        assert traffic.count(STARTS) == 1
        assert traffic.count(WRITES) == max(1, length)
        assert traffic.count(ENDS) == 1
        assert traffic.others(STARTS, WRITES, "outlast.instances") == []


async def test_a_callers_wait_is_one_round_trip_for_each_commit(database: str, tmp_path: Path) -> None:
    async with (
        reading_along(database, tmp_path) as (url, traffic),
        # No tick and no renewal may fall into the call.
        engine_on(url, chain, lease_ttl_s=300.0, tick_s=100.0) as bench,
    ):
        await bench.run(chain, 1)
        await bench.at_rest()
        traffic.reset()
        await bench.run(chain, 1)
        assert (traffic.round_trips, traffic.transactions) == (2, 2), traffic.statements


async def test_steps_that_end_in_one_moment_share_a_commit(database: str, tmp_path: Path) -> None:
    length = 20
    together = asyncio.Barrier(length)

    @step
    async def meet(number: int) -> int:
        await together.wait()
        return number

    @workflow
    async def gather() -> int:
        return sum(await asyncio.gather(*(meet(number) for number in range(length))))

    async with reading_along(database, tmp_path) as (url, traffic), engine_on(url, gather) as bench:
        await bench.run(gather)
        traffic.reset()
        assert await bench.run(gather) == 190
        assert traffic.count(WRITES) <= 3


async def test_workflows_of_one_moment_share_commits(database: str, tmp_path: Path) -> None:
    async with reading_along(database, tmp_path) as (url, traffic), engine_on(url, chain) as bench:
        await bench.run(chain, 1)
        traffic.reset()
        await asyncio.gather(*(bench.run(chain, 1) for _ in range(200)))
        assert max(traffic.count(STARTS), traffic.count(WRITES)) <= 20


async def test_replay_reads_the_records_of_all_it_claims_with_one_query(
    database: str, tmp_path: Path
) -> None:
    async with reading_along(database, tmp_path) as (url, traffic), engine_on(url, nap) as bench:
        await bench.run(nap, 1)
        bench.observations.clear()
        traffic.reset()
        assert await asyncio.gather(*(bench.run(nap, 10) for _ in range(10))) == [45] * 10
        claims = [each for each in bench.observations if isinstance(each, WorkflowsClaimed)]
        assert sum(len(each.workflow_ids) for each in claims) == 10
        assert traffic.count(HISTORIES) == len(claims)


async def test_an_idle_instance_asks_at_most_twice_a_second(database: str, tmp_path: Path) -> None:
    defaults = EngineOptions()
    async with (
        reading_along(database, tmp_path) as (url, traffic),
        engine_on(url, chain, tick_s=defaults.tick_s, lease_ttl_s=defaults.lease_ttl_s) as bench,
    ):
        await bench.run(chain, 1)
        await bench.at_rest()
        traffic.reset()
        began = asyncio.get_running_loop().time()
        await bench.until(lambda: traffic.count(RENEWAL) >= 1)
        passed_s = asyncio.get_running_loop().time() - began
        # Renewals come every third of the lease, claims every tick; one of each may fall on an end.
        assert traffic.round_trips <= 2 * passed_s + 2
        assert traffic.count(STARTS) == traffic.count(WRITES) == 0


@pytest.mark.parametrize("name", ["start_batch", "write_batch", "record_batch"])
@pytest.mark.parametrize("lone", [True, False])
async def test_the_journals_plans_find_workflows_by_their_ids_alone(
    database: str, name: str, lone: bool
) -> None:
    query = load_numbered("journal.sql")[name]
    text = (for_one_row(query) if lone else query).text
    connection = await Database.at(database, "tests").connect(journal=True)
    async with connection:
        # The worst moment to make a plan that stays: the tables are empty.
        plan = await connection.execute(f"explain (generic_plan) {text}".encode())
        lines = [str(row[0]) for row in await plan.fetchall()]
    scans = [each for each in lines if "Scan" in each and "workflow_status" in each]
    assert scans
    assert all(re.search("Index Scan using workflow_status_(pkey|prefix) ", each) for each in scans), scans


@pytest.mark.parametrize("file", ["instances.sql", "journal.sql", "workflows.sql"])
def test_the_driver_keeps_what_it_made_of_every_statement(file: str) -> None:
    for name, statement in load(file).items():
        if name == "write_batch":
            continue  # libpq sends it: see store/wire.py
        text = statement.as_bytes(None)
        assert len(text) <= MAX_CACHED_STATEMENT_LENGTH, f"{name} would be parsed anew at each execution"
        assert text.count(b"%(") <= MAX_CACHED_STATEMENT_PARAMS
