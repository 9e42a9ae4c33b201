"""Waiting for what others wait for too."""

from __future__ import annotations

import asyncio

import pytest

from outlast.engine.concurrency import Patience, settled

LONG_S = 30.0


async def test_a_wait_ends_with_the_future_or_its_time() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    patience = Patience()
    assert not await settled(future, patience, 0.01)
    asyncio.get_running_loop().call_soon(future.set_result, 1)
    assert await settled(future, patience, LONG_S)
    assert await settled(future, patience, LONG_S)


async def test_a_cancelled_wait_leaves_the_future_alone() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(settled(future, Patience(), LONG_S))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not future.done()
    future.set_result(1)
    assert await settled(future, Patience(), LONG_S)


async def test_waits_of_one_length_are_given_up_in_their_order_and_those_that_ended_are_not() -> None:
    loop, patience = asyncio.get_running_loop(), Patience()
    first, ended, last, longer = (loop.create_future() for _ in range(4))
    for each in (first, ended):
        patience.begin(each, 0.01)
    patience.begin(longer, LONG_S)
    patience.end(ended, 0.01)
    patience.begin(last, 0.01)
    async with asyncio.timeout(LONG_S):
        assert await first is None
        assert await last is None
    assert not ended.done()
    assert not longer.done()
    for each in (first, last):  # as who waited does, too
        patience.end(each, 0.01)
    patience.begin(ended, 0.01)
    async with asyncio.timeout(LONG_S):
        assert await ended is None
    patience.end(longer, LONG_S)
