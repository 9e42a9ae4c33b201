"""Steps that their own workflow cancels: the same on replay, whoever asked for it and whenever it came."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from outlast import WorkflowFailed, step, workflow
from tests.engine.harness import Bench, engine_on


class Gate:
    """Where a test holds steps, and sees which ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.open = asyncio.Event()
        self.reached = asyncio.Event()


gate: Gate


@pytest.fixture(autouse=True)
def _gate() -> None:
    global gate
    gate = Gate()


@step
async def quick(name: str) -> str:
    gate.ran.append(name)
    return name


@step
async def stuck(name: str) -> str:
    gate.ran.append(name)
    await asyncio.Event().wait()
    return name


@step
async def held(name: str) -> str:
    gate.ran.append(name)
    gate.reached.set()
    await gate.open.wait()
    return name


@step
async def broken() -> None:
    raise ValueError("broken")


async def crash_at_held(database: str, flow: Any) -> tuple[Any, list[dict[str, Any]], list[str]]:
    """Run until `held` is reached, crash, run to the end elsewhere; result, records and what ran after."""
    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(gate.reached.is_set)
        await bench.until(lambda: _durable(bench))
        await bench.abandon()
    gate.ran.clear()
    gate.open.set()
    async with engine_on(database, flow) as bench:
        return await bench.result(workflow_id), await bench.steps(workflow_id), gate.ran


async def _durable(bench: Bench) -> bool:
    return not bench.engine._journal._entries and not bench.engine._journal._in_flight


@workflow
async def times_out() -> list[str]:
    seen = []
    try:
        async with asyncio.timeout(0.05):
            await stuck("slow")
    except TimeoutError:
        seen.append("timeout")
    seen.append(await held("after"))
    return seen


@workflow
async def waits_for() -> list[str]:
    seen = []
    try:
        await asyncio.wait_for(stuck("slow"), 0.05)
    except TimeoutError:
        seen.append("timeout")
    seen.append(await held("after"))
    return seen


@workflow
async def cancels() -> list[str]:
    seen = []
    task = asyncio.create_task(stuck("slow"))
    seen.append(await quick("first"))
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        seen.append("cancelled")
    seen.append(await held("after"))
    return seen


@workflow
async def sibling_fails() -> list[str]:
    seen = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(stuck("slow"))
            group.create_task(broken())
    except* ValueError:
        seen.append("group")
    seen.append(await held("after"))
    return seen


@workflow
async def gathers() -> list[str]:
    seen = []
    whole = asyncio.gather(stuck("a"), stuck("b"))
    seen.append(await quick("first"))
    whole.cancel()
    try:
        await whole
    except asyncio.CancelledError:
        seen.append("cancelled")
    seen.append(await held("after"))
    return seen


@pytest.mark.parametrize(
    "flow", [times_out, waits_for, cancels, sibling_fails, gathers], ids=lambda f: f.__name__
)
async def test_a_cancelled_step_is_given_up_again_and_not_run_again(database: str, flow: Any) -> None:
    result, records, ran = await crash_at_held(database, flow)
    assert result[-1] == "after"
    assert result[-2] in ("timeout", "cancelled", "group")
    assert ran == ["after"]
    assert not [record for record in records if record["name"] == "stuck"], (
        "what was given up needs no record"
    )


async def test_what_came_after_a_timeout_waits_for_it_on_replay(database: str) -> None:
    @workflow
    async def race() -> list[str]:
        seen = []

        async def limited() -> None:
            try:
                async with asyncio.timeout(0.3):
                    await stuck("slow")
            except TimeoutError:
                seen.append("timeout")
                timed_out.set()

        async def other() -> None:
            await timed_out.wait()
            seen.append(await quick("later"))
            seen.append(await quick("last"))

        timed_out = asyncio.Event()
        await asyncio.gather(limited(), other())
        seen.append(await held("after"))
        return seen

    result, _, ran = await crash_at_held(database, race)
    assert result == ["timeout", "later", "last", "after"]
    assert ran == ["after"]


async def test_a_body_that_asks_in_a_loop_gets_what_it_waits_for(database: str) -> None:
    @workflow
    async def polls() -> str:
        task = asyncio.create_task(quick("x"))
        while not task.done():
            await asyncio.sleep(0)
        return task.result()

    async with engine_on(database, polls) as bench:
        assert await bench.run(polls) == "x"


async def test_a_step_that_raises_cancelled_error_of_its_own_has_failed(database: str) -> None:
    @step
    async def confused() -> None:
        raise asyncio.CancelledError

    @workflow
    async def flow() -> str:
        try:
            await confused()
        except RuntimeError as error:
            return str(error) + await held("after")
        return "no error"

    result, records, ran = await crash_at_held(database, flow)
    assert "CancelledError" in result
    assert ran == ["after"]
    assert records[0]["error"]["type"] == "RuntimeError"


async def test_a_body_that_cancels_itself_has_failed(database: str) -> None:
    @workflow
    async def flow() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with engine_on(database, flow) as bench:
        with pytest.raises(WorkflowFailed):
            await bench.run(flow)


async def test_tasks_that_nobody_waits_for_end_with_the_body(database: str) -> None:
    @workflow
    async def flow() -> str:
        tasks.append(asyncio.create_task(stuck("background")))
        return await quick("done")

    tasks: list[asyncio.Task[str]] = []
    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "done"
        await bench.until(tasks[0].done)
        assert [r["name"] for r in await bench.steps(workflow_id)] == ["quick"]


async def test_a_step_begins_after_the_end_of_what_was_given_up(database: str) -> None:
    """As if the body had waited for it: what a step cleans up is over before the next one looks."""
    done: list[str] = []
    begun = asyncio.Event()

    @step
    async def uploads() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            done.append("cleaned up")

    @step
    async def has_begun() -> None:
        await begun.wait()  # else there may be nothing to clean up

    @step
    async def looks() -> list[str]:
        return list(done)

    @workflow
    async def flow() -> list[str]:
        uploading = asyncio.create_task(uploads())
        await has_begun()
        uploading.cancel()
        with suppress(asyncio.CancelledError):
            await uploading
        return await looks()

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == ["cleaned up"]


async def test_a_gather_that_was_cancelled_and_dropped_is_nobodys_error(database: str) -> None:
    @step
    async def waits() -> None:
        await asyncio.Event().wait()

    @workflow
    async def drops() -> str:
        gathered = asyncio.gather(waits(), waits())
        await asyncio.sleep(0)
        gathered.cancel()
        await asyncio.wait([gathered])
        del gathered
        return "dropped"

    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with engine_on(database, drops) as bench:
        assert await bench.run(drops) == "dropped"
    assert told == []
