"""Queues: limits hold, turns are taken, and what may begin does.

They run in memory (test_queues.py) and on Postgres (test_queues_on_postgres.py): each decides for itself.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from outlast import (
    Batch,
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
    WorkflowError,
    WorkflowExpired,
    now,
    sleep,
    start,
    start_all,
    step,
    workflow,
)
from outlast.core.callers import Caller
from outlast.core.placement import USUAL, Placement
from outlast.core.ports import NotNow, Place, Unacceptable
from outlast.core.records import NewWorkflow, WorkflowState
from outlast.core.verbs import DELETE, FORK, PAUSE_QUEUE, RETRY
from tests.engine.harness import Bench, engine_on

SECRET = Caller("secret").record()


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


async def started(
    bench: Bench,
    job: Any,
    *args: Any,
    placement: Placement = USUAL,
    workflow_id: str | None = None,
    **kwargs: Any,
) -> str:
    new = bench.new(job.definition, args, kwargs, placement=placement, workflow_id=workflow_id)
    return (await enter(bench, job, new))[0]


async def enter(bench: Bench, job: Any, new: NewWorkflow) -> tuple[str, WorkflowState | None]:
    state = await bench.engine.starts.start_new(new, job.definition, None)
    return new.workflow_id if state is None else state.workflow_id, state


async def all_of(bench: Bench, ids: list[str]) -> list[Any]:
    return [await bench.result(each) for each in ids]


async def test_no_more_run_than_the_concurrency(database: str) -> None:
    job = queued(Queue("q", concurrency=3))
    gauge.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, number) for number in range(20)]
        await bench.until(lambda: gauge.running[""] == 3)
        gauge.gate.set()
        assert await all_of(bench, ids) == list(range(20))
    assert gauge.most[""] == 3
    assert sorted(gauge.begun) == list(range(20)), gauge.begun
    assert all(abs(place - number) < 3 for place, number in enumerate(gauge.begun)), gauge.begun


async def test_nor_on_two_instances(database: str) -> None:
    job = queued(Queue("q", concurrency=3))
    gauge.gate.clear()
    async with bench_on(database, job) as one, bench_on(database, job) as two:
        ids = [await started((one, two)[number % 2], job, number) for number in range(20)]
        await one.until(lambda: gauge.running[""] == 3)
        gauge.gate.set()
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
    gauge.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, number, "abc"[number % 3]) for number in range(15)]
        await bench.until(lambda: gauge.running[""] == 3)
        gauge.gate.set()
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


async def test_a_delay_takes_nothing_from_a_timeout(database: str) -> None:
    @workflow(timeout=60)
    async def quick() -> str:
        return "done"

    async with bench_on(database, quick) as bench:
        ends = [
            bench.new(quick.definition, (), {}, placement=Placement(delay_s=delay_s)).deadline_s
            for delay_s in (0.0, 3600.0)
        ]
    assert None not in ends
    assert 3600 <= float(ends[1] or 0) - float(ends[0] or 0) < 3630


async def test_no_time_passes_for_a_body_that_waits_for_its_turn(database: str) -> None:
    @workflow(queue=Queue("q", concurrency=1))
    async def hurried(name: str) -> float:
        began = now()
        await work(name, "")
        await sleep(0.01)  # it leaves the memory, and is replayed
        return began.timestamp()

    gauge.gate.clear()
    async with bench_on(database, hurried) as bench:
        first = await started(bench, hurried, "first")
        await bench.until(lambda: gauge.begun)
        late = await started(bench, hurried, "late", placement=Placement(delay_s=0.6))
        gauge.gate.set()
        times = [await bench.result(each) for each in (first, late)]
        assert times[1] - times[0] >= 0.5


async def test_who_starts_into_a_full_queue_is_told_so(database: str) -> None:
    job = queued(Queue("q", concurrency=1, max_backlog=1))
    gauge.gate.clear()

    @workflow
    async def parent(many: bool) -> str:
        try:
            await (start_all(job, ["one"]) if many else start(job, "one"))
        except QueueFull:
            return "full"
        return "started"

    async with bench_on(database, job, parent) as bench:
        await started(bench, job, "runs")
        await bench.until(lambda: gauge.begun)
        waits = await started(bench, job, "waits")
        assert [await bench.run(parent, many) for many in (False, True)] == ["full", "full"]
        gauge.gate.set()
        await all_of(bench, [waits])
        assert await bench.run(parent, True) == "started"


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
            assert refused.value.workflow_id is None  # nobody says who called
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
            with pytest.raises(WorkflowCancelled) as cancelled:
                await bench.result(first)
            # Who reads this may be another caller than the newer one.
            assert "in queue q" in str(cancelled.value)
            assert second not in str(cancelled.value)
            return
        assert await bench.result(first) == "first"
    assert gauge.begun == ["first"]


@pytest.mark.parametrize("on_busy", ["attach", "skip"])
async def test_of_a_busy_key_only_ones_own_is_told(database: str, on_busy: Any) -> None:
    job = queued(Queue("q", key="key", exclusive=True, on_busy=on_busy))
    gauge.gate.clear()
    async with bench_on(database, job) as bench:
        first, own = (bench.new(job.definition, (n, "a"), claims=SECRET) for n in ("first", "own"))
        await enter(bench, job, first)
        await bench.until(lambda: gauge.begun)
        with pytest.raises(QueueBusy) as refused:
            await started(bench, job, "stranger", "a")
        assert refused.value.workflow_id is None
        if on_busy == "attach":
            assert (await enter(bench, job, own))[0] == first.workflow_id
        else:
            with pytest.raises(QueueBusy) as refused:
                await enter(bench, job, own)
            assert refused.value.workflow_id == first.workflow_id
        gauge.gate.set()
        assert await bench.result(first.workflow_id) == "first"


async def test_a_strangers_call_is_not_absorbed(database: str) -> None:
    job = queued(Queue("q", key="key", debounce=Debounce(quiet=0.1)))
    async with bench_on(database, job) as bench:
        own = bench.new(job.definition, ("own", "a"), claims=SECRET)
        stranger = bench.new(job.definition, ("stranger", "a"))
        assert [(await enter(bench, job, each))[0] for each in (own, stranger)] == [
            own.workflow_id, stranger.workflow_id,
        ]  # fmt: skip
        assert await all_of(bench, [own.workflow_id, stranger.workflow_id]) == ["own", "stranger"]


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


async def test_nor_does_what_a_pause_keeps_for_too_long(database: str) -> None:
    job = queued(Queue("q", start_within=0.2))
    async with bench_on(database, job) as bench:
        await bench.store.workflows.act(PAUSE_QUEUE, "q", {}, "a test")
        state = await bench.engine.wait(await started(bench, job, "late"), 20.0)
    assert state is not None
    assert json.loads(state.error or "")["code"] == "expired"
    assert gauge.begun == []


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

    gauge.gate.clear()
    async with bench_on(database, job, parent) as bench:
        running = await bench.start(parent)
        await bench.until(lambda: gauge.running[""] == 2)
        gauge.gate.set()
        assert await bench.result(running) == list(range(6))
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
    gauge.gate.clear()
    async with bench_on(database, job) as one, bench_on(database, job) as two:
        ids = [await (one, two)[number % 2].start(job, number) for number in range(8)]
        await one.until(lambda: len(gauge.begun) == 2)
        gauge.gate.set()
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


class Batches:
    """What a function with `batch=` got, and what it is to do with it."""

    def __init__(self) -> None:
        self.got: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()


batches: Batches


@pytest.fixture(autouse=True)
async def no_batches_yet() -> None:
    global batches
    batches = Batches()


def batched(n: int = 3, wait: float = 60.0, **options: Any) -> Any:
    """A workflow that answers many at once."""

    @step
    async def ask(texts: list[str]) -> list[str]:
        batches.got.append(texts)
        await batches.gate.wait()
        return [f"{each}!" for each in texts]

    @workflow(queue=Queue("b", batch=Batch(n, wait), **options))
    async def job(texts: list[str]) -> list[str]:
        if "fail" in texts:
            raise ValueError("no")
        found = await ask(texts)
        return found[1:] if "short" in texts else found

    return job


async def state_of(bench: Bench, workflow_id: str) -> WorkflowState:
    state = await bench.engine.starts.look(workflow_id)
    assert state is not None
    return state


async def test_a_full_batch_begins_at_once_and_each_caller_gets_its_own(database: str) -> None:
    job = batched()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in "abcdef"]
        assert await all_of(bench, ids) == ["a!", "b!", "c!", "d!", "e!", "f!"]
    assert batches.got == [["a", "b", "c"], ["d", "e", "f"]]


async def test_what_is_in_no_full_batch_waits_for_its_time(database: str) -> None:
    job = batched(wait=1.0)
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, "a")]
        await asyncio.sleep(0.2)
        ids += [await started(bench, job, "b")]
        assert await all_of(bench, ids) == ["a!", "b!"]
    assert batches.got == [["a", "b"]]


async def test_batches_hold_the_limits_of_their_queue_and_take_along_what_came_meanwhile(
    database: str,
) -> None:
    job = batched(n=4, wait=0.1, concurrency=1)
    batches.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, "a")]
        await bench.until(lambda: batches.got)
        ids += [await started(bench, job, each) for each in "bcdef"]
        await asyncio.sleep(0.3)
        assert batches.got == [["a"]]
        batches.gate.set()
        await all_of(bench, ids)
    assert batches.got == [["a"], ["b", "c", "d", "e"], ["f"]]


async def test_keys_are_not_mixed_in_a_batch(database: str) -> None:
    job = batched(n=2, key=lambda text: text[0])
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in ("a1", "b1", "b2", "a2")]
        assert await all_of(bench, ids) == ["a1!", "b1!", "b2!", "a2!"]
    assert sorted(batches.got) == [["a1", "a2"], ["b1", "b2"]]


async def test_a_batch_that_fails_fails_for_each_of_its_callers(database: str) -> None:
    job = batched()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in ("a", "fail", "b")]
        for each in ids:
            with pytest.raises(WorkflowError):
                await bench.result(each)
            assert "ValueError" in ((await state_of(bench, each)).error or "")


async def test_members_that_are_retried_or_called_again_come_into_another_batch(database: str) -> None:
    job = batched()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in ("a", "fail", "b")]
        for each in ids:
            with pytest.raises(WorkflowError):
                await bench.result(each)
        for each in (ids[0], ids[2]):
            await bench.store.workflows.act(RETRY, each, {}, "me")
        ids[1] = await started(bench, job, "c")
        bench.engine.look()
        assert await all_of(bench, ids) == ["a!", "c!", "b!"]
        assert (await state_of(bench, f"{ids[0]}/again-2/batch")).status == "SUCCESS"
        await bench.store.workflows.act(DELETE, ids[0], {}, "me")
        called = [await started(bench, job, "a", workflow_id=ids[0])]
        called += [await started(bench, job, each) for each in "de"]
        assert await all_of(bench, called) == ["a!", "d!", "e!"]
        assert (await state_of(bench, f"{ids[0]}/again-3/batch")).status == "SUCCESS"


async def test_a_member_of_a_batch_is_forked_into_another_one_and_a_batch_is_not(database: str) -> None:
    job = batched(n=2)
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in ("a", "fail")]
        for each in ids:
            with pytest.raises(WorkflowError):
                await bench.result(each)
        with pytest.raises(NotNow, match="is a map, a batch or a bulk"):
            await bench.store.workflows.act(FORK, f"{ids[0]}/batch", {}, "me")
        with pytest.raises(Unacceptable, match="names no recorded step"):
            await bench.store.workflows.act(FORK, ids[0], {"from": "ask"}, "me")
        forks = [
            str((await bench.store.workflows.act(FORK, ids[0], {"from": place}, "me"))["fork"])
            for place in ("start", "failed")
        ]
        bench.engine.look()
        assert await all_of(bench, forks) == ["a!", "a!"]
        assert (await state_of(bench, f"{forks[0]}/batch")).status == "SUCCESS"


async def test_a_fork_with_another_input_is_not_under_the_key_of_the_first(database: str) -> None:
    """Only Python knows the key of an input here: under the wrong one two would run at once that must not."""

    @workflow(queue=Queue("q", key=lambda name: name.upper(), exclusive=True))
    async def job(name: str) -> str:
        return name

    async with bench_on(database, job) as bench:
        workflow_id = await started(bench, job, "a")
        assert await bench.result(workflow_id) == "a"
        with pytest.raises(Unacceptable, match="whose key is a function in Python"):
            await bench.store.workflows.act(FORK, workflow_id, {"input": {"name": "b"}}, "me")
        forked = await bench.store.workflows.act(FORK, workflow_id, {}, "me")
        bench.engine.look()
        assert await bench.result(str(forked["fork"])) == "a"


async def test_what_a_call_was_attached_to_is_kept_for_who_called(database: str) -> None:
    """It asks for the result much later, say."""
    gauge.gate.clear()
    asks = asyncio.Event()

    @step
    async def later() -> None:
        await asks.wait()

    @workflow(queue=Queue("q", key="name", exclusive=True, on_busy="attach"))
    async def job(name: str) -> str:
        await work(name, "k")
        return name

    @workflow
    async def calls() -> str:
        handle = await start(job, "a")
        await later()
        return await handle.result()

    async with bench_on(database, job, calls) as bench:
        workflow_id = await started(bench, job, "a")
        await bench.until(lambda: gauge.begun)
        caller = await bench.start(calls)

        async def attached() -> bool:
            return bool(await bench.steps(caller))

        await bench.until(attached)
        gauge.gate.set()
        assert await bench.result(workflow_id) == "a"
        with pytest.raises(NotNow, match=f"{caller}.* is live"):
            await bench.store.workflows.act(DELETE, workflow_id, {}, "me")
        assert (await bench.store.retention.prune(1e-6, Place())).removed == 0
        asks.set()
        assert await bench.result(caller) == "a"
        assert await bench.store.workflows.act(DELETE, workflow_id, {}, "me") == {"deleted": 1}


async def test_a_list_of_another_length_is_a_failure_that_says_so(database: str) -> None:
    job = batched()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in ("a", "short", "b")]
        for each in ids:
            with pytest.raises(WorkflowError):
                await bench.result(each)
            assert "got 3 inputs and returned a list of 2" in ((await state_of(bench, each)).error or "")


async def test_what_is_cancelled_before_its_batch_begins_is_not_in_it(database: str) -> None:
    job = batched()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in "ab"]
        await bench.engine.cancel(ids[0])
        ids += [await started(bench, job, each) for each in "cd"]
        assert await all_of(bench, ids[1:]) == ["b!", "c!", "d!"]
    assert batches.got == [["b", "c", "d"]]


async def test_what_is_cancelled_while_its_batch_runs_stays_cancelled(database: str) -> None:
    job = batched()
    batches.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in "abc"]
        await bench.until(lambda: batches.got)
        await bench.engine.cancel(ids[1])
        batches.gate.set()
        assert await all_of(bench, [ids[0], ids[2]]) == ["a!", "c!"]
        assert (await state_of(bench, ids[1])).status == "CANCELLED"


async def test_a_batch_that_is_cancelled_takes_its_callers_with_it(database: str) -> None:
    job = batched()
    batches.gate.clear()
    async with bench_on(database, job) as bench:
        ids = [await started(bench, job, each) for each in "abc"]
        await bench.until(lambda: batches.got)
        await bench.engine.cancel(f"{ids[0]}/batch")
        for each in ids:
            with pytest.raises(WorkflowCancelled):
                await bench.result(each)


async def test_a_batch_outlasts_its_instance(database: str) -> None:
    job = batched()
    batches.gate.clear()
    async with bench_on(database, job) as dying:
        ids = [await started(dying, job, each) for each in "abc"]
        await dying.until(lambda: batches.got)
        await dying.abandon()
        batches.gate.set()
        async with bench_on(database, job) as bench:
            assert await all_of(bench, ids) == ["a!", "b!", "c!"]
    assert batches.got == [["a", "b", "c"]] * 2


@pytest.mark.parametrize("bad", [["5", '{"a": 1}'], ["5", "6", "7"]])
async def test_an_input_that_is_none_fails_alone(database: str, bad: list[str]) -> None:
    job = batched()
    async with bench_on(database, job) as bench:
        news = [bench.new(job.definition, (each,)) for each in ("a]", "b,", "c")]
        news[: len(bad)] = [new._replace(input=text) for new, text in zip(news, bad, strict=False)]
        ids = [(await enter(bench, job, new))[0] for new in news]
        for each in ids[: len(bad)]:
            with pytest.raises(WorkflowError):
                await bench.result(each)
            assert json.loads((await state_of(bench, each)).error or "")["code"] == "invalid_input"
        assert await all_of(bench, ids[len(bad) :]) == ["c!"][: 3 - len(bad)]
    assert batches.got == [["c"]][: 3 - len(bad)]


def look_up(name: str) -> str:
    if name == "unknown":
        raise LookupError(name)
    return name


@workflow(queue=Queue("looked", batch=Batch(2, 60.0)))
async def looked_up(names: list[Annotated[str, AfterValidator(look_up)]]) -> list[str]:
    return names


async def test_an_input_whose_validator_fails_otherwise_fails_alone(database: str) -> None:
    async with bench_on(database, looked_up) as bench:
        news = [bench.new(looked_up.definition, ("known",)) for _ in range(2)]
        news[0] = news[0]._replace(input='"unknown"')
        ids = [(await enter(bench, looked_up, new))[0] for new in news]
        with pytest.raises(WorkflowError, match="LookupError"):
            await bench.result(ids[0])
        assert await bench.result(ids[1]) == "known"


async def test_a_batch_is_nobodys_and_the_same_call_is_the_same_member(database: str) -> None:
    job = batched()
    async with bench_on(database, job) as bench:
        news = [bench.new(job.definition, (each,), subject=f"user-{each}", key=each) for each in "abc"]
        ids = [(await enter(bench, job, new))[0] for new in news]
        assert await all_of(bench, ids) == ["a!", "b!", "c!"]
        assert [(await state_of(bench, each)).subject for each in ids] == ["user-a", "user-b", "user-c"]
        assert (await state_of(bench, f"{ids[0]}/batch")).subject is None
        again, state = await enter(bench, job, news[1])
        assert state is not None
        assert (again, state.output) == (ids[1], '"b!"')


async def test_a_call_that_goes_to_another_queue_is_alone(database: str) -> None:
    job = batched()

    @workflow
    async def parent() -> str:
        handle = await start(job, "a", queue=Queue("other", concurrency=1))
        found: str = await handle.result()
        return found

    async with bench_on(database, job, parent) as bench:
        assert await bench.run(parent) == "a!"
    assert batches.got == [["a"]]


async def test_a_function_without_batches_is_in_no_queue_with_them(database: str) -> None:
    job = batched()

    @workflow
    async def other(name: str) -> str:
        return name

    async with bench_on(database, job, other) as bench:
        for queue in (job.definition.queue, Queue("b")):
            with pytest.raises(UsageError, match="has batches"):
                await started(bench, other, "x", placement=Placement(queue=queue))
