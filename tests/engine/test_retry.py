"""The cases of retry and rewind in memory, in virtual time."""

from __future__ import annotations

import asyncio

from tests.engine.harness import Bench
from tests.engine.retry_cases import *  # noqa: F403
from tests.engine.retry_cases import broken, fails, retried, within


async def test_a_timeout_around_what_failed_begins_anew(bench: Bench) -> None:
    broken.add("a")
    workflow_id = await bench.start(within)
    await fails(bench, workflow_id)
    await asyncio.sleep(60)
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "A"
