"""A body that catches its end and calls steps on and on keeps nobody else from running."""

from __future__ import annotations

import pytest

from outlast import sleep, step, workflow
from outlast.engine.execution import execution
from tests.engine.harness import engine_on

CALLS_MAX = 100_000
calls: list[int] = []


@step
async def say() -> None: ...


@workflow
async def stubborn() -> None:
    try:
        await sleep(3600)
    except BaseException:
        for _ in range(CALLS_MAX):
            try:
                calls[-1] += 1
                await say()
            except BaseException as error:
                if isinstance(error, GeneratorExit):
                    raise


async def test_it_is_refused_ever_later(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "STOP_GRACE_S", 0.2)
    calls[:] = [0]
    async with engine_on(database, stubborn) as bench:
        workflow_id = await bench.start(stubborn)
        await bench.suspended(workflow_id)
        assert 1 < calls[-1] < CALLS_MAX / 100
