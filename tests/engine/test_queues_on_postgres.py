"""The cases of queues on Postgres, and what shows in its statements."""

from __future__ import annotations

import pytest

from outlast.core import records
from outlast.core.status import Status
from tests.engine import queue_cases
from tests.engine.queue_cases import *  # noqa: F403
from tests.engine.queue_cases import batched, bench_on, started, state_of

pytestmark = pytest.mark.postgres


async def test_members_end_in_the_commit_of_their_batch_and_not_by_an_end_that_is_refused(
    database: str,
) -> None:
    job = batched()
    queue_cases.batches.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in "abc"]
        await bench.until(lambda: queue_cases.batches.got)
        batch = f"{ids[0]}/batch"
        ending = records.Ending(Status.SUCCESS, output='["x", "y", "z"]')
        for epoch, outputs in ((0, [None] * 3), (1, ['"x"', '"y"', '"z"'])):
            writes = [records.FencedWrite(batch, epoch, [], ending)]
            await bench.store.journal.commit(records.Batch(epoch + 1, [], writes))
            assert [(await state_of(bench, each)).output for each in ids] == outputs
            ended = [(await bench.row(each))["completed_at"] is not None for each in ids]
            assert ended == [bool(epoch)] * 3
        queue_cases.batches.gate.set()
