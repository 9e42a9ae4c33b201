"""The cases of parents on Postgres."""

from __future__ import annotations

import pytest

from tests.engine.parent_cases import *  # noqa: F403
from tests.engine.parent_cases import bench_on, parent

pytestmark = pytest.mark.postgres


async def test_an_end_that_nobody_told_of_wakes_by_the_next_tick(database: str) -> None:
    """As an instance of an older version leaves it, or SQL by hand."""
    async with bench_on(database) as bench:
        workflow_id = await bench.start(parent, "a")
        await bench.suspended(workflow_id)
        await bench.suspended(f"{workflow_id}/1")
        await bench.rows(
            "update outlast.workflow_status set status = 'SUCCESS', output = '1', claimable_at = null"
            " where workflow_id = %s",
            f"{workflow_id}/1",
        )
        assert await bench.result(workflow_id) == 1


async def test_it_is_shown_what_a_parent_waits_for(database: str) -> None:
    async with bench_on(database) as bench:
        workflow_id = await bench.start(parent, "a")
        await bench.suspended(workflow_id)
        shown = await bench.store.workflows.show(workflow_id)
        assert shown is not None
        assert shown["waiting_on"] == f"workflow {workflow_id}/1 (PENDING)"
        shown = await bench.store.workflows.show(workflow_id, whole=False)
        assert shown is not None
        assert shown["waiting_on"] == "another workflow"
