"""Starting: one row for one id, durable before anybody is answered, and told to whoever waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import step, workflow
from outlast.core.errors import KeyReused, ShuttingDown
from outlast.core.records import Batch, Committed, WorkflowState, WorkflowStates
from outlast.core.status import Status
from tests.engine.harness import Bench, engine_on
from tests.store.harness import under_way, waits_for_a_lock

RECOVERED = "update outlast.workflow_status set owner = null, epoch = epoch + 1, claimable_at = now()"
QUIET: dict[str, Any] = {"lease_ttl_s": 60.0, "tick_s": 30.0}


class Counted:
    """How often the step of `flow` ran, and when it may end."""

    def __init__(self) -> None:
        self.runs = 0
        self.open = asyncio.Event()


counted: list[Counted] = []


@step
async def count() -> None:
    counted[-1].runs += 1
    await counted[-1].open.wait()


@workflow
async def flow(number: int) -> int:
    await count()
    return number


@pytest.fixture(autouse=True)
def counter() -> Counted:
    counted[:] = [Counted()]
    return counted[0]


async def start(bench: Bench, number: int) -> WorkflowState | None:
    """Start workflow `w` of that input; how it stands if it was there."""
    new = bench.new(flow.definition, (number,), workflow_id="w")
    return await bench.engine.starts.start_new(new, flow.definition, None)


async def test_whoever_loses_the_race_for_an_id_attaches_and_runs_nothing(
    database: str, counter: Counted
) -> None:
    async with engine_on(database, flow, **QUIET) as first, engine_on(database, flow, **QUIET) as second:
        assert await start(first, 1) is None
        state = await start(second, 1)
        assert state is not None
        assert (state.status, state.workflow_id) == (Status.PENDING, "w")
        assert not second.live
        with pytest.raises(KeyReused):
            await start(second, 2)
        with pytest.raises(KeyReused):
            await start(first, 2)
        counter.open.set()
        assert await second.result("w") == 1
        assert counter.runs == 1


@pytest.mark.postgres
async def test_a_start_is_answered_when_its_row_is_durable(database: str, counter: Counted) -> None:
    counter.open.set()
    async with engine_on(database, flow, **QUIET) as bench:
        async with under_way(database, "lock table outlast.workflow_status in share mode"):
            started = asyncio.create_task(start(bench, 1))
            await waits_for_a_lock(database, started)
            assert not started.done()
            assert counter.runs == 0
        assert await started is None
        assert await bench.result("w") == 1


@pytest.mark.postgres
async def test_a_start_whose_answer_comes_after_its_recovery_runs_nothing(
    database: str, counter: Counted
) -> None:
    """Others took the instance for lost and its row for theirs to give back; it claimed it itself."""
    async with engine_on(database, flow, **QUIET) as bench:
        commit, committed, go_on = bench.store.journal.commit, asyncio.Event(), asyncio.Event()

        async def slow(batch: Batch) -> Committed:
            done = await commit(batch)
            if batch.starts:
                committed.set()
                await go_on.wait()
            return done

        bench.store.journal.commit = slow  # type: ignore[method-assign]
        started = asyncio.create_task(start(bench, 1))
        await asyncio.wait_for(committed.wait(), 20)
        await bench.rows(RECOVERED)
        await bench.engine._membership._claim()
        claimed = await bench.until(lambda: bench.live.get("w"))
        go_on.set()
        await started
        assert bench.live["w"] is claimed
        counter.open.set()
        assert await bench.result("w") == 1
        assert counter.runs == 1


@pytest.mark.postgres
async def test_an_instance_that_leaves_starts_nothing(database: str, counter: Counted) -> None:
    async with engine_on(database, flow, **QUIET) as bench:
        await start(bench, 1)
        await bench.until(lambda: counter.runs)
        leaving = asyncio.create_task(bench.engine.close())
        await bench.until(lambda: bench.engine.stopping)
        new = bench.new(flow.definition, (1,), workflow_id="v")
        with pytest.raises(ShuttingDown):
            await bench.engine.starts.start_new(new, flow.definition, None)
        counter.open.set()
        await leaving
        rows = await bench.rows("select workflow_id from outlast.workflow_status")
        assert rows == [{"workflow_id": "w"}]


async def test_who_asks_during_anothers_query_is_answered_too(database: str, counter: Counted) -> None:
    counter.open.set()
    async with engine_on(database, flow, **QUIET) as bench, asyncio.timeout(15):
        await start(bench, 1)
        await bench.result("w")
        look = bench.store.workflows.states
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def slow(ids: list[str]) -> WorkflowStates:
            found = await look(ids)
            asked.set()
            await go_on.wait()
            return found

        bench.store.workflows.states = slow  # type: ignore[method-assign, assignment]
        looks = [asyncio.create_task(bench.engine._waits.look("w"))]
        await asked.wait()
        looks.append(asyncio.create_task(bench.engine._waits.look("w")))
        await asyncio.sleep(0)
        go_on.set()
        for found in await asyncio.gather(*looks):
            assert found is not None
            assert found.status is Status.SUCCESS


@pytest.mark.postgres
async def test_whoever_waits_for_what_went_elsewhere_is_answered_from_there(
    database: str, counter: Counted
) -> None:
    async with engine_on(database, flow, **QUIET) as first, engine_on(database, flow, **QUIET) as second:
        await start(first, 1)
        result = asyncio.create_task(first.result("w"))
        await first.until(lambda: counter.runs)
        await first.rows(RECOVERED)
        await second.engine._membership._claim()
        await first.engine._membership._beat()
        await first.until(lambda: not first.live)
        counter.open.set()
        async with asyncio.timeout(15):
            assert await result == 1
