"""Waiting for what others wait for too."""

from __future__ import annotations

import asyncio

import pytest

from outlast.engine.concurrency import settled


async def test_a_wait_ends_with_the_future_or_its_time() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    assert not await settled(future, 0.01)
    asyncio.get_running_loop().call_soon(future.set_result, 1)
    assert await settled(future, 30.0)
    assert await settled(future)


async def test_a_cancelled_wait_leaves_the_future_alone() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(settled(future))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not future.done()
    future.set_result(1)
    assert await settled(future)
