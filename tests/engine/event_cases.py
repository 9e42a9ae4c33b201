"""Events that others read: each once, in order, over crashes of both sides, with no memory while they wait.

They run in memory (test_reading_events.py) and on Postgres (test_reading_events_on_postgres.py).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from outlast import (
    InvalidInput,
    UsageError,
    WorkflowEnded,
    WorkflowHandle,
    WorkflowNotFound,
    map_,
    publish,
    receive,
    start,
    step,
    workflow,
)
from outlast.core import kinds
from outlast.core.events import taken_in
from tests.engine.harness import Bench, engine_on, pass_time


@workflow
async def tells(count: int, asks: bool = False) -> str:
    """It publishes one event after the other; with `asks` each when it is told to."""
    for number in range(count):
        if asks:
            await receive("go")
        await publish("n", number)
        await publish("other", -number)
    if asks:
        await receive("go")
    return "told"


@workflow
async def reads(workflow_id: str) -> list[int]:
    return [value async for value in WorkflowHandle[Any](workflow_id).events("n", of=int)]


@workflow
def reads_blocking(workflow_id: str) -> list[int]:
    return list(WorkflowHandle[Any](workflow_id).events("n", of=int))


@workflow
async def newest(workflow_id: str, timeout: float | None = None) -> Any:
    return await WorkflowHandle[Any](workflow_id).event("n", timeout=timeout)


FLOWS = (tells, reads, reads_blocking, newest)


async def go(bench: Bench, workflow_id: str) -> None:
    await bench.engine.host.send(workflow_id, "null", "go", None)


async def taken(bench: Bench, workflow_id: str) -> list[Any]:
    """What the records of a reader say that it has taken."""
    records = [each for each in await bench.steps(workflow_id) if each["kind"] == kinds.EVENT]
    return [each["output"] for each in records if each["completion_order"] is not None]


async def gone(bench: Bench, workflow_id: str) -> None:
    """Wait until a workflow has left the memory."""

    async def left() -> bool:
        row = await bench.row(workflow_id)
        return row["owner"] is None and workflow_id not in bench.live

    await bench.until(left)


# --- what is read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", [reads, reads_blocking], ids=["async", "def"])
async def test_a_workflow_reads_all_events_of_a_name_to_the_end(database: str, flow: Any) -> None:
    async with engine_on(database, *FLOWS) as bench:
        told = await bench.start(tells, 7)
        assert await bench.run(flow, told) == list(range(7))
        assert await bench.run(flow, told) == list(range(7))  # it has ended by now


@workflow
async def item(_: int) -> None: ...


@workflow
async def maps() -> None:
    await receive("go")
    _ = await map_(item, [1, 2, 3])
    await receive("go")


@workflow
async def reads_progress(workflow_id: str) -> Any:
    async for told in WorkflowHandle[Any](workflow_id).events("map.2"):
        if told["ok"] == told["total"]:
            return told
    return None


async def test_how_far_a_map_is_wakes_who_reads_it(database: str) -> None:
    async with engine_on(database, maps, item, reads_progress) as bench:
        told = await bench.start(maps)
        reader = await bench.start(reads_progress, told)
        await gone(bench, reader)
        await go(bench, told)
        assert await bench.result(reader) == {"total": 3, "started": 3, "ok": 3, "failed": 0}
        assert (await bench.row(told))["status"] == "PENDING"
        await go(bench, told)
        await bench.result(told)


@pytest.mark.parametrize("flow", [reads, reads_blocking], ids=["async", "def"])
async def test_each_event_is_taken_as_it_comes(database: str, flow: Any) -> None:
    async with engine_on(database, *FLOWS) as bench:
        told = await bench.start(tells, 3, True)
        reader = await bench.start(flow, told)
        for number in range(3):
            await go(bench, told)

            async def came(number: int = number) -> bool:
                return len(await taken(bench, reader)) == number + 1

            await bench.until(came)
        await go(bench, told)
        assert await bench.result(reader) == [0, 1, 2]
        records = [each for each in await bench.steps(reader) if each["kind"] == kinds.EVENT]
        assert [each["name"] for each in records] == [f"event n of {told}"] * 4
        assert [each["output"]["value"] for each in records[:-1]] == [0, 1, 2]
        assert records[-1]["output"] == {"ended": True}


async def test_two_streams_are_read_beside_each_other(database: str) -> None:
    @workflow
    async def both(workflow_id: str) -> list[Any]:
        handle = WorkflowHandle[Any](workflow_id)
        mixed = []
        async for value in handle.events("n"):
            mixed.append(value)
            mixed.append(await handle.event("other") <= -value)
        again = [value async for value in handle.events("n")]
        rest = handle.events("other")
        return [mixed, again, await anext(rest), [value async for value in rest]]

    async with engine_on(database, both, tells) as bench:
        told = await bench.start(tells, 3)
        await bench.result(told)
        assert await bench.run(both, told) == [[0, True, 1, True, 2, True], [0, 1, 2], 0, [-1, -2]]


# --- memory, and waking -------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", [reads, reads_blocking], ids=["async", "def"])
async def test_who_waits_leaves_the_memory_and_is_woken_by_the_commit_that_publishes(
    database: str, flow: Any
) -> None:
    async with engine_on(database, *FLOWS, tick_s=1e6) as bench:
        told = await bench.start(tells, 2, True)
        reader = await bench.start(flow, told)
        await gone(bench, reader)
        await gone(bench, told)
        for number in range(2):
            await go(bench, told)

            async def came(number: int = number) -> bool:
                return len(await taken(bench, reader)) == number + 1

            await bench.until(came)
            await gone(bench, reader)
            await gone(bench, told)
        await go(bench, told)
        assert await bench.result(reader) == [0, 1]


async def test_who_waits_is_woken_by_an_end_without_an_event(database: str) -> None:
    async with engine_on(database, *FLOWS, tick_s=1e6) as bench:
        told = await bench.start(tells, 0, True)
        readers = [await bench.start(reads, told), await bench.start(newest, told)]
        for each in readers:
            await gone(bench, each)
        await bench.engine.cancel(told)
        assert await bench.result(readers[0]) == []
        failure = await bench.failure(readers[1])
        assert failure["failure"]["type"] == "WorkflowEnded"


async def test_an_event_that_comes_while_its_reader_leaves_wakes_it(database: str) -> None:
    """It is published after the reader's last look, and before its wait is noted."""
    async with engine_on(database, tells) as writer, engine_on(database, newest, tick_s=1e6) as bench:
        told = await writer.start(tells, 1, True)
        await gone(writer, told)
        commit = bench.store.journal.commit
        sent: list[bool] = []

        async def late(batch: Any) -> Any:
            leaves = any(getattr(write.end, "waits", None) for write in batch.writes)
            if leaves and not sent:
                sent.append(True)
                await go(writer, told)

                async def published() -> bool:
                    return any(each["kind"] == kinds.PUBLISH for each in await writer.steps(told))

                await writer.until(published)
            return await commit(batch)

        bench.store.journal.commit = late  # type: ignore[method-assign]
        reader = await bench.start(newest, told)
        assert await bench.result(reader) == 0
        assert sent


