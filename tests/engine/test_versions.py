"""Which version of its function a workflow is: what it began as, wherever it came from."""

from __future__ import annotations

from typing import Any

from outlast import Queue, map_, receive, start, step, workflow
from outlast.core.records import NewWorkflow
from outlast.sdk.workflows import Workflow
from tests.engine.harness import Bench, Functions, engine_on


@step
async def say(text: str) -> str:
    return text


def flows(number: int | None) -> Workflow[..., Any]:
    @workflow(version=number)
    async def flow() -> list[Any]:
        return [await say(f"version {number}"), await receive("go", timeout=3600)]

    return flow


async def begin(bench: Bench, flow: Workflow[..., Any], **changes: Any) -> str:
    """Start it as if by SQL, which knows of no versions."""
    new: NewWorkflow = bench.new(flow.definition)._replace(**changes)
    await bench.engine.starts.start_new(new, flow.definition, None)
    await bench.suspended(new.workflow_id)
    return new.workflow_id


async def go(bench: Bench, workflow_id: str) -> Any:
    await bench.engine.host.send(workflow_id, '"go"', "go", None)
    return await bench.result(workflow_id)


async def test_what_bears_no_version_stays_what_it_began_as(database: str) -> None:
    one, two = flows(1), flows(2)
    async with engine_on(database, one) as bench:
        workflow_id = await begin(bench, one, version=None)
        assert (await bench.row(workflow_id))["version"] == "1"
    async with engine_on(database, two, one) as bench:
        assert await go(bench, workflow_id) == ["version 1", "go"]
        assert (await bench.result(await begin_and_go(bench, two)))[0] == "version 2"


async def begin_and_go(bench: Bench, flow: Workflow[..., Any]) -> str:
    workflow_id = await begin(bench, flow)
    await go(bench, workflow_id)
    return workflow_id


async def test_what_began_before_there_were_versions_is_of_the_first(database: str) -> None:
    plain = flows(None)
    async with engine_on(database, plain) as bench:
        workflow_id = await begin(bench, plain)
    async with engine_on(database, flows(2), flows(1)) as bench:
        assert (await go(bench, workflow_id))[0] == "version None"  # what is recorded


async def test_a_version_that_is_not_there_is_held_until_it_is(database: str, monkeypatch: Any) -> None:
    one, two = flows(1), flows(2)
    async with engine_on(database, one) as bench:
        workflow_id = await begin(bench, one)
    monkeypatch.setattr(Functions, "version", lambda self, function: "without")
    async with engine_on(database, two) as bench:
        await bench.engine.host.send(workflow_id, '"go"', "go", None)
        held = await bench.held(workflow_id)
        assert (held["reason"], held["version"]) == ("function_missing", "without")
        assert held["message"] == "version 1 of flow is not served; its newest is version 2"
    monkeypatch.setattr(Functions, "version", lambda self, function: "with")
    async with engine_on(database, two, one) as bench:
        assert await bench.result(workflow_id) == ["version 1", "go"]


async def test_a_key_from_before_the_alias_was_given(database: str) -> None:
    ran: list[str] = []

    def named(*aliases: str) -> Workflow[..., Any]:
        @workflow(aliases=aliases)
        async def flow() -> str:
            ran.append("")
            return "done"

        return flow

    plain, renamed = named(), named("former")
    async with engine_on(database, plain) as bench:
        first = await bench.engine.host.start(plain.definition, (), {}, "k")
        assert await bench.result(first) == "done"
    async with engine_on(database, renamed) as bench:
        assert await bench.engine.host.start(renamed.definition, (), {}, "k") == first
        other = await bench.engine.host.start(renamed.definition, (), {}, "l")
        assert other.startswith("former:")
        assert await bench.result(other) == "done"
    assert len(ran) == 2


def taking(number: int) -> Workflow[..., Any]:
    @workflow(version=number)
    async def each(item: int) -> str:
        return f"{item} by version {number}"

    return each


async def test_children_and_items_are_of_the_version_that_their_parent_has(database: str) -> None:
    one, two = taking(1), taking(2)

    @workflow
    async def parent() -> list[Any]:
        handle = await start(one, 7)
        many = await map_(one, [1, 2])
        return [await handle.result(), list(many), list(await map_(two, [3]))]

    async with engine_on(database, parent, one, two) as bench:
        assert await bench.run(parent) == [
            "7 by version 1", ["1 by version 1", "2 by version 1"], ["3 by version 2"],
        ]  # fmt: skip


async def test_what_waits_in_a_queue_keeps_its_version(database: str) -> None:
    line = Queue("line", concurrency=1)

    def queued(number: int) -> Workflow[..., Any]:
        @workflow(version=number, queue=line)
        async def flow() -> list[Any]:
            return [number, await receive("go", timeout=3600)]

        return flow

    one, two = queued(1), queued(2)
    async with engine_on(database, one, moment_s=30.0) as bench:
        first, second = [await bench.start(one) for _ in range(2)]
        await bench.until(lambda: first in bench.live or second in bench.live)
        rows = [await bench.row(each) for each in (first, second)]
        assert sorted(row["status"] for row in rows) == ["ENQUEUED", "PENDING"]
    async with engine_on(database, two, one) as bench:
        for each in (first, second):
            assert await go(bench, each) == [1, "go"]
        assert (await bench.result(await _go_at_once(bench, two)))[0] == 2


async def _go_at_once(bench: Bench, flow: Workflow[..., Any]) -> str:
    workflow_id = await bench.start(flow)
    await go(bench, workflow_id)
    return workflow_id
