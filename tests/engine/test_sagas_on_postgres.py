"""The cases of sagas on Postgres, where cancels and marks are SQL."""

from __future__ import annotations

from typing import Any

import pytest

from outlast import UNKNOWN, WorkflowCancelled, saga, workflow
from tests.engine import saga_cases
from tests.engine.harness import engine_on
from tests.engine.saga_cases import *  # noqa: F403
from tests.engine.saga_cases import book_here, cancel_here, plain

pytestmark = pytest.mark.postgres


@workflow
async def in_threads() -> None:
    async with saga() as s:
        await s.do(book_here, "held", undo=cancel_here)


@pytest.mark.parametrize("flow", [plain, in_threads], ids=["def", "async"])
async def test_an_undo_waits_for_the_thread_of_what_it_undoes(database: str, flow: Any) -> None:
    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow, *(["held"] if flow is plain else []))
        await bench.until(saga_cases.desk.reached.is_set)
        await bench.engine.cancel(workflow_id)
        await bench.until(lambda: bench.live[workflow_id].undoing)
        assert saga_cases.desk.undone == []
        saga_cases.desk.thread_open.set()
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert saga_cases.desk.trail.index(("did", "held")) < saga_cases.desk.trail.index(
        ("undo", UNKNOWN, "held")
    )


@workflow
def pays_in_a_thread() -> None:
    with saga() as s:
        s.do(book_here, "hotel", undo=cancel_here)
        s.do(saga_cases.held_transfer_here, undo=lambda result: cancel_here(result, "transfer"))


async def test_a_def_workflow_learns_what_came_of_its_transaction(database: str) -> None:
    """Its thread goes on, and may commit: then it is undone, else there is nothing to undo."""
    async with engine_on(database, pays_in_a_thread) as bench:
        workflow_id = await bench.start(pays_in_a_thread)
        await bench.until(saga_cases.desk.reached.is_set)
        await bench.engine.cancel(workflow_id)
        await bench.until(lambda: workflow_id not in bench.live or bench.live[workflow_id].undoing)
        saga_cases.desk.thread_open.set()
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
        committed = [each for each in await bench.steps(workflow_id) if each["name"] == "held_transfer_here"]
    undone = saga_cases.desk.undone
    assert undone[-1] == ("hotel!", "hotel")
    taken = [each for each in committed if each["error"] is None]
    assert undone[:-1] == [("held", "transfer")] * len(taken)