# --- crashes ------------------------------------------------------------------------------------------------


async def test_a_reader_goes_on_where_its_records_end(database: str) -> None:
    async with engine_on(database, *FLOWS) as bench:
        told = await bench.start(tells, 3, True)
        reader = await bench.start(reads, told)
        await go(bench, told)

        async def one() -> bool:
            return bool(await taken(bench, reader))

        await bench.until(one)
        await bench.abandon()
    async with engine_on(database, *FLOWS) as bench:
        for _ in range(3):
            await go(bench, told)
        assert await bench.result(reader) == [0, 1, 2]
        records = await taken(bench, reader)
        numbers = [each["number"] for each in records[:-1]]
        assert numbers == sorted(set(numbers))


@step
async def look_on(workflow_id: str) -> list[Any]:
    return [value async for value in WorkflowHandle[Any](workflow_id).events("n")]


@workflow
async def reads_in_a_step(workflow_id: str) -> list[Any]:
    return await look_on(workflow_id)


@pytest.mark.parametrize(
    "flow", [reads, reads_blocking, reads_in_a_step], ids=lambda each: each.definition.name
)
async def test_who_reads_is_handed_over_when_its_instance_shuts_down(database: str, flow: Any) -> None:
    async with engine_on(database, tells) as writer:
        told = await writer.start(tells, 1, True)
        async with engine_on(database, flow, moment_s=60.0) as bench:
            reader = await bench.start(flow, told)
            await bench.until(lambda: bench.engine._events._watched)
        async with engine_on(database, flow) as bench:
            await go(writer, told)
            await go(writer, told)
            assert await bench.result(reader) == [0]


# --- the newest ---------------------------------------------------------------------------------------------


async def test_the_newest_event_waits_for_the_first(database: str) -> None:
    async with engine_on(database, *FLOWS) as bench:
        told = await bench.start(tells, 3, True)
        reader = await bench.start(newest, told)
        await gone(bench, reader)
        await go(bench, told)
        assert await bench.result(reader) == 0
        await go(bench, told)
        await go(bench, told)

        async def all_of_it() -> bool:
            return sum(each["kind"] == kinds.PUBLISH for each in await bench.steps(told)) == 6

        await bench.until(all_of_it)
        assert await bench.run(newest, told) == 2


async def test_a_wait_for_the_newest_has_a_time_that_outlasts_its_memory(database: str) -> None:
    async with engine_on(database, *FLOWS) as bench:
        told = await bench.start(tells, 1, True)
        reader = await bench.start(newest, told, 3600.0)
        await gone(bench, reader)
        waits = await bench.steps(reader)
        assert [each["completion_order"] for each in waits] == [None]
        await pass_time(bench, reader, 3600.0)
        failure = await bench.failure(reader)
        assert failure["failure"]["type"] == "TimeoutError"
        assert "within 3600 s" in failure["failure"]["message"]
        assert (await bench.steps(reader))[0]["output"] is None


