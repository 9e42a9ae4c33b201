"""The cases of limits in memory, in virtual time."""

from __future__ import annotations

import asyncio

from outlast import Limit
from tests.engine.harness import engine_on
from tests.engine.limit_cases import *  # noqa: F403
from tests.engine.limit_cases import limited


async def test_a_long_wait_is_no_busy_loop(database: str) -> None:
    """An hour for nothing, as nobody gives the place back: each time it asks later than the time before."""
    flows = short, holds, _ = limited(Limit("api", concurrency=1))
    async with engine_on(database, *flows, moment_s=0.05) as bench:
        await bench.start(holds, "first")
        second = await bench.start(short, "second")
        await asyncio.sleep(3600)
        assert database.row(second)["epoch"] < 90  # type: ignore[attr-defined]
