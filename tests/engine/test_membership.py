"""What an instance claims, and what it leaves to others."""

from __future__ import annotations

import asyncio

from outlast import step, workflow
from outlast.core.records import Claims
from tests.engine.harness import engine_on

CLAIMABLE = """
insert into outlast.workflow_status (workflow_id, function, status, input, recovery_attempts, claimable_at)
select 'w' || n, %s, 'PENDING', '{}', %s, now() from generate_series(1, %s) n
"""
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

        async def slow_claim(functions: list[str], room: int, suspects: int) -> Claims:
            claims = await claim(functions, room, suspects)
            if claims.workflows:
                claimed.set()
                await told.wait()
            return claims

        bench.store.instances.claim = slow_claim  # type: ignore[method-assign, assignment]
        await bench.rows(CLAIMABLE, "late", 0, 1)
        await asyncio.wait_for(claimed.wait(), 20)
        bench.engine._membership.stop_claiming()
        told.set()

        async def given_back() -> bool:
            return bool(await bench.rows("select 1 from outlast.workflow_status where owner is null"))

        await bench.until(given_back)
    assert not ran
