"""Suspects, which were lost often, run one at a time: but none that waits keeps the next one from running."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from outlast import WorkflowHandle, sleep, step, workflow
from outlast.sdk.workflows import Workflow
from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres

BOTH = """
insert into outlast.workflow_status (workflow_id, function, status, input, recovery_attempts, claimable_at)
values ('parent', %s, 'PENDING', '{}', 3, now() - interval '2 min'), ('kid', 'kid', 'PENDING', '{}', 3, now())
"""

kid_ran = False


@workflow
async def kid() -> str:
    global kid_ran
    kid_ran = True
    return "done"


@step
async def asks_in_a_step() -> str:
    handle: WorkflowHandle[str] = WorkflowHandle("kid", kid.definition)
    return await handle.result()


@step
async def asks_twice_in_a_step() -> list[str]:
    handle: WorkflowHandle[str] = WorkflowHandle("kid", kid.definition)
    return list(await asyncio.gather(handle.result(), handle.result()))


@step
def asks_in_a_thread() -> str:
    handle: Any = WorkflowHandle("kid", kid.definition)
    result: str = handle.result()
    return result


@step
async def reads_in_a_step() -> list[Any]:
    return [value async for value in WorkflowHandle[str]("kid").events("none")]


@step(max_attempts=10_000, backoff=timedelta(seconds=1.5))
async def looks() -> str:
    if not kid_ran:
        raise LookupError("not yet")
    return "done"


@workflow
async def waits_in_a_step() -> Any:
    return await asks_in_a_step()


@workflow
async def waits_twice_in_a_step() -> Any:
    return await asks_twice_in_a_step()


@workflow
def waits_in_a_thread() -> Any:
    return asks_in_a_thread()


@workflow
async def reads_events_in_a_step() -> Any:
    return await reads_in_a_step()


@workflow
async def reads_events() -> Any:
    return [value async for value in WorkflowHandle[str]("kid").events("none")]


@workflow
async def retries() -> Any:
    return await looks()


@workflow
async def waits_for_a_timer() -> Any:
    async with asyncio.timeout(3600):
        await asyncio.sleep(2)
    return "done"


@workflow
async def sleeps_beside_a_wait() -> Any:
    handle: WorkflowHandle[str] = WorkflowHandle("kid", kid.definition)
    _, result = await asyncio.gather(sleep(timedelta(seconds=0.01)), handle.result())
    return result


@pytest.fixture(autouse=True)
def anew() -> None:
    global kid_ran
    kid_ran = False


@pytest.mark.parametrize(
    "parent",
    [
        waits_in_a_step,
        waits_twice_in_a_step,
        waits_in_a_thread,
        reads_events_in_a_step,
        reads_events,
        retries,
        waits_for_a_timer,
        sleeps_beside_a_wait,
    ],
    ids=lambda each: each.definition.name,
)
async def test_a_suspect_that_waits_for_another_in_any_way_lets_it_run(
    database: str, parent: Workflow[..., Any]
) -> None:
    async with engine_on(database, parent, kid, tick_s=0.05) as bench:
        # One statement: of two suspects the older one, which waits for the other, is claimed first.
        await bench.rows(BOTH, parent.definition.name)
        assert await bench.result("kid") == "done"
        assert await bench.result("parent") is not None


async def test_a_suspect_that_waits_for_nothing_but_its_own_code_runs_alone(database: str) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    @step
    async def long() -> None:
        begun.set()
        await over.wait()

    @workflow
    async def works() -> str:
        await long()
        return "done"

    async with engine_on(database, works, kid, tick_s=0.02) as bench:
        await bench.rows(BOTH, "works")
        await asyncio.wait_for(begun.wait(), 20)
        membership = bench.engine._membership
        claims = 0
        claim = membership._store.claim

        async def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal claims
            claims += 1
            return await claim(*args, **kwargs)

        membership._store.claim = counted  # type: ignore[method-assign]
        await bench.until(lambda: claims > 5)
        assert not kid_ran
        over.set()
        assert await bench.result("kid") == "done"


KEEPS = """
create function public.keeps() returns trigger language plpgsql as $$
begin raise exception 'not on my watch' using errcode = '42501'; end $$;
create trigger keeps before update on outlast.workflow_status for each row
when (new.workflow_id = 'parent' and new.status = 'SUCCESS') execute function public.keeps()
"""


async def test_a_suspect_whose_end_can_not_be_written_keeps_no_other_waiting(database: str) -> None:
    @workflow
    async def ends() -> str:
        return "done"

    async with engine_on(database, ends, kid, tick_s=0.02) as bench:
        await bench.rows(KEEPS)
        await bench.rows(BOTH, "ends")
        assert await bench.result("kid") == "done"
        await bench.rows("drop trigger keeps on outlast.workflow_status")
        assert await bench.result("parent") == "done"
