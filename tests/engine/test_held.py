"""Work that no code fits waits for other code, and goes on by itself when it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from outlast import step, workflow
from outlast.core.clock import monotonic
from outlast.core.holds import Hold
from outlast.core.observations import HeldFreed, WorkflowHeld
from outlast.sdk.workflows import Workflow
from tests.engine.harness import Functions, engine_on
from tests.engine.test_workflows import _held, crash_when_held, held, say  # noqa: F401


@step
async def charge() -> str:
    return "charged"


def flows(call: Callable[[], Any]) -> Workflow[..., Any]:
    @workflow
    async def flow() -> list[Any]:
        return [await call(), await held()]

    return flow


@workflow
async def others() -> None:
    """Another function."""


async def test_other_code_goes_on_with_what_was_held(database: str, monkeypatch: Any) -> None:
    right, wrong = flows(lambda: say("a")), flows(charge)
    workflow_id = await crash_when_held(database, right)
    monkeypatch.setattr(Functions, "version", lambda self, function: "2")
    async with engine_on(database, wrong) as bench:
        hold = await bench.held(workflow_id)
        assert (hold["version"], hold["step"]) == ("2", "1")
        assert (hold["recorded"]["name"], hold["called"]["name"]) == ("say", "charge")
        assert hold["at"].startswith("tests/engine/test_held.py:")
        told = await bench.engine.wait(workflow_id, 30.0, or_held=True)
        assert told is not None
        assert not told.status.ended
        assert len([each for each in bench.observations if isinstance(each, WorkflowHeld)]) == 1
    monkeypatch.setattr(Functions, "version", lambda self, function: "3")
    async with engine_on(database, right) as bench:
        assert (await bench.result(workflow_id))[0] == "a"
        assert (await bench.row(workflow_id))["held"] is None
        assert [each.count for each in bench.observations if isinstance(each, HeldFreed)] == [1]


async def test_the_same_code_leaves_it_held(database: str) -> None:
    workflow_id = await crash_when_held(database, flows(lambda: say("a")))
    for _ in range(2):
        async with engine_on(database, flows(charge)) as bench:
            await bench.held(workflow_id)
            seen = await bench.engine._holder._store.look({"flow": "v1"}, 15.0, 30.0)
            assert (seen.freed, seen.counts) == (0, {"non_determinism": 1})


@pytest.mark.postgres
async def test_who_has_just_come_judges_nobody_missing(database: str) -> None:
    """Work may have been due for long before anybody came: who serves it may come a moment later."""
    unserved_s = 1.0
    workflow_id = await crash_when_held(database, flows(lambda: say("a")))
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(
            "update outlast.workflow_status set owner = null, claimable_at = now() - interval '1 hour'"
        )
    began = monotonic()
    async with engine_on(database, others, unserved_s=unserved_s) as bench:
        hold = await bench.held(workflow_id)
        assert hold["reason"] == "function_missing"
        assert monotonic() - began >= unserved_s


async def test_a_hold_that_is_asked_for_again_is_answered_twice(database: str) -> None:
    """A workflow was claimed again before its former execution was given back."""
    async with engine_on(database, others) as bench:
        holder = bench.engine._holder
        former = asyncio.ensure_future(holder.hold("nobody", 1, Hold({"reason": "function_missing"})))
        await asyncio.sleep(0)
        newer = asyncio.ensure_future(holder.hold("nobody", 2, Hold({"reason": "function_missing"})))
        async with asyncio.timeout(20):
            assert await former is None
            assert await newer is None
