"""The first and the last moments of an engine: what was found there by simulation, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from outlast import step, workflow
from outlast.core.errors import ShuttingDown
from outlast.core.ports import Unreachable
from outlast.core.records import Batch, Beat, ClaimedWorkflow, Committed, Standing
from outlast.engine.lease import Lease
from tests.engine.harness import Bench, engine_on

QUIET: dict[str, Any] = {"lease_ttl_s": 60.0, "tick_s": 30.0}


@step
async def note(events: list[str]) -> None:
    events.append("begun")


async def test_an_engine_that_was_opened_in_vain_has_one_journal(database: str) -> None:
    async with engine_on(database) as bench:
        engine, beat = bench.engine, bench.store.instances.beat
        await engine.close()
        before = len(asyncio.all_tasks())

        async def unreachable(lease_ttl_s: float) -> Beat:
            raise Unreachable("not now")

        bench.store.instances.beat = unreachable  # type: ignore[method-assign]
        for _ in range(3):
            with pytest.raises(Unreachable):
                await engine.open()
        assert len(asyncio.all_tasks()) == before
        bench.store.instances.beat = beat  # type: ignore[method-assign]


async def test_who_asks_while_the_engine_closes_is_told_so(database: str) -> None:
    asked = asyncio.Event()

    async def never(ids: Sequence[str]) -> dict[str, Standing]:
        asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with engine_on(database) as bench:
        bench.store.workflows.standing = never  # type: ignore[method-assign]
        looks = [asyncio.create_task(bench.engine._waits.look("w"))]
        await asked.wait()
        looks.append(asyncio.create_task(bench.engine._waits.look("v")))
        await asyncio.sleep(0)
        await bench.engine.close()
        for look in looks:
            with pytest.raises(ShuttingDown):
                await look


async def test_what_was_claimed_before_the_shutdown_is_not_begun_in_it(database: str) -> None:
    events: list[str] = []

    @workflow
    async def flow() -> None:
        await note(events)

    async with engine_on(database, flow, **QUIET) as bench:
        workflow_id = await bench.start(flow)
        await bench.result(workflow_id)
        events.clear()
        await bench.rows(
            "update outlast.workflow_status set status = 'PENDING', claimable_at = now(), epoch = 5"
        )
        await bench.rows("truncate outlast.operation_outputs")
        histories = bench.store.instances.histories
        closing: list[asyncio.Task[None]] = []

        async def late(workflows: Sequence[ClaimedWorkflow]) -> None:
            closing.append(asyncio.create_task(bench.engine.close()))
            await bench.until(lambda: bench.engine.stopping)
            await histories(workflows)

        bench.store.instances.histories = late  # type: ignore[method-assign]
        bench.engine._membership._claim_now()
        await bench.until(lambda: closing)
        await closing[0]
        assert events == []
        row = await bench.row(workflow_id)
        assert (row["owner"], row["status"], row["recovery_attempts"]) == (None, "PENDING", 0)


async def test_no_step_begins_on_a_record_that_was_refused_this_moment(database: str) -> None:
    events: list[str] = []

    @step
    async def nothing() -> None:
        pass

    @workflow
    async def flow() -> None:
        await nothing()
        await note(events)

    async with engine_on(database, flow, **QUIET) as bench:
        commit = bench.store.journal.commit

        async def cancelled_first(batch: Batch) -> Committed:
            if batch.writes and batch.writes[0].steps:
                await bench.rows("update outlast.workflow_status set epoch = epoch + 1")
                refused = await commit(batch)
                # The body asks in the very cycle in which the refusal is known, before anybody is told.
                execution = bench.live[batch.writes[0].workflow_id]
                write = execution._last_write
                write.remove_done_callback(execution._written)
                return refused
            return await commit(batch)

        bench.store.journal.commit = cancelled_first  # type: ignore[method-assign]
        workflow_id = await bench.start(flow)
        await bench.until(lambda: workflow_id not in bench.live)
        assert events == []


async def begun_late(bench: Bench, flow: Any) -> str:
    """Start a workflow whose row is taken over in a gap of the lease, before it is launched."""
    commit = bench.store.journal.commit

    async def slow(batch: Batch) -> Committed:
        committed = await commit(batch)
        if batch.starts:
            await bench.rows("update outlast.workflow_status set owner = 'other', epoch = 3")
            bench.engine._lease.end()
            bench.engine._lease.renewed(asyncio.get_running_loop().time())
        return committed

    bench.store.journal.commit = slow  # type: ignore[method-assign]
    return await bench.start(flow)


async def test_a_start_from_before_a_gap_in_the_lease_waits_for_a_beat_after_it(database: str) -> None:
    events: list[str] = []

    @workflow
    async def flow() -> None:
        await note(events)

    async with engine_on(database, flow, **QUIET) as bench:
        workflow_id = await begun_late(bench, flow)
        await bench.engine._membership._beat()
        await bench.until(lambda: workflow_id not in bench.live)
        assert events == []
        assert (await bench.row(workflow_id))["owner"] == "other"


def test_trust_without_a_gap_is_one_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("outlast.engine.lease.monotonic", lambda: now)
    lease = Lease(10.0)
    lease.renewed(now)
    first = lease.stretch
    now += 5
    lease.renewed(now)
    assert lease.covers(first)
    now += 9.5
    assert not lease.covers(first)
    lease.renewed(now)
    assert not lease.covers(first)
    assert lease.covers(lease.stretch)
    lease.end()
    assert not lease.covers(lease.stretch)
