"""What an instance claims, and what it leaves to others."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from outlast import start, step, workflow
from outlast.core.background import RETRY
from outlast.core.claims import Claims, LostInstance
from outlast.core.clock import monotonic
from outlast.core.observations import DatabaseLost
from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres

CLAIMABLE = """
insert into outlast.workflow_status (workflow_id, function, status, input, recovery_attempts, claimable_at)
select 'w' || n, %s, 'PENDING', '{}', %s, now() from generate_series(1, %s) n
"""
ALIVE = "select backend_pid from outlast.instances join pg_stat_activity on pid = backend_pid"
SUCCEEDED = "select 1 from outlast.workflow_status where status = 'SUCCESS'"


async def test_suspects_run_one_by_one_and_each_at_once_after_the_other(database: str) -> None:
    running = most = 0

    @step
    async def watch() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    @workflow
    async def suspect() -> None:
        await watch()

    # Ticks are too rare for this test: each must follow the one before it.
    async with engine_on(database, suspect, tick_s=20.0, lease_ttl_s=60.0) as bench:
        await bench.rows(CLAIMABLE, "suspect", 5, 8)
        bench.engine._membership.claim_soon(bench.engine.clock.now_s())

        async def all_ended() -> bool:
            return len(await bench.rows(SUCCEEDED)) == 8

        await bench.until(all_ended)
        assert most == 1


async def test_a_suspect_that_waits_lets_the_next_one_run(database: str) -> None:
    """A parent that awaits its child, both lost often: were it run alone, it would wait for ever."""
    begun, opened = asyncio.Event(), asyncio.Event()

    @step
    async def long() -> str:
        begun.set()
        await opened.wait()
        return "done"

    @workflow
    async def kid() -> str:
        return await long()

    @workflow
    async def par() -> str:
        handle = await start(kid)
        return f"kid is {await handle.result()}"

    @workflow
    async def stranger() -> None: ...

    async with engine_on(database, par, kid, stranger) as bench:
        await bench.start(par, workflow_id="par")
        await asyncio.wait_for(begun.wait(), 20)
        await bench.abandon()
    begun.clear()
    async with engine_on(database, par, kid, stranger) as bench:
        await bench.rows(CLAIMABLE, "stranger", 3, 2)
        await bench.rows(
            "update outlast.workflow_status set recovery_attempts = 3, owner = null, epoch = epoch + 1,"
            " claimable_at = now() - interval '1 min' / length(workflow_id) where workflow_id like 'par%%'"
        )
        await asyncio.wait_for(begun.wait(), 20)
        opened.set()
        assert await bench.result("par") == "kid is done"

        async def all_ended() -> bool:
            return len(await bench.rows(SUCCEEDED)) == 4

        await bench.until(all_ended)


async def test_a_suspect_that_goes_on_keeps_nobody_waiting(database: str) -> None:
    inside = 0
    both = asyncio.Event()

    @step
    async def begin() -> None: ...

    @step
    async def meet() -> None:
        nonlocal inside
        inside += 1
        if inside == 2:
            both.set()
        await both.wait()

    @workflow
    async def suspect() -> None:
        await begin()
        await meet()

    async with engine_on(database, suspect) as bench:
        await bench.rows(CLAIMABLE, "suspect", 5, 2)

        async def all_ended() -> bool:
            return len(await bench.rows(SUCCEEDED)) == 2

        await bench.until(all_ended)


async def test_a_claim_that_arrives_during_the_shutdown_is_given_back(database: str) -> None:
    ran = False

    @workflow
    async def late() -> None:
        nonlocal ran
        ran = True

    claimed, told = asyncio.Event(), asyncio.Event()
    async with engine_on(database, late) as bench:
        claim = bench.store.instances.claim

        async def slow_claim(*args: Any, **options: Any) -> Claims:
            claims = await claim(*args, **options)
            if claims.workflows:
                claimed.set()
                await told.wait()
            return claims

        bench.store.instances.claim = slow_claim  # type: ignore[method-assign]
        await bench.rows(CLAIMABLE, "late", 0, 1)
        await asyncio.wait_for(claimed.wait(), 20)
        bench.engine._membership.stop_claiming()
        told.set()

        async def given_back() -> bool:
            return bool(await bench.rows("select 1 from outlast.workflow_status where owner is null"))

        await bench.until(given_back)
    assert not ran


async def test_the_end_of_its_idle_session_is_noticed_at_once(database: str) -> None:
    """Neither a tick nor a renewal is due in the time of this test."""

    @workflow
    async def nothing() -> None: ...

    async with engine_on(database, nothing, tick_s=100.0, lease_ttl_s=300.0) as bench:
        membership = bench.engine._membership

        def idle() -> bool:
            return bool(membership._beat_at > 0 and membership._loop.asleep)

        await bench.until(idle)  # at the start, and after each end, come two beats and a claim
        for _ in range(3):
            (before,) = await bench.rows(ALIVE)
            await bench.rows("select pg_terminate_backend(%s)", before["backend_pid"])

            async def is_back(before: dict[str, Any] = before) -> bool:
                alive = await bench.rows(ALIVE)
                return bool(alive) and alive != [before] and idle()

            await bench.until(is_back)
        assert not any(isinstance(each, DatabaseLost) for each in bench.observations)


async def test_who_beat_since_it_was_seen_gone_is_left_alone(database: str) -> None:
    @step
    async def hold() -> None:
        await asyncio.Event().wait()

    @workflow
    async def holding() -> None:
        await hold()

    async with (
        engine_on(database, holding, drain_s=0.1) as other,
        engine_on(database, holding, drain_s=0.1, lease_ttl_s=300.0) as bench,
    ):
        workflow_id = await bench.start(holding)
        await bench.until(lambda: workflow_id in bench.live)
        lease = """
            select extract(epoch from lease_until)::float8 as s from outlast.instances where instance_id = %s
        """

        async def gone() -> LostInstance:
            (row,) = await bench.rows(lease, bench.instance_id)
            return LostInstance(bench.instance_id, row["s"], expired=False)

        seen = await gone()
        await bench.store.instances.beat(60.0)
        assert await other.store.instances.recover([seen]) == []
        assert (await bench.row(workflow_id))["epoch"] == 1
        assert await other.store.instances.recover([await gone()]) == [(workflow_id, "PENDING")]


@pytest.mark.parametrize(
    ("statement", "limit_s"),
    [("select pg_terminate_backend(pg_backend_pid())", 20.0), ("select pg_sleep(1)", 0.05)],
)
async def test_who_loses_each_session_under_its_claim_is_back_as_soon_each_time(
    database: str, statement: str, limit_s: float
) -> None:
    """Such a round is never whole, but its renewal was: others took this instance for alive."""
    failed_at: list[float] = []
    pauses_s: list[float] = []

    @workflow
    async def nothing() -> None: ...

    async with engine_on(database, nothing) as bench:
        loop, instances = bench.engine._membership._loop, bench.store.instances

        async def lose(*_: Any, **__: Any) -> Claims:
            if failed_at:
                pauses_s.append(loop.resumes_at - failed_at[-1])
            try:
                async with instances._leases.use(limit_s) as connection:
                    await connection.execute(statement)
            finally:
                failed_at.append(monotonic())
            raise AssertionError

        instances.claim = lose  # type: ignore[method-assign]
        await bench.until(lambda: len(pauses_s) >= 12)
    assert max(pauses_s) < 2 * RETRY.backoff_s, pauses_s


async def test_who_is_refused_each_claim_keeps_its_session(database: str) -> None:
    """A new one each time would be seen gone in the pauses between, which grow."""
    sessions: list[int] = []

    @workflow
    async def nothing() -> None: ...

    async with engine_on(database, nothing) as bench:
        instances = bench.store.instances

        async def refused(*_: Any, **__: Any) -> Claims:
            async with instances._leases.use(20.0) as connection:
                sessions.append(connection.info.backend_pid)
                await connection.execute("select pg_cancel_backend(pg_backend_pid()), pg_sleep(20)")
            raise AssertionError

        instances.claim = refused  # type: ignore[method-assign]
        await bench.until(lambda: len(sessions) >= 5)
    assert len(set(sessions)) == 1


async def test_whose_claims_fail_again_and_again_keeps_a_short_lease(database: str) -> None:
    failed = 0

    @workflow
    async def nothing() -> None: ...

    async with engine_on(database, nothing, lease_ttl_s=1.0) as bench:

        async def fails(*_: Any, **__: Any) -> Claims:
            nonlocal failed
            failed += 1
            raise ValueError

        bench.store.instances.claim = fails  # type: ignore[method-assign]
        await bench.until(lambda: failed >= 12)
        assert bench.engine._lease.term == 1


async def test_whoever_holds_a_row_that_is_given_back_ends_no_lease(database: str) -> None:
    @workflow
    async def nothing() -> None: ...

    async with engine_on(database, nothing, lease_ttl_s=1.5) as bench:
        orphans = (
            "insert into outlast.workflow_status (workflow_id, function, status, owner, epoch)"
            " values ('held', 'other', 'PENDING', %s, 1), ('free', 'other', 'PENDING', %s, 1) returning 1"
        )
        async with await psycopg.AsyncConnection.connect(database) as other:
            await other.execute(orphans.encode(), [bench.instance_id] * 2)
            await other.commit()
            await other.execute("select from outlast.workflow_status where workflow_id = 'held' for update")

            async def given_back() -> bool:
                return (await bench.row("free"))["owner"] is None

            await bench.until(given_back)
            await asyncio.sleep(3)
            assert bench.engine._lease.term == 1

        async def held_too() -> bool:
            return (await bench.row("held"))["owner"] is None

        await bench.until(held_too)
