"""What an instance does about rows that it owns and doesn't run, and that it runs and doesn't own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from outlast import step, workflow
from outlast.core.records import Batch, Beat, Committed
from outlast.engine.instances.membership import Membership
from tests.engine.harness import Bench, engine_on

OURS = """
insert into outlast.workflow_status (workflow_id, function, status, input, owner, epoch)
values ('w', 'flow', 'PENDING', '{}', %s, 1)
"""
DUE = """
insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)
select 'w' || n, 'flow', 'PENDING', '{}', now() from generate_series(1, 5) n
"""
OWNED = "select count(*) as n from outlast.workflow_status where owner is not null"
RECOVERED = "update outlast.workflow_status set owner = null, epoch = epoch + 1, claimable_at = now()"
FOREIGN_INSTANCE = """
insert into outlast.instances (instance_id, lease_until, backend_pid, backend_started)
values ('other', now() + interval '1 hour', 2147483647, now())
"""


class Gate:
    """Where the workflows of a test wait, and how often they came there."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.seen = 0


gates: list[Gate] = []


@step
async def wait() -> None:
    gates[-1].seen += 1
    await gates[-1].open.wait()


@workflow
async def flow() -> str:
    await wait()
    return "done"


@pytest.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    """An engine whose membership does only what the test asks for."""
    gates.append(Gate())
    async with engine_on(database, flow, lease_ttl_s=60.0, tick_s=30.0, workflows_max=2) as bench:
        yield bench
        gates[-1].open.set()
    gates.pop()


def membership_of(bench: Bench) -> Membership:
    return bench.engine._membership


async def held(bench: Bench) -> str:
    """A workflow that waits in its step."""
    workflow_id = await bench.start(flow)
    await bench.until(lambda: gates[-1].seen)
    return workflow_id


async def owner(bench: Bench, workflow_id: str = "w") -> Any:
    return (await bench.row(workflow_id))["owner"]


@pytest.mark.postgres
async def test_a_row_that_is_owned_and_unknown_is_given_back_when_two_beats_have_shown_it(
    bench: Bench,
) -> None:
    membership = membership_of(bench)
    await bench.rows(OURS, bench.instance_id)
    await membership._beat()
    assert await owner(bench) == bench.instance_id
    await bench.rows("update outlast.workflow_status set epoch = 2")
    await membership._beat()
    assert await owner(bench) == bench.instance_id, "another claim's answer may be on its way"
    await membership._beat()
    assert await owner(bench) is None
    assert (await bench.row("w"))["recovery_attempts"] == 0


async def test_a_start_whose_answer_is_on_its_way_is_not_given_back(bench: Bench) -> None:
    membership, commit = membership_of(bench), bench.store.journal.commit
    committed, go_on = asyncio.Event(), asyncio.Event()

    async def slow(batch: Batch) -> Committed:
        done = await commit(batch)
        committed.set()
        await go_on.wait()
        return done

    bench.store.journal.commit = slow  # type: ignore[method-assign]
    start = asyncio.create_task(bench.start(flow, workflow_id="w"))
    await asyncio.wait_for(committed.wait(), 20)
    for _ in range(3):
        await membership._beat()
    assert await owner(bench) == bench.instance_id
    go_on.set()
    await start
    gates[-1].open.set()
    assert await bench.result("w") == "done"


@pytest.mark.postgres
@pytest.mark.parametrize("change", ["owner = 'other', epoch = 2", "epoch = 2", "owner = null, epoch = 2"])
async def test_an_execution_is_stopped_whose_row_is_no_longer_its_own(bench: Bench, change: str) -> None:
    workflow_id = await held(bench)
    execution = bench.live[workflow_id]
    await bench.rows(f"update outlast.workflow_status set {change}")
    await membership_of(bench)._beat()
    assert execution.stopped is not None
    await bench.until(lambda: workflow_id not in bench.live)


async def test_what_began_after_a_beat_was_sent_is_not_judged_by_its_answer(bench: Bench) -> None:
    beat = bench.store.instances.beat

    async def slow(lease_ttl_s: float, running: Any = None) -> Beat:
        answer = await beat(lease_ttl_s, running)
        await held(bench)
        return answer

    bench.store.instances.beat = slow  # type: ignore[method-assign]
    await membership_of(bench)._beat()
    (execution,) = bench.live.values()
    assert execution.stopped is None


@pytest.mark.postgres
async def test_no_more_is_claimed_than_fits(bench: Bench) -> None:
    await bench.rows(DUE)
    for _ in range(3):
        await membership_of(bench)._claim()
        await bench.until(lambda: not membership_of(bench).loading)
        (owned,) = await bench.rows(
            "select count(*) as n from outlast.workflow_status where owner is not null"
        )
        assert owned["n"] == 2


@pytest.mark.postgres
async def test_of_two_executions_of_a_workflow_here_the_newer_stays(bench: Bench) -> None:
    """It was taken for lost, recovered by others, and claimed by the very same instance."""
    workflow_id = await held(bench)
    former = bench.live[workflow_id]
    await bench.rows(RECOVERED)
    await membership_of(bench)._claim()
    await bench.until(lambda: bench.live.get(workflow_id) is not former)
    newer = bench.live[workflow_id]
    assert former.stopped is not None
    await bench.until(lambda: former.task is None)
    assert bench.live[workflow_id] is newer
    gates[-1].open.set()
    assert await bench.result(workflow_id) == "done"


@pytest.mark.postgres
async def test_an_instance_whose_session_is_gone_for_a_moment_keeps_its_work(bench: Bench) -> None:
    await bench.rows(FOREIGN_INSTANCE)
    await bench.rows(OURS, "other")
    await membership_of(bench)._claim()
    assert await owner(bench) == "other"

    async def taken_over() -> bool:
        await membership_of(bench)._claim()
        return bool(await owner(bench) == bench.instance_id)

    await bench.until(taken_over)
