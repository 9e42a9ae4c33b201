"""Queues: limits hold, turns are taken, and what may begin does.

They run in memory (test_queues.py) and on Postgres (test_queues_on_postgres.py): each decides for itself.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from typing import Any

import pytest

from outlast import (
    Debounce,
    Limit,
    Queue,
    QueueBusy,
    QueueFull,
    QueueKeyMissing,
    Rate,
    RateLimited,
    UsageError,
    WorkflowCancelled,
    WorkflowExpired,
    sleep,
    start,
    step,
    workflow,
)
from outlast.core.placement import USUAL, Placement
from outlast.core.records import NewWorkflow, WorkflowState
from tests.engine.harness import Bench, engine_on


class Gauge:
    """What runs at this moment, and has run."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.running: Counter[str] = Counter()
        self.most: dict[str, int] = defaultdict(int)
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, name: Any, key: str = "") -> None:
        self.begun.append(name)
        for each in {"", key}:
            self.running[each] += 1
            self.most[each] = max(self.most[each], self.running[each])
        try:
            await self.gate.wait()
            await asyncio.sleep(0.01)
        finally:
            for each in {"", key}:
                self.running[each] -= 1


gauge: Gauge


@pytest.fixture(autouse=True)
async def fresh_gauge() -> None:
    global gauge
    gauge = Gauge()


@step
async def work(name: Any, key: str) -> None:
    await gauge.run(name, key)


def queued(queue: Queue) -> Any:
    """A workflow in `queue`, whose step shows when it runs."""

    @workflow(queue=queue)
    async def job(name: Any, key: str = "k", nap_s: float = 0.0) -> Any:
        await work(name, key)
        if nap_s:
            await sleep(nap_s)
            await work(f"{name} again", key)
        return name

    return job


def bench_on(url: str, *workflows: Any, **options: Any) -> AbstractAsyncContextManager[Bench]:
    return engine_on(url, *workflows, **options)


async def started(bench: Bench, job: Any, *args: Any, placement: Placement = USUAL, **kwargs: Any) -> str:
    new = bench.new(job.definition, args, kwargs, placement=placement)
    return (await enter(bench, job, new))[0]


async def enter(bench: Bench, job: Any, new: NewWorkflow) -> tuple[str, WorkflowState | None]:
    state = await bench.engine.starts.start_new(new, job.definition, None)
    return new.workflow_id if state is None else state.workflow_id, state


async def all_of(bench: Bench, ids: list[str]) -> list[Any]:
    return [await bench.result(each) for each in ids]


async def test_no_more_run_than_the_concurrency(database: str) -> None:
    job = queued(Queue("q", concurrency=3))
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, number) for number in range(20)]
        assert await all_of(bench, ids) == list(range(20))
    assert gauge.most[""] == 3
    assert sorted(gauge.begun) == list(range(20)), gauge.begun
    assert all(abs(place - number) < 3 for place, number in enumerate(gauge.begun)), gauge.begun


async def test_nor_on_two_instances(database: str) -> None:
    job = queued(Queue("q", concurrency=3))
    async with bench_on(database, job) as one, bench_on(database, job) as two:
        ids = [await started((one, two)[number % 2], job, number) for number in range(20)]
        assert await all_of(one, ids) == list(range(20))
    assert gauge.most[""] == 3


async def test_each_instance_runs_its_share(database: str) -> None:
    job = queued(Queue("q", per_instance=2))
    gauge.gate.clear()
    async with bench_on(database, job) as one, bench_on(database, job) as two:
        ids = [await started(one, job, number) for number in range(6)]
        await one.until(lambda: gauge.running[""] == 4)
        assert (len(one.live), len(two.live)) == (2, 2)
        gauge.gate.set()
        await all_of(one, ids)
    assert gauge.most[""] == 4


async def test_no_more_of_a_key_run_than_may(database: str) -> None:
    job = queued(Queue("q", key="key", per_key=1))
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, number, "abc"[number % 3]) for number in range(15)]
        await all_of(bench, ids)
    assert (gauge.most["a"], gauge.most["b"], gauge.most["c"]) == (1, 1, 1)
    assert gauge.most[""] == 3


