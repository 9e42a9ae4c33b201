"""The first and the last moments of an engine: what was found there by simulation, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from outlast import sleep, step, transaction, workflow
from outlast.core.background import RETRY
from outlast.core.claims import ClaimedWorkflow
from outlast.core.clock import monotonic
from outlast.core.errors import ShuttingDown
from outlast.core.observations import StepRetried
from outlast.core.ports import Unreachable
from outlast.core.records import Batch, Beat, Committed, WorkflowStates
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

        async def unreachable(lease_ttl_s: float, running: Any = None) -> Beat:
            raise Unreachable("not now")

        bench.store.instances.beat = unreachable  # type: ignore[method-assign]
        for _ in range(3):
            with pytest.raises(Unreachable):
                await engine.open()
        assert len(asyncio.all_tasks()) == before
        bench.store.instances.beat = beat  # type: ignore[method-assign]


async def test_who_asks_while_the_engine_closes_is_told_so(database: str) -> None:
    asked = asyncio.Event()

    async def never(ids: Sequence[str]) -> WorkflowStates:
        asked.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with engine_on(database) as bench:
        bench.store.workflows.states = never  # type: ignore[method-assign]
        looks = [asyncio.create_task(bench.engine._waits.look("w"))]
        await asked.wait()
        looks.append(asyncio.create_task(bench.engine._waits.look("v")))
        await asyncio.sleep(0)
        await bench.engine.close()
        for look in looks:
            with pytest.raises(ShuttingDown):
                await asyncio.wait_for(look, 10)


@pytest.mark.postgres
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
        load = bench.store.workflows.load
        closing: list[asyncio.Task[None]] = []

        async def late(workflows: Sequence[ClaimedWorkflow], enough: Any) -> AsyncGenerator[ClaimedWorkflow]:
            closing.append(asyncio.create_task(bench.engine.close()))
            await bench.until(lambda: bench.engine.stopping)
            async for each in load(workflows, enough):
                yield each

        bench.store.workflows.load = late  # type: ignore[method-assign]
        bench.engine._membership._loop.wake()
        await bench.until(lambda: closing)
        await closing[0]
        assert events == []
        row = await bench.row(workflow_id)
        assert (row["owner"], row["status"], row["recovery_attempts"]) == (None, "PENDING", 0)


@pytest.mark.postgres
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
                recording = execution.recording
                write = recording._last_write
                assert write is not None
                write.remove_done_callback(recording._written)
                write.add_done_callback(lambda _: recording.when_durable(*recording._begins[0]))
                return refused
            return await commit(batch)

        bench.store.journal.commit = cancelled_first  # type: ignore[method-assign]
        workflow_id = await bench.start(flow)
        await bench.until(lambda: workflow_id not in bench.live)
        assert events == []


# --- what a strict reader found -------------------------------------------------------------------------


@step
async def first() -> None: ...


@transaction
async def failing(tx: Any) -> None:
    raise ValueError("no")


@transaction
async def connecting(tx: Any) -> None:
    """The first one takes longer: it makes the connection."""


@workflow
async def connect() -> None:
    await connecting()


def hold_records(bench: Bench, of: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold commits that record a step of that name: set once one has come, and to be set to let it go."""
    came, go = asyncio.Event(), asyncio.Event()
    commit = bench.store.journal.commit

    async def held(batch: Batch) -> Committed:
        if any(record.name == of for write in batch.writes for record in write.steps):
            came.set()
            await go.wait()
        return await commit(batch)

    bench.store.journal.commit = held  # type: ignore[method-assign]
    return came, go


@pytest.mark.parametrize("fails", [False, True])
async def test_a_slow_commit_lets_no_branch_that_sleeps_suspend_the_others(
    database: str, fails: bool
) -> None:
    events: list[str] = []

    async def works() -> None:
        with suppress(ValueError):
            await (failing() if fails else first())
        await note(events)

    @workflow
    async def flow() -> None:
        await asyncio.gather(sleep(timedelta(days=10)), works())

    async with engine_on(database, flow, connect, moment_s=0.02, **QUIET) as bench:
        await bench.run(connect)
        came, go = hold_records(bench, "failing" if fails else "first")
        workflow_id = await bench.start(flow)
        async with asyncio.timeout(10):
            await came.wait()
        await asyncio.sleep(0.1)  # several moments
        assert workflow_id in bench.live
        go.set()
        await bench.until(lambda: events)


@pytest.mark.parametrize("then", ["waits", "steps", "ends"])
async def test_a_timeout_that_was_taken_back_strikes_nothing_later(database: str, then: str) -> None:
    events: list[str] = []

    @workflow
    async def flow() -> str:
        try:
            async with asyncio.timeout(0.5):
                await failing()
        except ValueError:
            pass
        if then == "waits":
            await asyncio.sleep(0.001)
        if then == "steps":
            await note(events)
        return "went on"

    async with engine_on(database, flow, connect, **QUIET) as bench:
        await bench.run(connect)
        came, go = hold_records(bench, "failing")
        workflow_id = await bench.start(flow)
        async with asyncio.timeout(10):
            await came.wait()
        await asyncio.sleep(0.6)  # past the timeout
        go.set()
        assert await bench.result(workflow_id) == "went on"
        assert {record["error"] for record in await bench.steps(workflow_id) if record["name"] == "note"} <= {
            None
        }


