"""The cases of retry and rewind in memory, in virtual time."""

from __future__ import annotations

import asyncio

from outlast.core.verbs import FORK
from tests.engine.harness import Bench
from tests.engine.retry_cases import *  # noqa: F403
from tests.engine.retry_cases import broken, fails, gates, queued, ran, retried, within


async def test_a_timeout_around_what_failed_begins_anew(bench: Bench) -> None:
    broken.add("a")
    workflow_id = await bench.start(within)
    await fails(bench, workflow_id)
    await asyncio.sleep(60)
    broken.clear()
    gates["a"] = asyncio.Event()
    await retried(bench, workflow_id)
    await asyncio.sleep(1)
    gates["a"].set()
    assert await bench.result(workflow_id) == "A"


async def test_a_timeout_around_what_failed_begins_anew_in_a_fork(bench: Bench) -> None:
    broken.add("a")
    workflow_id = await bench.start(within)
    await fails(bench, workflow_id)
    await asyncio.sleep(60)
    broken.clear()
    gates["a"] = asyncio.Event()
    forked = await bench.store.workflows.act(FORK, workflow_id, {"from": "failed"}, "me")
    bench.engine.look()
    await asyncio.sleep(1)
    gates["a"].set()
    assert await bench.result(forked["fork"]) == "A"


async def test_what_is_retried_has_its_timeouts_once_it_goes_on(bench: Bench) -> None:
    """However long it waits for its turn in its queue."""
    broken.add("a")
    workflow_id = await bench.start(queued, "a")
    await fails(bench, workflow_id)
    broken.clear()
    gates["slow"] = asyncio.Event()
    await bench.start(queued, "slow")
    await bench.until(lambda: ran["slow"])
    await retried(bench, workflow_id)
    await asyncio.sleep(60)
    gates["slow"].set()
    assert await bench.result(workflow_id) == "A"