async def test_what_sleeps_gives_its_place_back_and_comes_first_when_it_wakes(database: str) -> None:
    job = queued(Queue("q", concurrency=1))
    async with bench_on(database, job, moment_s=0.0) as bench:
        first = await started(bench, job, "sleeper", "k", 0.3)
        await bench.until(lambda: gauge.begun == ["sleeper"])
        ids = [await started(bench, job, number) for number in range(60)]
        await all_of(bench, [first, *ids])
    assert gauge.most[""] == 1
    assert gauge.begun.index("sleeper again") < 50


async def test_priority_is_a_head_start(database: str) -> None:
    job = queued(Queue("q", concurrency=1))
    gauge.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, "running")]
        await bench.until(lambda: gauge.begun)
        for name, priority in (("late", -100), ("usual", 0), ("soon", 100)):
            ids.append(await started(bench, job, name, placement=Placement(priority=priority)))
        gauge.gate.set()
        await all_of(bench, ids)
    assert gauge.begun == ["running", "soon", "usual", "late"]


async def test_what_is_delayed_begins_when_its_time_comes(database: str) -> None:
    job = queued(Queue("q", concurrency=1))
    async with bench_on(database, job) as bench:
        late = await started(bench, job, "late", placement=Placement(delay_s=0.3))
        soon = await started(bench, job, "soon")
        await all_of(bench, [soon])
        assert (await bench.row(late))["status"] == "ENQUEUED"
        await all_of(bench, [late])
    assert gauge.begun == ["soon", "late"]


async def test_a_delay_needs_no_queue(database: str) -> None:
    @workflow
    async def plain(name: str) -> str:
        await work(name, "")
        return name

    async with bench_on(database, plain) as bench:
        late = await started(bench, plain, "late", placement=Placement(delay_s=0.2))
        assert await bench.result(await started(bench, plain, "soon")) == "soon"
        assert await bench.result(late) == "late"
        assert gauge.begun == ["soon", "late"]
        with pytest.raises(UsageError, match="within a queue"):
            await started(bench, plain, "x", placement=Placement(priority=1))


async def test_an_exclusive_key_is_one_workflows_over_its_whole_life(database: str) -> None:
    job = queued(Queue("q", key="key", exclusive=True))
    async with bench_on(database, job, moment_s=0.0) as bench:
        ids = [await started(bench, job, f"{key}{number}", key, 0.1) for number in range(3) for key in "ab"]
        await all_of(bench, ids)
    for key in "ab":
        own = [each for each in gauge.begun if each[0] == key]
        assert own == [f"{key}{number}{again}" for number in range(3) for again in ("", " again")]


@pytest.mark.parametrize("smooth", [False, True])
async def test_no_more_begin_in_any_window_than_the_rate(database: str, smooth: bool) -> None:
    job = queued(Queue("q", rate=Rate(4, per=0.4, smooth=smooth)))
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, number) for number in range(12)]
        await all_of(bench, ids)
        times = await begun_at(bench, ids)
    for first, fifth in zip(times, times[4:], strict=False):
        assert fifth - first >= 0.4
    if smooth:
        assert all(later - sooner >= 0.1 for sooner, later in pairwise(times))


async def test_the_rate_of_a_key_holds_up_no_other(database: str) -> None:
    job = queued(Queue("q", key="key", rate_per_key=Rate(1, per=0.5)))
    async with bench_on(database, job) as bench:
        held = [await started(bench, job, f"a{number}", "a") for number in range(2)]
        others = [await started(bench, job, key, key) for key in "bcd"]
        await all_of(bench, others)
        assert "a1" not in gauge.begun
        await all_of(bench, held)
        one, two = await begun_at(bench, held, "a")
    assert two - one >= 0.5


async def begun_at(bench: Bench, ids: list[str], key: str | None = None) -> list[float]:
    """When these began, by the database's clock, in order."""
    if hasattr(bench.url, "database"):
        queues = bench.url.database.queues.values()
        return sorted(at for queue in queues for at, each in queue.starts if key in (None, each))
    rows = [await bench.row(each) for each in ids]
    return sorted(row["started_at"].timestamp() for row in rows)


