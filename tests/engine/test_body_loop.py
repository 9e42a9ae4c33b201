"""What a body does with asyncio and anyio on its own loop: the same on each replay, and no I/O."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random as chance
import secrets
import socket
import time
import uuid
import weakref
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.to_thread
import pytest

from outlast import now, random, sleep, step, uuid4, workflow
from outlast.core.clock import machine_now
from outlast.core.observations import ArgumentsChanged, BodyReads
from outlast.sdk.workflows import Workflow
from tests.engine.harness import Bench, engine_on

held: list[asyncio.Event] = []
reached: list[asyncio.Event] = []


@step
async def echo(value: Any) -> Any:
    return value


@step
async def pausing(value: Any, seconds: float) -> Any:
    await asyncio.sleep(seconds)
    return value


@step
async def gate() -> None:
    reached[-1].set()
    await held[-1].wait()


@pytest.fixture(autouse=True)
def gates() -> None:
    held[:] = [asyncio.Event()]
    reached[:] = [asyncio.Event()]


async def before_and_after_a_crash(database: str, flow: Workflow[..., Any], *args: Any) -> tuple[Any, Any]:
    """What `flow` returned in one go, and what another run of it returned that lost its process at `gate`."""
    async with engine_on(database, flow) as bench:
        held[-1].set()
        calm = await bench.run(flow, *args)
        held[:], reached[:] = [asyncio.Event()], [asyncio.Event()]
        workflow_id = await bench.start(flow, *args)
        async with asyncio.timeout(30):
            await reached[-1].wait()
        await bench.abandon()
    async with engine_on(database, flow) as bench:
        held[-1].set()
        return calm, await bench.result(workflow_id)


@workflow
async def waits_over_gathers() -> list[Any]:
    got = []
    groups = {asyncio.gather(echo(n), echo(-n)): n for n in range(1, 6)}
    done, _ = await asyncio.wait(groups)
    await gate()
    for each in done:
        got.append([each.result(), await echo(each.result()[0])])
    return got


@workflow
async def waits_over_shields() -> list[Any]:
    shields = [asyncio.shield(asyncio.ensure_future(echo(n))) for n in range(5)]
    done, _ = await asyncio.wait(shields)
    await gate()
    return [[each.result(), await echo(each.result())] for each in done]


@workflow
async def moves_on_after() -> list[str]:
    seen = []
    with anyio.move_on_after(0.05) as scope:
        await pausing("slow", 60)
    seen.append(f"cancelled: {scope.cancelled_caught}")
    await gate()
    with anyio.move_on_after(60):
        seen.append(await echo("in time"))
    return seen


@workflow
async def fails_after() -> list[str]:
    seen = []
    try:
        with anyio.fail_after(0.05):
            await pausing("slow", 60)
    except TimeoutError:
        seen.append("too late")
    await gate()
    async with anyio.create_task_group() as group:

        async def one(n: int) -> None:
            seen.append(await echo(f"task {n}"))

        for n in range(3):
            group.start_soon(one, n)
    return seen


@workflow
async def streams() -> list[int]:
    got: list[int] = []
    send, take = anyio.create_memory_object_stream[int](2)
    lock, event, limit = anyio.Lock(), anyio.Event(), asyncio.Semaphore(2)

    async def produce() -> None:
        async with send:
            for n in range(5):
                async with limit:
                    await send.send(await echo(n))
        event.set()

    async def consume() -> None:
        async with take:
            async for n in take:
                async with lock:
                    got.append(await echo(n * 10))

    async with anyio.create_task_group() as group:
        group.start_soon(produce)
        group.start_soon(consume)
    await event.wait()
    await gate()
    return [*got, len(got)]


@workflow
async def queues() -> list[Any]:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    condition, seen = asyncio.Condition(), []

    async def worker(name: str) -> None:
        while (n := await queue.get()) >= 0:
            seen.append([name, await echo(n)])
            async with condition:
                condition.notify_all()

    async with asyncio.TaskGroup() as group:
        for name in "ab":
            group.create_task(worker(name))
        for n in range(6):
            await queue.put(n)
        async with condition:
            await condition.wait_for(lambda: len(seen) >= 4)
        await gate()
        await queue.put(-1)
        await queue.put(-1)
    return seen


@workflow
async def own_time_and_chance() -> list[str]:
    got = [now().isoformat(), str(uuid4()), str(uuid4()), repr(random())]
    await pausing(1, 0.02)
    got += [now().isoformat(), repr(asyncio.get_running_loop().time())]

    async def branch() -> str:
        await echo(1)
        return f"{uuid4()} {random()}"

    got += await asyncio.gather(branch(), branch())
    await gate()
    return got


@workflow
def in_a_thread() -> list[str]:
    got = [now().isoformat(), str(uuid4()), repr(random())]
    blocking_gate()
    return [*got, str(uuid4())]


@step
def blocking_gate() -> None:
    asyncio.run_coroutine_threadsafe(gate.definition.fn(), loops[-1]).result()


loops: list[asyncio.AbstractEventLoop] = []

REPLAYED = [
    waits_over_gathers,
    waits_over_shields,
    moves_on_after,
    fails_after,
    streams,
    queues,
]


@pytest.mark.parametrize("flow", REPLAYED, ids=lambda flow: flow.definition.name)
async def test_a_replay_gives_what_a_run_in_one_go_gives(database: str, flow: Workflow[..., Any]) -> None:
    calm, crashed = await before_and_after_a_crash(database, flow)
    assert calm == crashed
    assert calm


async def test_results_of_gathered_futures_belong_to_their_arguments(database: str) -> None:
    _, got = await before_and_after_a_crash(database, waits_over_gathers)
    assert sorted(got) == [[[n, -n], n] for n in range(1, 6)]


@pytest.mark.postgres
@pytest.mark.parametrize("flow", [own_time_and_chance, in_a_thread], ids=lambda flow: flow.definition.name)
async def test_time_and_chance_of_a_body_are_the_same_on_replay(
    database: str, flow: Workflow[..., Any]
) -> None:
    loops[:] = [asyncio.get_running_loop()]
    seen: list[list[str]] = []
    original = flow.definition.fn

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        async with asyncio.timeout(30):
            await reached[-1].wait()
        began = machine_now()
        await bench.abandon()
    async with engine_on(database, flow) as bench:
        held[-1].set()
        got = await bench.result(workflow_id)
    assert original is flow.definition.fn
    assert abs(datetime.fromisoformat(got[0]) - began) < timedelta(minutes=1)
    assert len({*got}) == len(got), "each draw is another"
    assert seen == []
    async with engine_on(database, flow) as bench:  # once more, from all that is recorded
        await bench.rows(
            "update outlast.workflow_status set status = 'PENDING', claimable_at = now(), output = null"
        )
        await bench.until(lambda: _ended(bench, workflow_id))
        assert (await bench.row(workflow_id))["output"] == got


async def _ended(bench: Bench, workflow_id: str) -> bool:
    return bool((await bench.row(workflow_id))["status"] == "SUCCESS")


@workflow
async def sets_equal_timers() -> int:
    loop, struck = asyncio.get_running_loop(), list[int]()
    when = loop.time() + 0.01
    first, _second = loop.call_at(when, struck.append, 1), loop.call_at(when, struck.append, 1)
    first.cancel()
    await asyncio.sleep(0.03)
    return len(struck)


async def test_of_timers_that_look_alike_the_one_that_was_cancelled_strikes_not(database: str) -> None:
    async with engine_on(database, sets_equal_timers) as bench:
        assert await bench.run(sets_equal_timers) == 1


# --- generators --------------------------------------------------------------------------------------------

closed: list[str] = []


async def numbers() -> AsyncIterator[int]:
    try:
        for n in range(10):
            yield await echo(n)
    finally:
        closed.append(str(await echo("closed")))


@workflow
async def breaks() -> str:
    async for n in numbers():
        if n == 2:
            break
    await pausing(1, 0.05)
    await gate()
    return "done"


async def test_a_generator_that_is_left_by_break_is_closed(database: str) -> None:
    closed[:] = []
    assert await before_and_after_a_crash(database, breaks) == ("done", "done")
    assert closed == ["closed"] * 3


async def ones(seen: list[str]) -> AsyncIterator[int]:
    try:
        while True:
            yield 1
    finally:
        seen.append("closed")


@workflow
async def leaves_in_a_cycle(collects: bool) -> list[str]:
    seen = list[str]()
    cycle: list[Any] = [ones(seen)]
    cycle.append(cycle)
    await anext(cycle[0])
    del cycle
    if collects:
        gc.collect()
    await echo("after")
    return seen.copy()


async def test_where_the_collector_finds_a_generator_makes_no_difference(database: str) -> None:
    async with engine_on(database, leaves_in_a_cycle) as bench:
        assert [await bench.run(leaves_in_a_cycle, each) for each in (True, False)] == [[], []]


resting: list[weakref.ref[Any]] = []


@workflow
async def rests_in_scopes(shielded: bool) -> None:
    resting[:] = [weakref.ref(asyncio.current_task())]
    try:
        with anyio.move_on_after(3600):
            await sleep(3000)
    finally:
        with anyio.CancelScope(shield=shielded):
            await sleep(3000)


@pytest.mark.postgres  # the loop of virtual time keeps tasks that are done
@pytest.mark.parametrize("shielded", [True, False])
async def test_who_leaves_the_memory_within_a_scope_is_freed(database: str, shielded: bool) -> None:
    """anyio knows tasks by their scopes, until these are left."""
    async with engine_on(database, rests_in_scopes) as bench:
        workflow_id = await bench.start(rests_in_scopes, shielded)
        await bench.suspended(workflow_id)
        gc.collect()
        assert resting[0]() is None


# --- no I/O ------------------------------------------------------------------------------------------------


async def _socket() -> Any:
    return await asyncio.open_connection("127.0.0.1", 9)


async def _look_up() -> Any:
    return await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def _subprocess() -> Any:
    return await asyncio.create_subprocess_exec("true")


async def _server() -> Any:
    return await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)


async def _reader() -> Any:
    with contextlib.closing(socket.socket()) as plain:
        asyncio.get_running_loop().add_reader(plain, print)


async def _anyio_thread() -> Any:
    return await anyio.to_thread.run_sync(len, "ab")


async def _anyio_tcp() -> Any:
    return await anyio.connect_tcp("127.0.0.1", 9)


async def _stop() -> Any:
    asyncio.get_running_loop().stop()


IO = {
    "loop.stop": _stop,
    "to_thread": lambda: asyncio.to_thread(len, "ab"),
    "open_connection": _socket,
    "getaddrinfo": _look_up,
    "create_subprocess_exec": _subprocess,
    "start_server": _server,
    "add_reader": _reader,
    "anyio thread": _anyio_thread,
    "anyio tcp": _anyio_tcp,
}


@pytest.mark.parametrize("call", IO.values(), ids=IO.keys())
async def test_a_body_that_does_io_is_told_where_and_what_to_write(
    database: str, call: Callable[[], Any]
) -> None:
    @workflow
    async def flow() -> Any:
        return await call()

    async with engine_on(database, flow) as bench:
        failure = await bench.failure(await bench.start(flow))
        told = str(failure["failure"])  # anyio puts it into a group
        assert "UsageError" in told
        assert "put it into a step" in told
        assert "test_body_loop.py:" in told  # not the library that asks on its behalf


# --- a large body ------------------------------------------------------------------------------------------


@workflow
async def many(count: int) -> int:
    return sum(await asyncio.gather(*[echo(n) for n in range(count)]))


@pytest.mark.postgres
async def test_concurrent_steps_share_commits(database: str) -> None:
    async with engine_on(database, many) as bench:
        workflow_id = await bench.start(many, 1_000)
        assert await bench.result(workflow_id) == sum(range(1_000))
        steps = await bench.steps(workflow_id)
        assert len({each["nonce"] for each in steps}) < 50
        assert [each["completion_order"] for each in steps] == list(range(1, 1_001))


@workflow
async def polls() -> str:
    task = asyncio.create_task(echo("polled"))
    while not task.done():
        await asyncio.sleep(0)
    return await task


async def test_a_body_that_asks_again_and_again_gets_what_it_asks_for(database: str) -> None:
    async with engine_on(database, polls, many) as bench:
        busy = asyncio.create_task(bench.run(polls))
        assert await bench.run(many, 3) == 3
        assert await busy == "polled"


# --- what differs on replay --------------------------------------------------------------------------------

said: list[str] = []


@workflow
async def swaps() -> str:
    value = await echo(said[-1])
    await gate()
    return str(value)


async def replayed_with(database: str, argument: str, **options: Any) -> tuple[Bench, str]:
    said[:] = ["alpha"]
    async with engine_on(database, swaps) as bench:
        workflow_id = await bench.start(swaps)
        async with asyncio.timeout(30):
            await reached[-1].wait()
        await bench.abandon()
    said[:] = [argument]
    held[-1].set()
    async with engine_on(database, swaps, **options) as bench:
        await bench.until(lambda: _over(bench, workflow_id))
        return bench, workflow_id


async def _over(bench: Bench, workflow_id: str) -> bool:
    row = await bench.row(workflow_id)
    return bool(row["status"] != "PENDING" or row["held"])


def changed(bench: Bench) -> list[ArgumentsChanged]:
    return [each for each in bench.observations if isinstance(each, ArgumentsChanged)]


async def test_other_arguments_on_replay_are_told_with_file_and_line(database: str) -> None:
    bench, workflow_id = await replayed_with(database, "beta")
    (told,) = changed(bench)
    assert (told.workflow_id, told.step_id, told.name) == (workflow_id, "1", "echo")
    assert "test_body_loop.py:" in told.place
    assert (await bench.row(workflow_id))["output"] == "alpha"


async def test_other_arguments_on_replay_stop_it_where_that_is_set(database: str) -> None:
    bench, workflow_id = await replayed_with(database, "beta", replay_arguments="hold")
    held = (await bench.row(workflow_id))["held"]
    assert held["reason"] == "non_determinism"
    assert "test_body_loop.py:" in held["at"]


async def test_the_same_arguments_and_a_setting_of_off_are_silent(database: str) -> None:
    bench, _ = await replayed_with(database, "alpha")
    assert changed(bench) == []
    held[:], reached[:] = [asyncio.Event()], [asyncio.Event()]
    bench, _ = await replayed_with(database, "beta", replay_arguments="off")
    assert changed(bench) == []


CLOCKS: dict[str, Callable[[], Any]] = {
    "time.time": lambda: time.time(),  # noqa: TID251 - it is to be found
    "datetime.now": lambda: datetime.now(UTC),  # noqa: TID251 - it is to be found
    "uuid4": lambda: uuid.uuid4(),
    "random": lambda: chance.random(),
    "secrets": lambda: secrets.token_hex(4),
}


@pytest.mark.parametrize("read", CLOCKS.values(), ids=CLOCKS.keys())
@pytest.mark.parametrize("threaded", [False, True])
async def test_clocks_and_chance_in_a_body_are_told_of_on_a_host_for_development(
    database: str, read: Callable[[], Any], threaded: bool
) -> None:
    @workflow
    async def flow() -> None:
        now()
        uuid4()
        read()
        logging.getLogger("anything").info("a library may read the clock")
        await echo(1)

    @workflow
    def threaded_flow() -> None:
        read()

    chosen = threaded_flow if threaded else flow
    async with engine_on(database, chosen, watch_bodies=True) as bench:
        await bench.run(chosen)
        (told,) = {each for each in bench.observations if isinstance(each, BodyReads)}
        assert "test_body_loop.py:" in told.place
        assert told.instead.startswith("outlast.")
    async with engine_on(database, chosen) as bench:
        await bench.run(chosen)
        assert not [each for each in bench.observations if isinstance(each, BodyReads)]


# --- memory ------------------------------------------------------------------------------------------------


class Load:
    """Something large."""


loads: list[weakref.ref[Load]] = []


@workflow
async def holds(how: str) -> int:
    load = Load()
    loads.append(weakref.ref(load))
    if how == "gathers":
        await asyncio.gather(*[echo(n) for n in range(5)])
    elif how == "times out":
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await pausing(1, 60)
    elif how == "leaves tasks":
        left = asyncio.create_task(pausing(1, 60))
        await echo(int(left.done()))
    else:
        await echo(1)
    return len(str(load)) and 1


@pytest.mark.parametrize("how", ["steps", "gathers", "times out", "leaves tasks"])
async def test_what_a_body_held_is_freed_without_the_collector(database: str, how: str) -> None:
    async with engine_on(database, holds) as bench:
        gc.disable()
        try:
            assert await bench.run(holds, how) == 1
            await bench.until(lambda: not bench.live)
            await asyncio.sleep(0)
            assert loads[-1]() is None
        finally:
            gc.enable()
