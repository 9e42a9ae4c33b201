"""A shutdown: what runs may end, nothing begins, and what is left is given back as it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import step, workflow
from tests.engine.harness import Bench, engine_on
from tests.store.harness import under_way, waits_for_a_lock

pytestmark = pytest.mark.postgres

MANY_CYCLES = 200
GIVEN_BACK = {"status": "PENDING", "owner": None, "epoch": 1, "recovery_attempts": 2}


class Steps:
    """What the steps of `flow` do, and which began."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.open, self.go_on = asyncio.Event(), asyncio.Event()


steps: list[Steps] = []


@step
async def first() -> None:
    steps[-1].begun.append("first")
    await steps[-1].open.wait()


@step
async def second() -> None:
    steps[-1].begun.append("second")


@workflow
async def flow() -> None:
    await first()
    await second()


async def leaving(database: str, *, ends_in_time: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Shut an instance down during the first step; the row and the records that it leaves."""
    steps[:] = [Steps()]
    options: dict[str, Any] = {"lease_ttl_s": 60.0, "tick_s": 30.0, "drain_s": 20.0 if ends_in_time else 0.01}
    async with engine_on(database, flow, **options) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(lambda: steps[-1].begun)
        await bench.rows("update outlast.workflow_status set recovery_attempts = 2")
        close = asyncio.create_task(bench.engine.close())
        await bench.until(lambda: bench.engine.stopping)
        if ends_in_time:
            steps[-1].open.set()
        await close
        return await bench.row(workflow_id), await bench.steps(workflow_id)


def kept(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in GIVEN_BACK}


async def test_a_step_that_runs_is_recorded_and_the_next_begins_elsewhere(database: str) -> None:
    row, records = await leaving(database, ends_in_time=True)
    assert steps[-1].begun == ["first"]
    assert [(each["name"], each["error"]) for each in records] == [("first", None)]
    assert kept(row) == GIVEN_BACK
    assert row["claimable_at"] is not None


async def test_a_step_that_takes_too_long_leaves_no_record_and_runs_again_elsewhere(database: str) -> None:
    row, records = await leaving(database, ends_in_time=False)
    assert records == []
    assert kept(row) == GIVEN_BACK
    assert row["claimable_at"] is not None


@step
async def quick() -> None:
    steps[-1].begun.append("quick")
    await steps[-1].go_on.wait()


@workflow
async def two_lines() -> None:
    async def line() -> None:
        await quick()
        await second()

    await asyncio.gather(line(), first())


async def test_nor_does_one_begin_here_that_waited_until_what_came_before_was_durable(database: str) -> None:
    steps[:] = [Steps()]
    async with engine_on(database, two_lines, lease_ttl_s=60.0, tick_s=30.0) as bench:
        workflow_id = await bench.start(two_lines)
        await bench.until(lambda: len(steps[-1].begun) == 2)
        async with under_way(database, "select from outlast.workflow_status for update"):
            steps[-1].go_on.set()
            await waits_for_a_lock(database, bench.live[workflow_id].task)
            close = asyncio.create_task(bench.engine.close())
            await bench.until(lambda: bench.engine.stopping)
        await bench.until(lambda: bench.steps(workflow_id))
        for _ in range(MANY_CYCLES):
            await asyncio.sleep(0)
        steps[-1].open.set()
        await close
        assert sorted(steps[-1].begun) == ["first", "quick"]
        assert [each["name"] for each in await bench.steps(workflow_id)] == ["quick", "first"]


async def again(bench: Bench, workflow_id: str) -> list[str]:
    """Which steps begin when another instance goes on."""
    steps[:] = [Steps()]
    steps[-1].open.set()
    await bench.result(workflow_id)
    return steps[-1].begun


async def test_the_next_instance_goes_on_where_it_was(database: str) -> None:
    row, _ = await leaving(database, ends_in_time=True)
    async with engine_on(database, flow) as bench:
        assert await again(bench, row["workflow_id"]) == ["second"]


async def test_a_lease_is_given_up_after_the_last_moment_of_trust(database: str) -> None:
    trusted: list[bool] = []
    async with engine_on(database, flow) as bench:
        leave = bench.store.instances.leave

        async def watched() -> None:
            trusted.append(bench.engine._lease.trusted)
            await leave()

        bench.store.instances.leave = watched  # type: ignore[method-assign]
        assert bench.engine._lease.trusted
    assert trusted == [False]
