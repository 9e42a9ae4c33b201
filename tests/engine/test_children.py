"""Children: each started once, and never taken for failed because its host was busy."""

from __future__ import annotations

import asyncio
from typing import Any

from outlast import start, step, workflow
from outlast.core.errors import DatabaseUnavailable, Overloaded
from tests.engine.harness import engine_on

CHILDREN = "select workflow_id from outlast.workflow_status where function = 'child'"


@workflow
async def child(number: int) -> int:
    return number * 2


opened: list[asyncio.Event] = []


@step
async def wait() -> None:
    await opened[-1].wait()


@workflow
async def waiting_parent(number: int) -> int:
    handle = await start(child, number)
    await wait()
    return await handle.result()


@workflow
async def parent(number: int) -> int:
    return await (await start(child, number)).result()


async def test_a_child_whose_start_was_not_recorded_is_not_started_again(database: str) -> None:
    """As after a crash of its parent between the child's start and the record of that."""
    opened[:] = [asyncio.Event()]
    async with engine_on(database, waiting_parent, child) as bench:
        workflow_id = await bench.start(waiting_parent, 4)
        await bench.until(lambda: bench.steps(workflow_id))
        await bench.until(lambda: list(bench.live) == [workflow_id])  # the child has ended
        await bench.abandon()
        await bench.rows("delete from outlast.operation_outputs where workflow_id = %s", workflow_id)
    opened[-1].set()
    async with engine_on(database, waiting_parent, child) as bench:
        assert await bench.result(workflow_id) == 8
        assert await bench.rows(CHILDREN) == [{"workflow_id": f"{workflow_id}/1"}]


async def test_a_child_that_cannot_be_started_now_is_started_later(database: str) -> None:
    async with engine_on(database, parent, child) as bench:
        start_new = bench.engine.start_new
        refusals: list[Exception] = [Overloaded("full"), DatabaseUnavailable("away")]

        async def refusing(new: Any, *rest: Any) -> Any:
            if new.function == "child" and refusals:
                raise refusals.pop()
            return await start_new(new, *rest)

        bench.engine.start_new = refusing  # type: ignore[method-assign, assignment]
        assert await bench.run(parent, 3) == 6
        assert refusals == []
