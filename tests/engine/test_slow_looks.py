"""A database that takes longer to answer than a workflow waits before it leaves the memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from outlast import WorkflowHandle, publish, wait_any, workflow
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

MOMENT_S = 0.02


@workflow
async def tells() -> str:
    await publish("n", 7)
    return "told"


@workflow
async def waits(workflow_id: str) -> Any:
    return await WorkflowHandle[Any](workflow_id).result()


@workflow
async def waits_for_any(workflow_id: str) -> Any:
    return await (await wait_any([WorkflowHandle[Any](workflow_id)])).result()


@workflow
async def reads(workflow_id: str) -> Any:
    return [each async for each in WorkflowHandle[Any](workflow_id).events("n", of=int)]


@workflow
async def reads_newest(workflow_id: str) -> Any:
    return await WorkflowHandle[Any](workflow_id).event("n")


def slow(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """It answers after many moments."""

    async def slowly(*given: Any, **named: Any) -> Any:
        await asyncio.sleep(10 * MOMENT_S)
        return await read(*given, **named)

    return slowly


def slow_down(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("states", "ended", "published"):
        monkeypatch.setattr(bench.store.workflows, name, slow(getattr(bench.store.workflows, name)))


@pytest.mark.parametrize(
    ("waiter", "result"), [(waits, "told"), (waits_for_any, "told"), (reads, [7]), (reads_newest, 7)]
)
async def test_what_is_there_is_found_before_its_waiter_leaves(
    database: str, monkeypatch: pytest.MonkeyPatch, waiter: Any, result: Any
) -> None:
    """It would be claimed again at once, since what it waits for is there, and leave again: for ever."""
    async with engine_on(database, tells, waiter, moment_s=MOMENT_S) as bench:
        told = await bench.start(tells)
        await bench.result(told)
        slow_down(bench, monkeypatch)
        waiting = await bench.start(waiter, told)
        assert await bench.result(waiting) == result
        assert (await bench.row(waiting))["epoch"] == 1, "it was claimed once"
