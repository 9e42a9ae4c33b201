"""Steps: recorded once, retried as asked, the same live and on replay."""

from __future__ import annotations

import asyncio

import pytest
from tests.engine.harness import engine_on

from outlast import WorkflowFailed, step, workflow


async def test_a_workflow_returns_what_its_steps_return(database: str) -> None:
    @step
    async def double(number: int) -> int:
        return number * 2

    @workflow
    async def quadruple(number: int) -> int:
        return await double(await double(number))

    async with engine_on(database, quadruple) as bench:
        workflow_id = await bench.start(quadruple, 3)
        assert await bench.result(workflow_id) == 12
        assert [(s["step_id"], s["name"], s["output"]) for s in await bench.steps(workflow_id)] == [
            ("1", "double", 6),
            ("2", "double", 12),
        ]


async def test_a_failing_step_fails_its_workflow_with_the_same_exception(database: str) -> None:
    @step(max_attempts=3, backoff=0.001)
    async def refuse() -> None:
        raise LookupError("no such card")

    @workflow
    async def pay() -> str:
        try:
            await refuse()
        except LookupError as error:
            return str(error)
        return "paid"

    async with engine_on(database, pay) as bench:
        workflow_id = await bench.start(pay)
        assert await bench.result(workflow_id) == "no such card"
        (record,) = await bench.steps(workflow_id)
        assert record["attempts"] == 3


async def test_branches_have_paths_of_their_own(database: str) -> None:
    @step
    async def name(text: str) -> str:
        return text

    @workflow
    async def fan_out() -> list[str]:
        async def two(text: str) -> str:
            return await name(text) + await name(text)

        first = await name("a")
        return [first, *await asyncio.gather(two("b"), name("c"), two("d"))]

    async with engine_on(database, fan_out) as bench:
        workflow_id = await bench.start(fan_out)
        assert await bench.result(workflow_id) == ["a", "bb", "c", "dd"]
        ids = {s["step_id"] for s in await bench.steps(workflow_id)}
        assert ids == {"1", "2.1", "2.2", "3.1", "4.1", "4.2"}


async def test_an_uncaught_exception_is_the_workflows_error(database: str) -> None:
    @workflow
    async def fail() -> None:
        raise ValueError("secret detail")

    async with engine_on(database, fail) as bench:
        with pytest.raises(WorkflowFailed) as caught:
            await bench.run(fail)
        assert "secret" not in str(caught.value)