async def test_a_cancellation_that_comes_while_a_failure_is_in_doubt_comes_after_it(database: str) -> None:
    tasks: list[asyncio.Task[None]] = []

    @workflow
    async def flow() -> list[str]:
        seen = []

        async def one() -> None:
            with suppress(ValueError):
                await failing()
            seen.append("failed")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        tasks.append(asyncio.create_task(one()))
        await asyncio.wait(tasks)
        return seen

    async with engine_on(database, flow, connect, **QUIET) as bench:
        await bench.run(connect)
        came, go = hold_records(bench, "failing")
        workflow_id = await bench.start(flow)
        async with asyncio.timeout(10):
            await came.wait()
        tasks[0].cancel()
        await asyncio.sleep(0)
        go.set()
        assert await bench.result(workflow_id) == ["failed", "cancelled"]


async def test_a_body_that_cancels_itself_has_an_end_that_is_told(database: str) -> None:
    @workflow
    async def flow() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "ended"

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == "ended"


def count_beats(bench: Bench) -> list[float]:
    """Has an item for each beat from now on."""
    beats: list[float] = []
    beat = bench.store.instances.beat

    async def counted(lease_ttl_s: float, running: Any = None) -> Beat:
        beats.append(lease_ttl_s)
        return await beat(lease_ttl_s, running)

    bench.store.instances.beat = counted  # type: ignore[method-assign]
    return beats


@pytest.mark.postgres
async def test_a_body_that_takes_long_to_end_is_not_asked_for_again_and_again(database: str) -> None:
    begun, ending, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @workflow
    async def flow() -> None:
        try:
            begun.set()
            await asyncio.sleep(3600)
        finally:
            ending.set()
            await go.wait()

    async with engine_on(database, flow, moment_s=7200.0, **QUIET) as bench:
        await bench.start(flow)
        await begun.wait()
        await bench.rows("update outlast.workflow_status set owner = 'other', epoch = epoch + 1")
        beats = count_beats(bench)
        bench.engine._lease.end()
        bench.engine._membership._beat_now()
        await ending.wait()
        await asyncio.sleep(0.3)
        go.set()
        assert len(beats) <= 4


async def test_after_a_lost_session_two_beats_come_at_once(database: str) -> None:
    """The first may have waited for a recovery, and tell rows that it took."""
    async with engine_on(database, lease_ttl_s=300.0, tick_s=100.0) as bench:
        beats = count_beats(bench)
        bench.engine._membership._beat_now()
        await bench.until(lambda: len(beats) == 2)
        await asyncio.sleep(0.1)
        assert len(beats) == 2


async def test_sessions_lost_one_after_the_other_put_the_return_off_once(database: str) -> None:
    """Each by a pause, others would take it for dead before it is back."""
    async with engine_on(database, lease_ttl_s=300.0, tick_s=100.0) as bench:
        membership = bench.engine._membership
        for _ in range(5):
            membership._beat_now()
        assert membership._forced_at - monotonic() < 1.5 * RETRY.backoff_s


async def test_a_shutdown_doesn_t_wait_once_its_last_step_is_given_up(database: str) -> None:
    begun, asked = asyncio.Event(), asyncio.Event()

    @step
    async def endless() -> None:
        begun.set()
        await asyncio.sleep(3600)

    async def given_up() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await endless()

    async def beside() -> None:
        while not asked.is_set():
            await asyncio.sleep(0.01)
        await first()

    @workflow
    async def flow() -> None:
        await asyncio.gather(given_up(), beside())

    async with engine_on(database, flow, drain_s=30.0) as bench:
        await bench.start(flow)
        await begun.wait()
        close = asyncio.create_task(bench.engine.close())
        await bench.until(lambda: bench.engine.stopping)
        asked.set()
        async with asyncio.timeout(10):
            await close


async def test_who_waits_for_its_next_attempt_is_handed_over_at_once(database: str) -> None:
    """Nothing of it runs: a shutdown waits for no pause between attempts."""

    @step(max_attempts=5, backoff=3600)
    async def fails() -> None:
        raise ValueError

    @workflow
    async def flow() -> None:
        await fails()

    async with engine_on(database, flow, drain_s=60.0) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(lambda: [each for each in bench.observations if isinstance(each, StepRetried)])
        async with asyncio.timeout(15):
            await bench.engine.close()
        row = await bench.row(workflow_id)
        assert (row["status"], row["owner"]) == ("PENDING", None)
