"""`patched`: work that is under way keeps to its records, all else goes the new way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast import UsageError, patched, step, transaction, workflow
from tests.engine.harness import Bench, engine_on
from tests.engine.test_workflows import _held, crash_when_held, held, say  # noqa: F401


def body(name: str | None) -> Any:
    """The code before the change (None), and after it."""

    @workflow
    async def flow() -> list[str]:
        first = await say("new" if name is not None and patched(name) else "old")
        return [first, await held()]

    return flow


async def answers(bench: Bench, workflow_id: str) -> dict[str, Any]:
    return {
        each["step_id"]: each["output"] for each in await bench.steps(workflow_id) if each["kind"] == "patch"
    }


async def test_a_new_one_goes_the_new_way_and_does_so_again(database: str) -> None:
    workflow_id = await crash_when_held(database, body("use-baz"))
    async with engine_on(database, body("use-baz")) as bench:
        assert await bench.result(workflow_id) == ["new", "held"]
        assert await answers(bench, workflow_id) == {"patch:use-baz": True}


async def test_an_old_one_keeps_to_its_records(database: str) -> None:
    workflow_id = await crash_when_held(database, body(None))
    async with engine_on(database, body("use-baz")) as bench:
        assert await bench.result(workflow_id) == ["old", "held"]
        assert await answers(bench, workflow_id) == {"patch:use-baz": False}


async def test_the_answer_may_go_from_the_code_once_no_old_one_is_open(database: str) -> None:
    workflow_id = await crash_when_held(database, body("use-baz"))

    @workflow
    async def flow() -> list[str]:
        return [await say("new"), await held()]

    async with engine_on(database, flow) as bench:
        assert await bench.result(workflow_id) == ["new", "held"]


async def test_a_body_in_a_thread_asks_too(database: str) -> None:
    @step
    def plain(text: str) -> str:
        return text

    @workflow
    def flow() -> list[Any]:
        return [patched("a"), plain("x"), patched("a"), patched("b")]

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == [True, "x", True, True]


async def test_it_has_no_commit_of_its_own(database: str) -> None:
    @workflow
    async def flow() -> bool:
        answer = patched("a")
        await say("x")
        return answer

    async with engine_on(database, flow) as bench:
        commits = []
        commit = bench.store.journal.commit

        async def counted(batch: Any) -> Any:
            commits.append([step.step_id for write in batch.writes for step in write.steps])
            return await commit(batch)

        bench.store.journal.commit = counted  # type: ignore[method-assign]
        assert await bench.run(flow) is True
        assert [each for each in commits if each] == [["patch:a", "1"]]


@pytest.mark.postgres
async def test_it_is_durable_before_a_transaction_is(database: str) -> None:
    @transaction
    async def reserve(tx: Any) -> str:
        rows = await (await tx.execute("select step_id from outlast.operation_outputs")).fetchall()
        return ",".join(each[0] for each in rows)

    @workflow
    async def flow() -> str:
        patched("a")
        return await reserve()

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == "patch:a"


async def test_outside_of_a_body_and_by_other_names_it_is_refused(database: str) -> None:
    with pytest.raises(UsageError, match="body of a workflow"):
        patched("a")

    @workflow
    async def flow() -> None:
        patched("no spaces")

    async with engine_on(database, flow) as bench:
        error = await bench.failure(await bench.start(flow))
        assert "letters" in error["failure"]["message"]


async def test_it_is_durable_before_what_follows_where_something_else_is_on_its_way(database: str) -> None:
    durable: list[str] = []

    @step
    async def later() -> list[str]:
        return list(durable)

    @workflow
    async def flow() -> list[str]:
        both = [asyncio.create_task(say("a")), asyncio.create_task(say("b"))]
        await both[0]
        # What a crash leaves now has the record of `b`: a replay would take this for an old place.
        assert patched("x")
        found = await later()
        await both[1]
        return found

    async with engine_on(database, flow) as bench:
        commit = bench.store.journal.commit

        async def noted(batch: Any) -> Any:
            committed = await commit(batch)
            durable.extend(step.step_id for write in batch.writes for step in write.steps)
            return committed

        bench.store.journal.commit = noted  # type: ignore[method-assign]
        assert "patch:x" in await bench.run(flow)
