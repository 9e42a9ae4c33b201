"""What steps emit: to whom, in which order, how much of it, and where not."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import from_json

from outlast import NotSerializable, UsageError, emit, start, step, transaction, workflow
from outlast.core.events import EMITTED_BYTES_MAX, Emission
from outlast.engine.waits.emissions import HELD_CHARS_MAX, HELD_MAX, Emissions, Listener
from tests.engine.harness import Bench, engine_on


def values(emissions: Any) -> list[Any]:
    return [from_json(each.value) for each in emissions]


async def heard(bench: Bench, flow: Any, *args: Any) -> list[Emission]:
    """What a workflow's steps emit, of one that succeeds."""
    workflow_id = bench.new(flow.definition).workflow_id
    with bench.engine.emissions.listening(workflow_id) as listener:
        await bench.start(flow, *args, workflow_id=workflow_id)
        await bench.result(workflow_id)
        dropped, emissions = listener.take()
    assert dropped == 0
    return list(emissions)


# --- from where ---------------------------------------------------------------------------------------------


async def test_a_step_its_tasks_and_its_threads_emit(database: str) -> None:
    class Token(BaseModel):
        text: str

    async def task() -> None:
        emit("of a task")
        await asyncio.to_thread(emit, "of a thread")

    @step
    async def inner() -> None:
        emit("of a step within the step")

    @step
    async def outer() -> str:
        emit(Token(text="a"))
        await asyncio.gather(task())
        await inner()
        return "done"

    @step
    def blocking() -> None:
        emit([1, None])
        own = threading.Thread(target=contextvars.copy_context().run, args=(emit, "of its own thread"))
        own.start()
        own.join()

    @workflow
    async def flow() -> None:
        await outer()
        await blocking.aio()

    async with engine_on(database, flow) as bench:
        emissions = await heard(bench, flow)
    assert [(each.step_id, each.name, each.epoch, each.attempt, each.number) for each in emissions] == [
        ("1", "outer", 1, 1, 1),
        ("1", "outer", 1, 1, 2),
        ("1", "outer", 1, 1, 3),
        ("1", "outer", 1, 1, 4),
        ("2", "blocking", 1, 1, 1),
        ("2", "blocking", 1, 1, 2),
    ]
    assert values(emissions) == [
        {"text": "a"},
        "of a task",
        "of a thread",
        "of a step within the step",
        [1, None],
        "of its own thread",
    ]
    assert [each.after for each in emissions] == [0, 0, 0, 0, 1, 1]


async def test_nothing_of_it_is_recorded(database: str) -> None:
    @step
    async def say() -> str:
        emit("x")
        return "y"

    @workflow
    async def flow() -> str:
        return await say()

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "y"
        assert [each["output"] for each in await bench.steps(workflow_id)] == ["y"]


async def test_a_step_that_is_called_plainly_emits_to_nobody(database: str) -> None:
    @step
    async def say() -> str:
        emit("x")
        await asyncio.sleep(0)
        emit("y")
        return "done"

    @step
    def say_blocking() -> str:
        emit("x")
        return "done"

    assert await say() == "done"
    assert say_blocking() == "done"
    with pytest.raises(UsageError, match="running step"):
        emit("x")  # nothing of that stays


# --- where not ----------------------------------------------------------------------------------------------


async def test_emitting_elsewhere_says_where_it_belongs(database: str) -> None:
    @workflow
    async def body() -> None:
        emit(1)

    @workflow
    def def_body() -> None:
        emit(1)

    @step
    async def own_thread() -> str:
        refused: list[str] = []

        def run() -> None:
            try:
                emit(1)
            except UsageError as error:
                refused.append(str(error))

        thread = threading.Thread(target=contextvars.Context().run, args=(run,))
        thread.start()
        thread.join()
        return refused[0]

    @workflow
    async def threads() -> str:
        return await own_thread()

    @step
    async def starts() -> str:
        child = await start(body)
        return child.workflow_id

    @workflow
    async def parent() -> str:
        return await starts()

    async with engine_on(database, body, def_body, threads, parent) as bench:
        for each in (body, def_body):
            failure = await bench.failure(await bench.start(each))
            assert failure["failure"]["type"] == "UsageError"
            assert "publish(event, value)" in failure["failure"]["message"]
        assert "copy_context" in await bench.run(threads)
        # A workflow that is started by a step that emits is no part of it.
        failure = await bench.failure(await bench.run(parent))
        assert failure["failure"]["type"] == "UsageError"


