"""When steps began and ended, and which ones run now."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import sleep, step, transaction, workflow
from tests.engine.harness import Bench, engine_on

SPANS = """
    select
      o.name, o.completion_order, extract(epoch from o.completed_at - o.started_at)::float8 as span_s,
      o.started_at >= w.created_at and o.completed_at <= clock_timestamp() as in_time
    from outlast.operation_outputs o join outlast.workflow_status w using (workflow_id)
    where workflow_id = %s
    order by completion_order
"""


@pytest.mark.postgres
async def test_a_step_ends_after_it_began_by_what_it_took_on_the_databases_clock(database: str) -> None:
    tries = 0

    @step
    async def work() -> None:
        await asyncio.sleep(0.1)

    @step(max_attempts=2, backoff=0.1)
    async def stumble() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError

    @transaction
    async def pay(connection: Any) -> None:
        await connection.execute("select pg_sleep(0.1)")

    @workflow
    async def flow() -> None:
        await work()
        await stumble()
        await pay()
        await sleep(0.1)

    async with engine_on(database, flow) as bench:
        # An instance whose clock is wrong by an hour: dates are of the database's.
        for wrong_s in (3600.0, -3600.0):
            tries = 0
            bench.engine.clock._offset_s += wrong_s
            workflow_id = await bench.start(flow)
            await bench.result(workflow_id)
            found = await bench.rows(SPANS, workflow_id)
            assert [each["name"] for each in found] == ["work", "stumble", "pay", "sleep"]
            assert all(each["span_s"] >= 0.045 and each["in_time"] for each in found), found


@pytest.mark.postgres
async def test_a_sleep_that_left_the_memory_ended_when_it_woke(database: str) -> None:
    gate = asyncio.Event()

    @step
    async def held() -> None:
        await gate.wait()

    @workflow
    async def flow() -> None:
        await sleep(0.4)
        await held()
        await sleep(0.4)

    async with engine_on(database, flow, moment_s=0.05) as bench:
        workflow_id = await bench.start(flow)
        # While the step after it runs.
        await bench.until(lambda: any(bench.engine.running_steps(workflow_id) or ()))
        (slept,) = await bench.rows(SPANS, workflow_id)
        assert slept["completion_order"] == 1
        assert slept["span_s"] >= 0.4
        gate.set()
        await bench.result(workflow_id)
        found = await bench.rows(SPANS, workflow_id)
        assert [(each["name"], each["completion_order"]) for each in found] == [
            ("sleep", 1),
            ("held", 2),
            ("sleep", 3),
        ]


@pytest.mark.postgres
async def test_a_step_that_runs_is_seen_here_at_once_and_elsewhere_after_some_seconds(database: str) -> None:
    gate, failed = asyncio.Event(), asyncio.Event()

    @step(max_attempts=2, backoff=3600, backoff_max=3600)
    async def stumble() -> None:
        failed.set()
        raise RuntimeError

    @step
    async def held() -> None:
        await gate.wait()

    @workflow
    async def flow() -> None:
        await asyncio.gather(held(), stumble())

    async with engine_on(database, flow, lease_ttl_s=1.0) as bench, engine_on(database) as other:
        workflow_id = await bench.start(flow)
        await failed.wait()
        await bench.until(lambda: bench.engine.running_steps(workflow_id)[1].retry_s)  # type: ignore[index]
        running = bench.engine.running_steps(workflow_id)
        assert running is not None
        assert [(each.name, each.attempt, each.retry_s is None) for each in running] == [
            ("held", 1, True),
            ("stumble", 1, False),
        ]
        assert (running[1].retry_s or 0) - running[1].began_s > 100
        assert other.engine.running_steps(workflow_id) is None

        async def shown() -> list[dict[str, Any]]:
            return await other.store.workflows.running(workflow_id)

        found = await bench.until(shown)
        assert [(each["name"], each["attempt"], each["instance_id"]) for each in found] == [
            ("held", 1, bench.instance_id),
            ("stumble", 1, bench.instance_id),
        ]
        assert found[1]["retry_at"] > found[1]["began_at"]
        gate.set()
        # What is recorded is shown as that alone, whatever the last beat said.
        await bench.until(lambda: bench.steps(workflow_id))
        assert [each["name"] for each in await shown()] == ["stumble"]
        await bench.engine.cancel(workflow_id)
        assert await shown() == []
        await bench.until(lambda: _shown_by(bench, "[]"))


async def _shown_by(bench: Bench, running: str) -> bool:
    query = "select running::text from outlast.instances where instance_id = %s"
    return bool(await bench.rows(query, bench.instance_id) == [{"running": running}])


async def test_what_does_not_change_is_not_written_again(database: str) -> None:
    gate = asyncio.Event()

    @step
    async def held() -> None:
        await gate.wait()

    @workflow
    async def flow() -> None:
        await held()

    async with engine_on(database, flow, lease_ttl_s=1.0) as bench:
        await bench.start(flow)
        given: list[Any] = []
        beat = bench.store.instances.beat

        async def noted(lease_ttl_s: float, running: Any = None) -> Any:
            given.append(running)
            return await beat(lease_ttl_s, running)

        bench.store.instances.beat = noted  # type: ignore[method-assign]
        await bench.until(lambda: len(given) > 3 and given[-4] and given[-3:] == [None] * 3)
        gate.set()
        await bench.until(lambda: given[-1] == [])