async def test_keys_take_turns(database: str) -> None:
    job = queued(Queue("q", key="key", concurrency=1))
    gauge.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, "first", "a")]
        await bench.until(lambda: gauge.begun)
        ids += [await started(bench, job, f"a{number}", "a") for number in range(5)]
        ids += [await started(bench, job, f"{key}0", key) for key in "bc"]
        gauge.gate.set()
        await all_of(bench, ids)
    assert set(gauge.begun[1:4]) == {"a0", "b0", "c0"}


@pytest.mark.parametrize("on_busy", ["attach", "skip", "replace"])
async def test_what_another_call_of_a_busy_key_comes_to(database: str, on_busy: Any) -> None:
    job = queued(Queue("q", key="key", exclusive=True, on_busy=on_busy))
    gauge.gate.clear()
    async with bench_on(database, job) as bench:
        first = await started(bench, job, "first", "a")
        await bench.until(lambda: gauge.begun)
        if on_busy == "skip":
            with pytest.raises(QueueBusy) as refused:
                await started(bench, job, "second", "a")
            assert refused.value.workflow_id == first
            gauge.gate.set()
        elif on_busy == "attach":
            new = bench.new(job.definition, ("second", "a"))
            for _ in range(2):  # the same call again is the same
                target, state = await enter(bench, job, new)
                assert (target, state is not None) == (first, True)
            gauge.gate.set()
            await bench.result(first)
            assert (await enter(bench, job, new))[0] == first
        else:
            second = await started(bench, job, "second", "a")
            gauge.gate.set()
            assert await bench.result(second) == "second"
            with pytest.raises(WorkflowCancelled):
                await bench.result(first)
            return
        assert await bench.result(first) == "first"
    assert gauge.begun == ["first"]


async def test_of_calls_in_quick_succession_the_last_input_wins(database: str) -> None:
    job = queued(Queue("q", key="key", debounce=Debounce(quiet=0.3)))
    async with bench_on(database, job) as bench:
        news = [bench.new(job.definition, (number, "a")) for number in range(5)]
        ids = {(await enter(bench, job, new))[0] for new in news}
        assert ids == {news[0].workflow_id}
        assert await bench.result(news[0].workflow_id) == 4
        # Under its own key each has the survivor's result.
        for new in news:
            target, state = await enter(bench, job, new)
            assert (target, state is not None) == (news[0].workflow_id, True)
    assert gauge.begun == [4]


async def test_what_is_over_a_drop_is_refused_and_leaves_no_row(database: str) -> None:
    job = queued(Queue("q", drop=Rate(2, per=60.0)))
    async with bench_on(database, job) as bench:
        for number in range(2):
            await started(bench, job, number)
        new = bench.new(job.definition, (2,))
        with pytest.raises(RateLimited) as refused:
            await enter(bench, job, new)
        assert 0 < refused.value.retry_s <= 60.0
        assert await bench.engine.starts.look(new.workflow_id) is None


async def test_a_full_queue_takes_no_more(database: str) -> None:
    job = queued(Queue("q", concurrency=1, max_backlog=2))
    gauge.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, 0)]
        await bench.until(lambda: gauge.begun)
        ids += [await started(bench, job, number) for number in (1, 2)]
        with pytest.raises(QueueFull):
            await started(bench, job, 3)
        gauge.gate.set()
        await all_of(bench, ids)
        await started(bench, job, 4)


async def test_what_does_not_begin_in_time_is_cancelled(database: str) -> None:
    job = queued(Queue("q", concurrency=1, start_within=0.2))
    gauge.gate.clear()
    async with bench_on(database, job) as bench:
        first = await started(bench, job, "first")
        await bench.until(lambda: gauge.begun)
        late = await started(bench, job, "late")
        state = await bench.engine.wait(late, 20.0)
        assert state is not None
        assert state.status == "CANCELLED"
        assert json.loads(state.error or "")["code"] == "expired"
        with pytest.raises(WorkflowExpired):
            await bench.result(late)
        gauge.gate.set()
        await bench.result(first)
    assert gauge.begun == ["first"]


async def test_a_key_may_be_a_function_of_the_arguments(database: str) -> None:
    def by_name(name: Any, key: str = "k", nap_s: float = 0.0) -> Any:
        return None if name == "none" else f"{key}!"

    job = queued(Queue("q", key=by_name, per_key=1))
    async with bench_on(database, job) as bench:
        new = bench.new(job.definition, ("x", "a"))
        assert new.queue_key == "a!"
        for name in ("none", "none"):
            with pytest.raises(QueueKeyMissing, match="gives none"):
                bench.new(job.definition, (name,))


