"""Workflows whose rows were removed: nothing of them outlives that, and their keys are free."""

from __future__ import annotations

import pytest

from outlast import WorkflowHandle, publish, receive, sleep, start, step, workflow
from tests.engine.harness import Bench, engine_on

pytestmark = pytest.mark.postgres

LEFT = """
    select
      (select count(*) from outlast.workflow_status) as workflows,
      (select count(*) from outlast.operation_outputs) as steps,
      (select count(*) from outlast.messages) as messages
"""


@step
async def double(number: int) -> int:
    return 2 * number


@workflow
async def kid(number: int) -> int:
    return await double(number)


@workflow
async def family(number: int) -> int:
    await publish("began", number)
    return await double(number) + await (await start(kid, number)).result()


@workflow
async def listener() -> str:
    return await receive("topic")


async def remove(bench: Bench, workflow_id: str) -> None:
    await bench.rows("delete from outlast.workflow_status where workflow_id = %s", workflow_id)


async def test_a_key_that_is_used_again_gets_a_new_workflow(database: str) -> None:
    async with engine_on(database, family, kid) as bench:
        assert await bench.result(await bench.start(family, 1, workflow_id="w")) == 4
        await remove(bench, "w")
        assert await bench.rows(LEFT) == [{"workflows": 0, "steps": 0, "messages": 0}]
        assert await bench.result(await bench.start(family, 21, workflow_id="w")) == 84


async def test_it_replays_only_what_is_its_own(database: str) -> None:
    """Where it is recovered, its history is read."""

    @workflow
    async def flow(number: int) -> int:
        doubled = await double(number)
        await sleep(1.2)
        return await double(doubled)

    async with engine_on(database, flow) as bench:
        assert await bench.result(await bench.start(flow, 1, workflow_id="w")) == 4
        await remove(bench, "w")
        assert await bench.result(await bench.start(flow, 10, workflow_id="w")) == 40


async def test_messages_to_the_old_one_are_not_the_new_ones(database: str) -> None:
    async with engine_on(database, listener) as bench:
        for text in ("old", "new"):
            await bench.start(listener, workflow_id="w")
            await bench.engine.host.send("w", f'"{text}"', "topic", "key")
            assert await bench.result("w") == text
            await remove(bench, "w")
        assert await bench.rows(LEFT) == [{"workflows": 0, "steps": 0, "messages": 0}]


async def test_the_documented_statement_keeps_what_a_living_workflow_may_ask_for(database: str) -> None:
    @workflow
    async def parent() -> int:
        child: WorkflowHandle[int] = await start(kid, 1)
        await receive("go")
        return await child.result()

    async with engine_on(database, parent, kid) as bench:
        await bench.start(parent, workflow_id="alive")
        await bench.result("alive/1")
        await bench.result(await bench.start(kid, 1, workflow_id="old"))
        await bench.rows(
            "update outlast.workflow_status set completed_at = now() - interval '31 days'"
            " where completed_at is not null"
        )
        await bench.rows(documented())
        left = await bench.rows("select workflow_id from outlast.workflow_status order by 1")
        assert [row["workflow_id"] for row in left] == ["alive", "alive/1"]
        await bench.engine.host.send("alive", "null", "go", None)
        assert await bench.result("alive") == 2


def documented() -> str:
    """The statement of docs/sql.md."""
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
    after = text.split("## Removing ended workflows", 1)[1]
    return after.split("```sql\n", 1)[1].split("```", 1)[0]
