"""The cases of what operators do, on Postgres, where each verb is a function."""

from __future__ import annotations

import pytest

from outlast import WorkflowHandle, sleep, workflow
from tests.engine.harness import engine_on
from tests.engine.operated_cases import *  # noqa: F403
from tests.engine.operated_cases import naps

pytestmark = pytest.mark.postgres


@workflow
async def forks(workflow_id: str) -> str:
    forked = await WorkflowHandle(workflow_id).fork()
    await sleep(3600)
    return str(forked["fork"])


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
