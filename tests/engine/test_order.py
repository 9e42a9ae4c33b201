"""The order in which branches are made and get results: by the code and the record, never by chance."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import Any

import pytest

from outlast import step, transaction, workflow
from outlast.core.records import StepRecord
from outlast.engine.execution.calls import PendingCall
from outlast.engine.execution.recording import Completion, Completions
from outlast.sdk.operations import Sleep
from tests.engine.harness import engine_on
from tests.store.harness import under_way, waits_for_a_lock

MANY_CYCLES = 100


@step
async def say(number: int) -> int:
    return number


@workflow
async def in_a_set() -> list[int]:
    tasks = [asyncio.create_task(say(number)) for number in range(8)]
    done, _ = await asyncio.wait(tasks)
    return [task.result() for task in done]


@workflow
async def as_they_complete() -> None:
    for each in asyncio.as_completed([say(number) for number in range(8)]):
        await each


async def test_a_set_of_tasks_goes_in_the_order_they_were_made(database: str) -> None:
    async with engine_on(database, in_a_set) as bench:
        assert await bench.run(in_a_set) == list(range(8))


async def test_as_completed_makes_tasks_in_the_order_given(database: str) -> None:
    async with engine_on(database, as_they_complete) as bench:
        workflow_id = await bench.start(as_they_complete)
        await bench.result(workflow_id)
        places = {each["step_id"]: each["output"] for each in await bench.steps(workflow_id)}
        assert places == {f"{number + 1}.1": number for number in range(8)}


def call_of(step_id: str) -> PendingCall:
    return PendingCall(step_id, Sleep(0.0), NOBODY, Context(), None, None)


def put(completions: Completions, place: int) -> None:
    record = StepRecord(str(place), "s", "1", completion_order=place)
    completions.fill(place, Completion(call_of(str(place)), record, None, None))


def taken(completions: Completions) -> list[int | None]:
    taken = []
    while (found := completions.next()) is not None:
        taken.append(found.record.completion_order)
    return taken


NOBODY: Any = None


def test_completions_are_handed_over_in_the_order_of_their_places() -> None:
    completions = Completions(2)
    assert [completions.take_place() for _ in range(3)] == [3, 4, 5]
    put(completions, 5)
    put(completions, 4)
    assert taken(completions) == []
    put(completions, 3)
    assert taken(completions) == [3, 4, 5]


def test_no_completion_passes_one_that_is_about_to_be_committed() -> None:
    completions = Completions(0)
    about, later = completions.take_place(), completions.take_place()
    put(completions, later)
    assert taken(completions) == []
    assert taken(completions) == []  # however often it is asked
    completions.drop([about])
    assert taken(completions) == [later]
    assert not completions.places


class Doubt:
    """What `doubtful` waits for, and what its branches were told."""

    def __init__(self) -> None:
        self.paying, self.give_up, self.ready = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.told: list[str] = []


doubts: list[Doubt] = []


@transaction
async def pay(tx: Any) -> None:
    doubts[-1].paying.set()
    await asyncio.Event().wait()


@step
async def until_ready() -> None:
    await doubts[-1].ready.wait()


@step
async def until_given_up() -> None:
    await doubts[-1].give_up.wait()


@workflow
async def doubtful() -> None:
    doubt = doubts[-1]

    async def given_up() -> None:
        try:
            await pay()
        finally:
            doubt.told.append("given up")

    async def result() -> None:
        await until_ready()
        doubt.told.append("result")

    tasks = [asyncio.create_task(given_up()), asyncio.create_task(result())]
    await until_given_up()
    tasks[0].cancel()
    await asyncio.wait(tasks)


@pytest.mark.postgres
async def test_no_result_passes_a_transaction_given_up_in_doubt(database: str) -> None:
    """Whether it was committed is known once the record of that it wasn't is accepted."""
    doubts[:] = [doubt := Doubt()]
    async with engine_on(database, doubtful) as bench:
        workflow_id = await bench.start(doubtful)
        await bench.until(doubt.paying.is_set)
        held = "select from outlast.workflow_status for update"
        async with under_way(database, held):
            doubt.give_up.set()
            await waits_for_a_lock(database, bench.live[workflow_id].task)
            doubt.ready.set()
            for _ in range(MANY_CYCLES):
                await asyncio.sleep(0)
            assert doubt.told == []
        await bench.result(workflow_id)
        assert doubt.told == ["given up", "result"]