@pytest.mark.parametrize("key", [None, 1.5, [], {}, "", "x" * 256])
async def test_an_input_without_the_key_is_refused(database: str, key: Any) -> None:
    @workflow(queue=Queue("q", key="a.b"))
    async def job(a: dict[str, Any]) -> None: ...

    async with bench_on(database, job) as bench:
        with pytest.raises(QueueKeyMissing, match=r"'a\.b'"):
            bench.new(job.definition, ({"b": key},))


async def test_a_queue_named_at_the_start_takes_the_place_of_the_workflows_own(database: str) -> None:
    job = queued(Queue("q", concurrency=5))
    other = Queue("other", concurrency=1)

    @workflow
    async def parent() -> list[Any]:
        handles = [await start(job, number, queue=other) for number in range(5)]
        return [await each.result() for each in handles]

    async with bench_on(database, job, parent) as bench:
        assert await bench.run(parent) == list(range(5))
    assert gauge.most[""] == 1


async def test_a_queue_that_nobody_declares_has_no_limits(database: str) -> None:
    job = queued(Queue("q", concurrency=1))

    @workflow
    async def parent() -> list[Any]:
        handles = [await start(job, number, queue="somewhere", priority=1, delay=0.1) for number in range(3)]
        return [await each.result() for each in handles]

    async with bench_on(database, job, parent) as bench:
        assert await bench.run(parent) == list(range(3))


async def test_children_wait_in_their_queue(database: str) -> None:
    job = queued(Queue("q", concurrency=2))

    @workflow
    async def parent() -> list[Any]:
        handles = [await start(job, number) for number in range(6)]
        return [await each.result() for each in handles]

    async with bench_on(database, job, parent) as bench:
        assert await bench.run(parent) == list(range(6))
    assert gauge.most[""] == 2


async def test_places_of_the_dead_are_free_again(database: str) -> None:
    job = queued(Queue("q", concurrency=1))
    gauge.gate.clear()
    async with bench_on(database, job) as bench, bench_on(database, job) as dying:
        await started(dying, job, "first")
        await dying.until(lambda: gauge.begun)
        if not dying.live:
            bench, dying = dying, bench
        ids = [await started(bench, job, "second")]
        holder = bench if bench.live else dying
        other = dying if holder is bench else bench
        await holder.abandon()
        gauge.gate.set()
        await all_of(other, ids)


def limited(limit: Limit) -> Any:
    @step(limit=limit)
    async def call(name: Any) -> Any:
        await gauge.run(name)
        return name

    @workflow
    async def job(name: Any) -> Any:
        return await call(name)

    return job


async def test_no_more_steps_run_at_once_than_their_limit(database: str) -> None:
    job = limited(Limit("api", concurrency=2))
    async with bench_on(database, job) as one, bench_on(database, job) as two:
        ids = [await (one, two)[number % 2].start(job, number) for number in range(8)]
        await all_of(one, ids)
    assert gauge.most[""] == 2
    assert sorted(gauge.begun) == list(range(8))


async def test_no_more_steps_begin_than_their_rate_and_a_long_wait_leaves_the_memory(database: str) -> None:
    job = limited(Limit("api", rate=Rate(1, per=1.5)))
    async with bench_on(database, job, moment_s=0.1) as bench:
        first = await bench.start(job, "first")
        await bench.result(first)
        second = await bench.start(job, "second")
        await bench.suspended(second)
        assert await bench.steps(second) == []
        assert await bench.result(second) == "second"
        (one,), (two,) = await bench.steps(first), await bench.steps(second)
        assert (two["started_at"] - one["started_at"]).total_seconds() > 1.2


async def test_a_place_under_a_limit_ends_with_who_holds_it(database: str) -> None:
    job = limited(Limit("api", concurrency=1))
    gauge.gate.clear()
    async with bench_on(database, job) as dying, bench_on(database, job) as bench:
        await dying.start(job, "first")
        await dying.until(lambda: gauge.begun == ["first"])
        second = await bench.start(job, "second")
        await dying.abandon()
        gauge.gate.set()
        assert await bench.result(second) == "second"