async def test_a_default_stands_for_both_ends_of_a_wait(database: str) -> None:
    @workflow
    async def asks(workflow_id: str) -> list[Any]:
        handle = WorkflowHandle[Any](workflow_id)
        return [
            await handle.event("none", timeout=0.01, default="late"),
            await handle.event("none", default="ended"),
        ]

    async with engine_on(database, asks, tells) as bench:
        told = await bench.start(tells, 1, True)
        reader = await bench.start(asks, told)

        async def late() -> bool:
            return bool(await taken(bench, reader))

        await bench.until(late)
        await bench.engine.cancel(told)
        assert await bench.result(reader) == ["late", "ended"]


# --- from steps and handlers --------------------------------------------------------------------------------


async def test_steps_read_what_there_is_now(database: str) -> None:
    @step
    async def look(workflow_id: str) -> list[Any]:
        handle = WorkflowHandle[Any](workflow_id)
        return [await handle.event("n"), [value async for value in handle.events("n")]]

    @step
    def look_blocking(workflow_id: str) -> list[Any]:
        handle = WorkflowHandle[Any](workflow_id)
        return [handle.event("n"), list(handle.events("n"))]

    @step
    async def too_late(workflow_id: str) -> None:
        await WorkflowHandle[Any](workflow_id).event("none", timeout=0.01)

    @workflow
    async def flow(workflow_id: str) -> list[Any]:
        with pytest.raises(TimeoutError, match="published no event 'none'"):
            await too_late(workflow_id)
        return [await look(workflow_id), await look_blocking.aio(workflow_id)]

    async with engine_on(database, flow, tells) as bench:
        told = await bench.start(tells, 3, True)
        reader = await bench.start(flow, told)
        await bench.until(lambda: bench.steps(reader))  # the first look is over
        for _ in range(4):
            await go(bench, told)
        first, second = await bench.result(reader)
        assert first[1] == second[1] == [0, 1, 2]
        assert first[0] in (0, 1, 2)


# --- what is refused ----------------------------------------------------------------------------------------


async def test_types_are_those_asked_for(database: str) -> None:
    class Progress(BaseModel):
        done: int

    @workflow
    async def progresses() -> None:
        await publish("p", Progress(done=1))
        await publish("p", {"done": "much"})

    @workflow
    async def typed(workflow_id: str) -> list[Any]:
        events = WorkflowHandle[Any](workflow_id).events("p", of=Progress)
        first = await anext(events)
        with pytest.raises(InvalidInput, match="an event 'p' doesn't fit"):
            await anext(events)
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        return [type(first).__name__, first.done]

    async with engine_on(database, typed, progresses) as bench:
        told = await bench.start(progresses)
        assert await bench.run(typed, told) == ["Progress", 1]


async def test_wrong_reads_say_what_is_right(database: str) -> None:
    @workflow
    async def wrong(workflow_id: str) -> list[str]:
        refused = []
        handle = WorkflowHandle[Any](workflow_id)
        for attempt in (
            lambda: list(handle.events("n")),
            lambda: handle.events(""),
            lambda: handle.event("x" * 256),
            lambda: handle.event("n", timeout="soon"),  # type: ignore[call-overload]
        ):
            try:
                attempt()
            except UsageError as error:
                refused.append(str(error))
        return refused

    async with engine_on(database, wrong, *FLOWS) as bench:
        refused = await bench.run(wrong, "w")
        assert [each.split(":")[0][:24] for each in refused] == [
            "write `async for … in ha",
            "events takes an event's ",
            "event takes an event's n",
            "event(timeout) takes sec",
        ]
        for flow in (reads, reads_blocking, newest):
            failure = await bench.failure(await bench.start(flow, "nobody"))
            assert failure["failure"]["type"] == "WorkflowNotFound"
    with pytest.raises(UsageError, match="only inside the host"):
        await anext(WorkflowHandle[Any]("w").events("n"))


async def test_an_end_without_the_event_is_told(database: str) -> None:
    @workflow
    async def flow() -> str:
        child = await start(tells, 0)
        try:
            await child.event("n")
        except WorkflowEnded as error:
            return str(error)
        except WorkflowNotFound:
            return "not found"
        return "an event"

    async with engine_on(database, flow, tells) as bench:
        assert "has ended and published no event 'n'" in await bench.run(flow)


def test_a_record_says_what_was_taken() -> None:
    assert taken_in('{"number":3,"value":{"number":4,"value":"}"}}').event == (
        3,
        '{"number":4,"value":"}"}',
    )
    assert taken_in('{"ended":true}').ended
    assert taken_in("null") == (None, False)


async def test_many_readers_of_one_workflow_are_all_woken(database: str) -> None:
    async with engine_on(database, *FLOWS, tick_s=1e6) as bench:
        told = await bench.start(tells, 2, True)
        readers = [await bench.start(reads, told) for _ in range(20)]
        for each in readers:
            await gone(bench, each)
        for _ in range(3):
            await go(bench, told)
            await asyncio.sleep(0)
        assert [await bench.result(each) for each in readers] == [[0, 1]] * 20
