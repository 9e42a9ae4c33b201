"""The cases of what operators do, on Postgres, where each verb is a function."""

from __future__ import annotations

import pytest

from outlast import UsageError, WorkflowHandle, sleep, workflow
from tests.engine.harness import engine_on
from tests.engine.operated_cases import *  # noqa: F403
from tests.engine.operated_cases import naps

pytestmark = pytest.mark.postgres


@workflow
async def forks(workflow_id: str) -> str:
    forked = await WorkflowHandle(workflow_id).fork()
    await sleep(3600)
    return str(forked["fork"])


@workflow
async def says_why(workflow_id: str) -> list[str]:
    handle: WorkflowHandle[object] = WorkflowHandle(workflow_id)
    await handle.set_attributes({"seen": True, "gone": None}, why="looked at")
    refused = []
    for attempt in (handle.set_attributes({"a b": 1}), handle.set_attributes({"a": 1}, why="")):
        try:
            await attempt
        except UsageError as error:
            refused.append(str(error))
    try:
        await handle.cancel(why="")
    except UsageError as error:
        refused.append(str(error))
    await handle.cancel(why="enough")
    return refused


async def test_what_a_workflow_does_to_another_is_noted_with_why(database: str) -> None:
    async with engine_on(database, naps, says_why) as bench:
        target = await bench.start(naps)
        key, why, cancel = await bench.run(says_why, target)
        assert 'the key "a b" is none' in key
        assert why == "set: why must be a text of 1 to 1,000 characters"
        assert cancel == "cancel: why must be a text of 1 to 1,000 characters"
        noted = await bench.rows("select verb, why from outlast.acts where name = %s order by act_id", target)
        assert [(each["verb"], each["why"]) for each in noted] == [("set", "looked at"), ("cancel", "enough")]


async def test_a_fork_whose_record_was_lost_is_made_once(database: str) -> None:
    async with engine_on(database, naps, forks) as bench:
        target = await bench.start(naps)
        await bench.suspended(target)
        workflow_id = await bench.start(forks, target)
        await bench.suspended(workflow_id)
        await bench.rows(
            "delete from outlast.operation_outputs where workflow_id = %s and kind = 'act'", workflow_id
        )
        await bench.rows(
            "update outlast.workflow_status set claimable_at = now() where workflow_id = %s", workflow_id
        )

        async def recorded() -> bool:
            steps = await bench.steps(workflow_id)
            return [each["output"]["fork"] for each in steps if each["kind"] == "act"] == [f"{target}~2"]

        await bench.until(recorded)
        assert (
            len(
                await bench.rows(
                    "select 1 as one from outlast.workflow_status where forked_from = %s", target
                )
            )
            == 1
        )
