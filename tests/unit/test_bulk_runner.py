"""What is told of bulks that can't be done now."""

from __future__ import annotations

import asyncio
from typing import Any

from outlast.core.observations import LoopFailed, Observation
from outlast.core.records import BulkRan
from outlast.engine.instances.bulks import BulkRunner


async def test_a_bulk_that_fails_is_told_of_once() -> None:
    seen: list[Observation] = []
    rounds = [BulkRan("b", 0.0, "not this one"), BulkRan("c", 0.0), BulkRan("b", 0.0, "not this one")]
    over = asyncio.Event()

    class Store:
        async def run_bulk(self) -> BulkRan:
            if rounds:
                return rounds.pop(0)
            over.set()
            return BulkRan(None, None)

    store: Any = Store()
    runner = BulkRunner(store, lambda: None, lambda: True, seen.append, 10.0)
    runner.looks.loop.open()
    async with asyncio.timeout(10):
        await over.wait()
    await runner.looks.loop.close()
    assert seen == [LoopFailed("bulks", "b: not this one")]