@pytest.mark.postgres
async def test_a_transaction_does_not_emit(database: str) -> None:
    @transaction
    async def write(tx: Any) -> None:
        emit(1)

    @workflow
    async def flow() -> None:
        await write()

    async with engine_on(database, flow) as bench:
        failure = await bench.failure(await bench.start(flow))
    assert failure["failure"]["type"] == "UsageError"
    assert "before it commits" in failure["failure"]["message"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1: 2}, "the key 1"),
        (float("nan"), "nan"),
        (object(), "object object at"),
        ({1, 2}, "would not come back from JSON the same"),
        ("x" * EMITTED_BYTES_MAX, "in pieces"),
        ("é" * (EMITTED_BYTES_MAX // 2), "in pieces"),
    ],
    ids=["key", "nan", "object", "set", "long", "wide"],
)
async def test_a_value_that_is_no_json_or_too_large_is_refused_whoever_listens(value: Any, said: str) -> None:
    @step
    async def say() -> None:
        with pytest.raises(NotSerializable, match=said):
            emit(value)

    await say()


async def test_the_largest_value_is_emitted() -> None:
    @step
    async def say() -> None:
        emit("x" * (EMITTED_BYTES_MAX - 2))

    await say()


# --- attempts -----------------------------------------------------------------------------------------------


async def test_what_an_attempt_left_running_says_nothing_more(database: str) -> None:
    """Else it could be taken for what the next attempt says."""
    left: list[Callable[[Any], None]] = []

    @step(max_attempts=2, backoff=0)
    async def say() -> str:
        first = not left
        context = contextvars.copy_context()
        left.append(lambda value: context.run(emit, value))
        emit("first" if first else "second")
        if first:
            raise OSError
        left[0]("of the first, late")
        emit("end")
        return "done"

    @workflow
    async def flow() -> str:
        return await say()

    async with engine_on(database, flow) as bench:
        emissions = await heard(bench, flow)
        left[1]("after the end")
    assert [(each.attempt, each.number) for each in emissions] == [(1, 1), (2, 1), (2, 2)]
    assert values(emissions) == ["first", "second", "end"]


# --- listeners ----------------------------------------------------------------------------------------------


def emission(number: int, value: str = "1") -> Emission:
    return Emission("1", "say", 1, 1, number, value, number)


async def test_a_listener_keeps_the_newest_and_counts_what_it_dropped() -> None:
    emissions = Emissions()
    with emissions.listening("w") as listener:
        for number in range(HELD_MAX + 5):
            listener.put(emission(number))
        dropped, held = listener.take()
        assert (dropped, held[0].number, len(held)) == (5, 5, HELD_MAX)
        assert listener.take() == (0, type(held)())
        part = HELD_CHARS_MAX // 4
        for number in range(6):
            listener.put(emission(number, "x" * part))
        dropped, held = listener.take()
        assert (dropped, [each.number for each in held]) == (2, [2, 3, 4, 5])
        assert listener.after == 5


async def test_arrivals_are_told_again_and_again_from_any_thread() -> None:
    emissions = Emissions()

    def put(listener: Listener, number: int) -> None:
        with emissions.lock:
            listener.put(emission(number))

    with emissions.listening("w") as one, emissions.listening("w") as other:
        assert emissions.of("w") == [one, other]
        for number in range(3):
            threading.Thread(target=put, args=(one, number)).start()
            async with asyncio.timeout(30):
                await one.arrival()
            assert [each.number for each in one.take().emissions] == [number]
    assert emissions.of("w") is None


async def test_nobody_is_told_of_another_workflow(database: str) -> None:
    @step
    async def say(text: str) -> None:
        emit(text)

    @workflow
    async def flow(text: str) -> None:
        await say(text)

    async with engine_on(database, flow) as bench:
        with bench.engine.emissions.listening("w:1") as listener:
            await bench.result(await bench.start(flow, "other", workflow_id="w:2"))
            await bench.result(await bench.start(flow, "own", workflow_id="w:1"))
            assert values(listener.take().emissions) == ["own"]
