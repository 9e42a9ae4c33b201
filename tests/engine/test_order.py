"""The order in which branches are made and get results: by the code and the record, never by chance."""

from __future__ import annotations

import asyncio
from typing import Any

from outlast import step, transaction, workflow
from outlast.core.records import StepRecord
from outlast.core.replay import History
from outlast.engine.turns import QUIET_CYCLES, Turns
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


def turns_of(*orders: int) -> Turns:
    """The turnstile of an execution that recorded these completions, and has a branch beside its body."""
    records = [StepRecord(str(order), "s", "1", completion_order=order) for order in orders]
    return Turns(History(records), [object()])


async def cycles(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_results_come_in_the_recorded_order_however_they_are_asked_for() -> None:
    turns = turns_of(1, 2, 3)
    got: list[int] = []

    async def take(order: int) -> None:
        await turns.take(order)
        got.append(order)

    tasks = [asyncio.create_task(take(order)) for order in (3, 2)]
    await cycles(MANY_CYCLES)
    assert got == []
    await take(1)
    await asyncio.gather(*tasks)
    assert got == [1, 2, 3]


async def test_the_next_result_waits_until_the_branch_that_got_one_is_at_rest() -> None:
    turns = turns_of()
    noted: list[str] = []

    async def busy(order: int) -> None:
        await turns.take(order)
        for _ in range(10):
            turns.activity += 1  # as its execution does each time a task of the body goes on
            await cycles(QUIET_CYCLES - 2)
        noted.append(f"{order} rests")

    async def quick(order: int) -> None:
        await turns.take(order)
        noted.append(f"{order} goes on")

    async with asyncio.timeout(10):
        await asyncio.gather(busy(1), quick(2))
    assert noted == ["1 rests", "2 goes on"]


async def test_no_completion_passes_one_that_is_about_to_be_committed() -> None:
    turns = turns_of()
    turns.reserve(1)
    later = asyncio.create_task(turns.take(2))
    await cycles(MANY_CYCLES)
    assert not later.done()
    turns.give_up(1)
    async with asyncio.timeout(10):
        await later


async def test_on_replay_a_cancellation_comes_after_the_results_before_it() -> None:
    turns = turns_of(1, 2)
    got: list[str] = []

    async def given_up() -> None:
        try:
            await turns.cancelled_again(2)
        finally:
            got.append("given up")

    task = asyncio.create_task(given_up())
    await cycles(1)
    task.cancel()
    await cycles(MANY_CYCLES)
    assert got == []
    await turns.take(1)
    got.append("result")
    async with asyncio.timeout(10):
        await asyncio.wait([task])
    assert got == ["result", "given up"]


ready: list[asyncio.Event] = []


@step
async def last_words() -> None:
    ready[-1].set()


@step
async def endless() -> None:
    await asyncio.Event().wait()


@workflow
async def gives_up() -> list[str]:
    told: list[str] = []

    async def result() -> None:
        await last_words()
        told.append("result")

    async def given_up() -> None:
        try:
            await endless()
        finally:
            told.append("given up")

    stuck = asyncio.create_task(given_up())
    quick = asyncio.create_task(result())
    await ready[-1].wait()  # set by the step as it ends: its result waits for its turn by now
    stuck.cancel()
    await asyncio.wait([stuck, quick])
    return told


async def test_a_step_given_up_is_told_after_the_results_before_it(database: str) -> None:
    ready[:] = [asyncio.Event()]
    async with engine_on(database, gives_up) as bench:
        assert await bench.run(gives_up) == ["result", "given up"]


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
    await doubt.give_up.wait()
    tasks[0].cancel()
    await asyncio.wait(tasks)


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
            await cycles(MANY_CYCLES)
            assert doubt.told == []
        await bench.result(workflow_id)
        assert doubt.told == ["given up", "result"]
