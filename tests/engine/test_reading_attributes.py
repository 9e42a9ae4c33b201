"""What a body reads of its own attributes: recorded, so that a replay gives what was found then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import context, start, step, workflow
from outlast.core.verbs import FORK, SET_WORKFLOW
from outlast.testing import Outlast
from tests.engine.harness import Bench, engine_on

reached: asyncio.Event
opened: asyncio.Event


@pytest.fixture(autouse=True)
def a_gate() -> None:
    global reached, opened
    reached, opened = asyncio.Event(), asyncio.Event()


@step
async def pass_gate() -> None:
    reached.set()
    await opened.wait()


@workflow
async def looking() -> list[dict[str, Any]]:
    first = await context().attributes()
    await context().set_attributes({"stage": "looked", "gone": None})
    second = await context().attributes()
    await pass_gate()
    return [first, second, await context().attributes()]


@workflow
async def begins() -> str:
    return (await start(looking, attributes={"customer": "42", "gone": True})).workflow_id


@workflow
def in_a_thread() -> list[dict[str, Any]]:
    first = context().attributes()
    _ = context().set_attributes({"n": 1})
    return [first, context().attributes()]


@step
async def reads() -> None:
    await context().attributes()


@workflow
async def reads_in_a_step() -> str:
    try:
        await reads()
    except Exception as error:
        return str(error)
    return "read"


FIRST = {"customer": "42", "gone": True}
SECOND = {"customer": "42", "stage": "looked"}


async def act(bench: Bench, workflow_id: str, **attributes: Any) -> None:
    await bench.engine.act(SET_WORKFLOW, workflow_id, {"attributes": attributes}, "ann")


@pytest.mark.parametrize("crashes", [False, True])
async def test_it_reads_what_was_given_set_and_changed_from_outside(database: str, crashes: bool) -> None:
    async with engine_on(database, begins, looking) as bench:
        workflow_id = await bench.run(begins)
        await bench.until(reached.is_set)
        await act(bench, workflow_id, customer="43", reviewed=True)
        if crashes:
            await bench.abandon()
        else:
            opened.set()
            third = {"customer": "43", "stage": "looked", "reviewed": True}
            assert await bench.result(workflow_id) == [FIRST, SECOND, third]
    if crashes:
        opened.set()
        async with engine_on(database, begins, looking) as bench:
            third = {"customer": "43", "stage": "looked", "reviewed": True}
            assert await bench.result(workflow_id) == [FIRST, SECOND, third]
            kinds = [each["kind"] for each in await bench.steps(workflow_id)]
            assert kinds == ["read_attributes", "attributes", "read_attributes", "step", "read_attributes"]


async def test_a_fork_keeps_what_it_keeps_the_record_of(database: str) -> None:
    async with engine_on(database, begins, looking) as bench:
        opened.set()
        workflow_id = await bench.run(begins)
        await bench.result(workflow_id)
        await act(bench, workflow_id, customer="44")
        late = await bench.engine.act(FORK, workflow_id, {"from": "pass_gate"}, "ann")
        anew = await bench.engine.act(FORK, workflow_id, {"from": "start"}, "ann")
        third = {"customer": "44", "stage": "looked"}
        assert await bench.result(late["fork"]) == [FIRST, SECOND, third]
        assert await bench.result(anew["fork"]) == [third, third, third]


async def test_a_def_workflow_reads_without_await(database: str) -> None:
    async with engine_on(database, in_a_thread) as bench:
        assert await bench.run(in_a_thread) == [{}, {"n": 1}]


async def test_a_step_is_handed_what_it_needs(database: str) -> None:
    async with engine_on(database, reads_in_a_step) as bench:
        assert "attributes are read in a workflow's body" in await bench.run(reads_in_a_step)


def test_a_kill_at_each_point_comes_to_the_same(outlast: Outlast) -> None:
    opened.set()
    _ = outlast.crash_everywhere(looking)
