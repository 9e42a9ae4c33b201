"""What an instance may believe of its lease, and what it does without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import step, workflow
from outlast.core.clock import monotonic
from outlast.core.records import Batch, Beat, Committed
from outlast.engine.lease import MARGIN, Lease
from tests.engine.harness import Bench, engine_on

TTL_S = 60.0


def lose_the_lease(bench: Bench) -> asyncio.Event:
    """The lease can't be trusted from now on; set once somebody waits until it can be."""
    lease, asked = bench.engine._lease, asyncio.Event()
    renewal = lease.renewal

    async def asked_for() -> None:
        asked.set()
        await renewal()

    lease._trusted_until = 0.0
    lease.renewal = asked_for  # type: ignore[method-assign]
    return asked


async def test_trust_runs_from_the_sending_of_a_renewal_and_ends_before_the_lease(database: str) -> None:
    sent: list[float] = []
    async with engine_on(database, lease_ttl_s=TTL_S, tick_s=20.0) as bench:
        beat = bench.store.instances.beat

        async def watched(lease_ttl_s: float, running: Any = None) -> Beat:
            sent.append(monotonic())
            return await beat(lease_ttl_s, running)

        bench.store.instances.beat = watched  # type: ignore[method-assign]
        await bench.engine._membership._beat()
        assert bench.engine._lease._trusted_until <= sent[0] + TTL_S * (1 - MARGIN)
        assert MARGIN >= 0.1


async def test_no_step_begins_while_the_lease_cannot_be_trusted(database: str) -> None:
    begun = asyncio.Event()

    @step
    async def only() -> None:
        begun.set()

    @workflow
    async def flow() -> None:
        await only()

    async with engine_on(database, flow, lease_ttl_s=TTL_S, tick_s=20.0) as bench:
        asked = lose_the_lease(bench)
        workflow_id = await bench.start(flow)
        await bench.until(lambda: asked.is_set() or begun.is_set())
        assert not begun.is_set()
        await bench.engine._membership._beat()
        await bench.result(workflow_id)
        assert begun.is_set()


async def test_no_later_attempt_begins_while_the_lease_cannot_be_trusted(database: str) -> None:
    attempts: list[asyncio.Event] = []

    @step(max_attempts=2, backoff=0.001)
    async def only() -> None:
        if not attempts:
            attempts.append(lose_the_lease(bench))
            raise ValueError("again")
        attempts.append(asyncio.Event())

    @workflow
    async def flow() -> None:
        await only()

    async with engine_on(database, flow, lease_ttl_s=TTL_S, tick_s=20.0) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(lambda: attempts and (attempts[0].is_set() or len(attempts) > 1))
        assert len(attempts) == 1
        await bench.engine._membership._beat()
        await bench.result(workflow_id)
        assert len(attempts) == 2


async def test_after_a_gap_in_the_lease_no_step_begins_before_a_beat_has_shown_the_row(database: str) -> None:
    """Others may have taken it over in the gap. To be trusted again says nothing of what was owned before."""
    begun: list[str] = []
    go_on = asyncio.Event()

    @step
    async def first() -> None:
        begun.append("first")
        await go_on.wait()

    @step
    async def second() -> None:
        begun.append("second")

    @workflow
    async def flow() -> None:
        await first()
        await second()

    async with engine_on(database, flow, lease_ttl_s=TTL_S, tick_s=20.0) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(lambda: begun)
        asked = lose_the_lease(bench)
        bench.engine._lease.renewed(monotonic())
        go_on.set()
        await bench.until(lambda: asked.is_set() or len(begun) > 1)
        assert begun == ["first"]
        await bench.engine._membership._beat()
        await bench.result(workflow_id)
        assert begun == ["first", "second"]


def gap_after_the_start(bench: Bench, *, taken_over: bool) -> list[asyncio.Event]:
    """Let the lease have a gap between the commit of a start and its answer, perhaps with a takeover in it.

    Has an item when that has happened, set once somebody waits for the lease.
    """
    commit = bench.store.journal.commit
    asked: list[asyncio.Event] = []

    async def slow(batch: Batch) -> Committed:
        done = await commit(batch)
        if batch.starts:
            if taken_over:
                await bench.rows("update outlast.workflow_status set owner = 'other', epoch = 3")
            asked.append(lose_the_lease(bench))
            bench.engine._lease.renewed(monotonic())
        return done

    bench.store.journal.commit = slow  # type: ignore[method-assign]
    return asked


@pytest.mark.postgres
@pytest.mark.parametrize("taken_over", [False, True])
async def test_a_start_from_before_a_gap_in_the_lease_waits_for_a_beat(
    database: str, taken_over: bool
) -> None:
    begun = asyncio.Event()

    @step
    async def only() -> None:
        begun.set()

    @workflow
    async def flow() -> None:
        await only()

    async with engine_on(database, flow, lease_ttl_s=TTL_S, tick_s=20.0) as bench:
        asked = gap_after_the_start(bench, taken_over=taken_over)
        workflow_id = await bench.start(flow)
        await bench.until(lambda: asked[0].is_set() or begun.is_set())
        assert not begun.is_set()
        await bench.engine._membership._beat()
        if not taken_over:
            await bench.result(workflow_id)
            return
        await bench.until(lambda: workflow_id not in bench.live)
        assert not begun.is_set()
        assert (await bench.row(workflow_id))["owner"] == "other"


async def test_after_a_gap_in_the_lease_two_beats_must_have_shown_the_row(database: str) -> None:
    """What the first of them read may have been so before a recovery that was under way."""
    go_on = asyncio.Event()

    @step
    async def only() -> None:
        await go_on.wait()

    @workflow
    async def flow() -> None:
        await only()

    async with engine_on(database, flow, lease_ttl_s=TTL_S, tick_s=20.0) as bench:
        workflow_id = await bench.start(flow)
        execution, lease = bench.live[workflow_id], bench.engine._lease
        assert lease.covers(execution.term)
        lease._trusted_until = 0.0
        await bench.engine._membership._beat()
        assert not lease.covers(execution.term)
        await bench.engine._membership._beat()
        assert lease.covers(execution.term)
        go_on.set()
        await bench.result(workflow_id)


def test_trust_without_a_gap_is_one_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("outlast.engine.lease.monotonic", lambda: now)
    lease = Lease(10.0)
    lease.renewed(now)
    first = lease.term
    now += 5
    lease.renewed(now)
    assert lease.covers(first)
    now += 9.5
    assert not lease.covers(first)
    lease.renewed(now)
    assert not lease.covers(first)
    assert lease.covers(lease.term)
    lease.end()
    assert not lease.covers(lease.term)
