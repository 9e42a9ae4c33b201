"""Ids of workflows and of steps stay below what an index of Postgres holds, however deep they are nested."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from outlast import map_, start, step, workflow
from outlast.core.status import Status
from tests.engine.harness import engine_on

pytestmark = pytest.mark.postgres


def key_of(depth: int) -> str:
    """As long as a map's key may be, in characters of four bytes, which no compression shortens."""
    digests = b"".join(hashlib.sha512(f"{depth} {n}".encode()).digest() for n in range(4))
    return "".join(chr(0x20000 + int.from_bytes(digests[n : n + 2]) % 40_000) for n in range(0, 200, 2))


@step
async def fails() -> None:
    raise ValueError("the last one fails")


@workflow
async def nested(depth: int) -> int:
    if depth == 0:
        await fails()
    return sum(await map_(nested, [depth - 1], key=key_of)) + 1


@workflow
async def line(depth: int) -> int:
    if depth == 0:
        return 0
    return await (await start(line, depth - 1)).result() + 1


@workflow
async def tasks(depth: int) -> int:
    async def below(left: int) -> int:
        if left == 0:
            return await one()
        return await asyncio.create_task(below(left - 1))

    return await below(depth)


@step
async def one() -> int:
    return 1


async def test_maps_in_maps_with_long_keys_fail_and_are_cancelled(database: str) -> None:
    async with engine_on(database, nested, moment_s=0.05) as bench:
        state = await bench.engine.wait(await bench.start(nested, 8), 60)
        assert state is not None
        assert state.status is Status.ERROR
        assert "map_failed" in str(state.error) or "MapFailed" in str(state.error)


async def test_a_long_line_of_children(database: str) -> None:
    async with engine_on(database, line, moment_s=0.05) as bench:
        assert await bench.result(await bench.start(line, 260)) == 260


@pytest.mark.parametrize("depth", [40, 400])
async def test_tasks_in_tasks(database: str, depth: int) -> None:
    async with engine_on(database, tasks) as bench:
        workflow_id = await bench.start(tasks, depth)
        assert await bench.result(workflow_id) == 1
        (record,) = await bench.steps(workflow_id)
        assert len(record["step_id"]) < 300
