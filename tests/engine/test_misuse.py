"""Calls made where they can't be recorded: refused at once, or told of, and never the end of the host."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from outlast import (
    UsageError,
    context,
    publish,
    receive,
    saga,
    send,
    sleep,
    start,
    start_once,
    step,
    transaction,
    wait_any,
    workflow,
)
from outlast.core.observations import CallUnawaited, JournalMoves, JournalStalled, LoopFailed
from outlast.core.records import Ending
from outlast.core.status import Status
from outlast.engine import journal as journals
from outlast.engine.bodies.loop import CALLBACKS_MAX
from outlast.engine.execution.pace import PAUSE_MAX_S, PAUSE_STEP_S, RESTLESS_MAX
from outlast.sdk.handles import WorkflowHandle
from outlast.sdk.running import current_host
from tests.engine.harness import Bench, engine_on

runs: list[object] = []
ELSEWHERE = "in a thread that the workflow's body made"


@pytest.fixture(autouse=True)
def forget() -> None:
    runs.clear()


@step
def charge(cents: int) -> int:
    runs.append(cents)
    return cents


@step
async def ship(cents: int) -> int:
    runs.append(cents)
    return cents


@transaction
def book(tx: Any, cents: int) -> int:
    runs.append(cents)
    return cents


@transaction
async def note(tx: Any, cents: int) -> int:
    runs.append(cents)
    return cents


@workflow
async def child(number: int) -> int:
    return number * 2


def in_pool(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def in_map(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda _: call(), [1]))


def in_new_thread(call: Callable[[], Any]) -> Any:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in raised:
        raise error


def in_subclass(call: Callable[[], Any]) -> Any:
    raised: list[BaseException] = []

    class Own(threading.Thread):
        def run(self) -> None:
            try:
                call()
            except BaseException as error:
                raised.append(error)

    thread = Own()
    thread.start()
    thread.join()
    for error in raised:
        raise error


def awaited(call: Callable[[], Any]) -> Callable[[], Any]:
    """As `asyncio.run` of a thread does it."""

    async def run() -> Any:
        return await call()

    return lambda: asyncio.run(run())


CALLS: dict[str, Callable[[], Any]] = {
    "step": lambda: charge(1),
    "step.aio": awaited(lambda: charge.aio(1)),
    "async step": awaited(lambda: ship(1)),
    "transaction": lambda: book(1),
    "async transaction": awaited(lambda: note(1)),
    "sleep": awaited(lambda: sleep(0)),
    "receive": awaited(lambda: receive(timeout=0, default=None)),
    "send": awaited(lambda: send("nobody", 1)),
    "publish": awaited(lambda: publish("event")),
    "start": awaited(lambda: start(child, 1)),
    "start_once": awaited(lambda: start_once("key", child, 1)),
    "result": awaited(lambda: WorkflowHandle("nobody").result()),
}


def refusal(run: Callable[[], Any]) -> str:
    try:
        run()
    except UsageError as error:
        return str(error)
    return "it was not refused"


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("place", [in_pool, in_map, in_new_thread, in_subclass])
async def test_a_def_body_calls_nothing_in_threads_it_made(
    database: str, place: Callable[[Callable[[], Any]], Any], call: Callable[[], Any]
) -> None:
    @workflow
    def flow() -> str:
        return refusal(lambda: place(call))

    async with engine_on(database, flow, child) as bench:
        workflow_id = await bench.start(flow)
        assert ELSEWHERE in await bench.result(workflow_id)
        assert await bench.steps(workflow_id) == []
    assert runs == []


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_an_async_body_calls_nothing_in_threads_it_made(database: str, call: Callable[[], Any]) -> None:
    @workflow
    async def flow() -> list[str]:
        return [refusal(lambda: in_pool(call)), refusal(lambda: in_new_thread(call))]

    async with engine_on(database, flow, child) as bench:
        workflow_id = await bench.start(flow)
        refusals = await bench.result(workflow_id)
        assert all(ELSEWHERE in each for each in refusals), refusals
        assert await bench.steps(workflow_id) == []
        assert await bench.run(child, 2) == 4  # the host goes on
    assert runs == []


async def test_a_call_made_in_the_body_is_not_awaited_on_another_loop(database: str) -> None:
    @workflow
    async def flow() -> list[str]:
        made: list[Any] = [ship(1), note(1), sleep(0), send("nobody", 1), start(child, 1)]
        return [refusal(partial(in_new_thread, awaited(iter([each]).__next__))) for each in made]

    async with engine_on(database, flow, child) as bench:
        refusals = await bench.run(flow)
        assert all(ELSEWHERE in each for each in refusals), refusals
        assert await bench.run(child, 2) == 4
    assert runs == []


async def test_a_pool_that_a_body_used_serves_others(database: str) -> None:
    pool = ThreadPoolExecutor(1)

    @step
    def fans_out() -> list[int]:
        return list(pool.map(charge, [1, 2]))

    @workflow
    def flow() -> list[int]:
        pool.submit(int).result()
        return fans_out()

    with pool:
        async with engine_on(database, flow) as bench:
            assert await bench.run(flow) == [1, 2]


async def test_a_step_reaches_the_host_from_a_loop_of_its_own(database: str) -> None:
    """What it calls runs on the host's loop, whose futures no other loop may hold."""

    async def main() -> list[int]:
        handle = await start(child, 4)
        both = await asyncio.gather(handle.result(), note(3))
        return [*both, await (await start_once("key", child, 5)).result()]

    @step
    def reaches() -> list[int]:
        return asyncio.run(main())

    @step
    async def reaches_from_a_thread() -> list[int]:
        return await asyncio.to_thread(lambda: asyncio.run(main()))

    @workflow
    async def flow() -> list[list[int]]:
        return [await reaches.aio(), await reaches_from_a_thread()]

    async with engine_on(database, flow, child) as bench:
        assert await bench.run(flow) == [[8, 3, 10], [8, 3, 10]]
        assert await bench.run(child, 2) == 4


async def test_another_loop_does_not_enter_the_engine(database: str) -> None:
    async with engine_on(database, child) as bench:
        engine = bench.engine
        entries: list[Callable[[], Any]] = [
            lambda: engine.host.start(child.definition, (1,), {}, None),
            lambda: engine.host.result("nobody"),
            lambda: engine.host.send("nobody", "1", "", None),
            lambda: engine.host.transact(note.definition, (1,), {}),
            lambda: engine.wait("nobody", 1),
        ]
        for entry in entries:
            assert "its own loop" in await asyncio.to_thread(refusal, awaited(entry))
        assert await bench.run(child, 2) == 4


# --- not awaited --------------------------------------------------------------------------------------------


UNAWAITED: dict[str, tuple[str, Callable[[], object]]] = {
    "step": ("ship", lambda: ship(1)),
    "aio": ("charge.aio", lambda: charge.aio(1)),
    "transaction": ("note", lambda: note(1)),
    "sleep": ("sleep", lambda: sleep(1)),
    "receive": ("receive", lambda: receive()),
    "send": ("send", lambda: send("nobody", 1)),
    "publish": ("publish", lambda: publish("event")),
    "start": ("start", lambda: start(child, 1)),
    "start_once": ("start_once", lambda: start_once("key", child, 1)),
    "result": ("result", lambda: WorkflowHandle("nobody").result()),
}


@pytest.mark.parametrize(("name", "call"), UNAWAITED.values(), ids=UNAWAITED.keys())
async def test_a_call_that_is_not_awaited_is_told_of(
    database: str, name: str, call: Callable[[], object]
) -> None:
    @workflow
    async def flow() -> None:
        call()

    async with engine_on(database, flow, child) as bench:
        workflow_id = await bench.start(flow)
        await bench.result(workflow_id)
        (told,) = [each for each in bench.observations if isinstance(each, CallUnawaited)]
        assert (told.workflow_id, told.function, told.name) == (workflow_id, "flow", name)
        line = call.__code__.co_firstlineno
        assert told.place == f"{__file__}:{line}"
    assert runs == []


@step
async def numbers(first: int) -> AsyncIterator[int]:
    yield first


async def gone_over() -> None:
    list(sleep(0))  # type: ignore[call-overload]


async def generator_awaited() -> None:
    await numbers(1)  # type: ignore[misc]


async def ids_waited_for() -> None:
    await wait_any(["w"])  # type: ignore[arg-type]


async def step_started() -> None:
    await start(ship, 1)  # type: ignore[call-overload]


async def workflow_done() -> None:
    async with saga() as s:
        await s.do(child, 1, undo=ship)  # type: ignore[call-overload]


async def saga_not_entered() -> None:
    s = saga()
    async with s:
        await s.do(ship, 1, undo=ship)  # type: ignore[attr-defined]


async def no_type() -> None:
    await receive(of=5)


async def own_result() -> None:
    await WorkflowHandle(context().workflow_id).result()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (gone_over, "sleep(…) can't be gone over before it is awaited: `await sleep(…)`"),
        (generator_awaited, "write `await map_(…, numbers(…))`"),
        (ids_waited_for, "wait_any takes handles, not 'w'"),
        (step_started, "decorated with @workflow, not <step ship>"),
        (workflow_done, "not <workflow child>: start the workflow in a step"),
        (saga_not_entered, "write `async with saga() as s:`"),
        (no_type, "pydantic models (Unable to generate pydantic-core schema for 5)"),
        (own_result, "waits for its own result, which would never come"),
    ],
)
async def test_a_slip_is_told_with_its_remedy(
    database: str, wrong: Callable[[], Awaitable[None]], told: str
) -> None:
    @workflow
    async def flow() -> str:
        try:
            await wrong()
        except (TypeError, AttributeError, UsageError) as error:
            return str(error)
        return "nothing"

    async with engine_on(database, flow, child) as bench:
        assert told in await bench.run(flow)


async def helper() -> int:
    return 1


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: ship(1), "flow returned <ship(…), to be awaited>: write `return await …`"),
        (lambda: WorkflowHandle("w").result(), "flow returned <result(…), to be awaited>"),
        (helper, "flow returned <helper(…), to be awaited>"),
    ],
    ids=["step", "result", "coroutine"],
)
async def test_a_call_is_no_result(database: str, call: Callable[[], object], told: str) -> None:
    @workflow
    async def flow() -> Any:
        return call()

    async with engine_on(database, flow) as bench:
        error = await bench.failure(await bench.start(flow))
        assert error["failure"]["type"] == "UsageError"
        assert told in error["failure"]["message"]


async def test_a_call_outside_of_a_body_that_is_not_awaited_is_told_of_too(database: str) -> None:
    @step
    async def slips() -> None:
        start(child, 1)  # type: ignore[unused-awaitable]

    @workflow
    async def flow() -> None:
        await slips()

    async with engine_on(database, flow, child) as bench:
        await bench.run(flow)
        (told,) = [each for each in bench.observations if isinstance(each, CallUnawaited)]
        assert (told.workflow_id, told.name) == ("", "start")


async def test_what_is_awaited_later_or_given_up_by_the_engine_is_no_slip(database: str) -> None:
    @workflow
    async def flow() -> list[int]:
        calls = [ship(1), ship(2)]
        await sleep(0.2)  # the first time it leaves the memory here, and the calls with it
        return await asyncio.gather(*calls)

    async with engine_on(database, flow, moment_s=0.01) as bench:
        assert await bench.run(flow) == [1, 2]
        assert [each for each in bench.observations if isinstance(each, CallUnawaited)] == []


async def test_a_slip_is_told_once_and_not_on_each_replay(database: str) -> None:
    @workflow
    async def flow() -> None:
        ship(1)  # type: ignore[unused-coroutine]
        await sleep(0.2)

    async with engine_on(database, flow, moment_s=0.01) as bench:
        await bench.run(flow)
        assert len([each for each in bench.observations if isinstance(each, CallUnawaited)]) == 1


def test_without_a_host_python_warns() -> None:
    from outlast.sdk.calls import later

    assert current_host() is None
    with pytest.warns(RuntimeWarning, match=r"ship\(…\) was called and not awaited"):
        later(asyncio.Event().wait, "ship")  # type: ignore[unused-awaitable]


# --- a journal that doesn't move ----------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["access exclusive", "share"])
async def test_a_journal_that_does_not_move_is_told_of(
    database: str, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Here for a lock on its table, longer than a commit waits for it; a watch of its own sees any cause."""
    monkeypatch.setattr(journals, "WATCH_S", 0.3)
    async with engine_on(database, child) as bench, await connected(bench) as other:
        assert await bench.run(child, 2) == 4  # its session is there
        await other.execute("begin")
        await other.execute(f"lock table outlast.workflow_status in {mode} mode".encode())
        workflow_id = "child:locked"
        starting = asyncio.ensure_future(bench.start(child, 2, workflow_id=workflow_id))
        await bench.until(lambda: bench.engine.journal_stalled)
        assert [each for each in bench.observations if isinstance(each, JournalStalled)]
        await other.execute("rollback")
        await bench.until(lambda: not bench.engine.journal_stalled)
        assert [each for each in bench.observations if isinstance(each, JournalMoves)]
        await starting
        assert await bench.result(workflow_id) == 4


async def test_a_waiter_that_cannot_be_told_does_not_stop_the_journal(database: str) -> None:
    """As a future whose loop was closed: settling it raises."""
    async with engine_on(database, child) as bench:
        broken = BrokenFuture(loop=asyncio.get_running_loop())
        write = journals._Write("nobody", 1, broken)
        write.end = Ending(Status.SUCCESS)
        bench.engine._journal._add("nobody", write)
        assert await bench.run(child, 2) == 4
        (told,) = [each for each in bench.observations if isinstance(each, LoopFailed)]
        assert told.loop == "journal"


class BrokenFuture(asyncio.Future[bool]):
    def set_result(self, result: bool) -> None:
        raise RuntimeError("Event loop is closed")


async def connected(bench: Bench) -> Any:
    import psycopg

    return await psycopg.AsyncConnection.connect(bench.url, autocommit=True)


waited_for: list[asyncio.Event] = []


@step
async def wakes() -> None:
    waited_for[-1].set()


@step
def wakes_in_a_thread() -> None:
    waited_for[-1].set()


@workflow
async def waits_for_a_step(threaded: bool) -> None:
    waited_for.append(asyncio.Event())
    calling = asyncio.create_task(wakes_in_a_thread.aio() if threaded else wakes())
    await waited_for[-1].wait()
    await calling


@pytest.mark.parametrize("threaded", [False, True])
async def test_nothing_but_what_is_handed_over_wakes_a_body(database: str, threaded: bool) -> None:
    """Else it works in one go, and after a crash it waits for ever."""
    async with engine_on(database, waits_for_a_step) as bench:
        workflow_id = await bench.start(waits_for_a_step, threaded)
        failure = await bench.failure(workflow_id)
    assert re.search(r"test_misuse\.py:\d+ wakes a workflow's body from outside", str(failure)), failure


spins: list[int] = []


@step
async def takes_a_moment() -> float:
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0.3)
    return asyncio.get_running_loop().time() - began


@workflow
async def asks_in_a_loop() -> float:
    calling = asyncio.create_task(takes_a_moment())
    while not calling.done():
        spins.append(1)
        await asyncio.sleep(0)
    return await calling


async def test_a_body_that_asks_in_a_loop_what_is_next_leaves_the_host_to_others(database: str) -> None:
    spins.clear()
    async with engine_on(database, asks_in_a_loop) as bench:
        elapsed_s = await bench.run(asks_in_a_loop)
    # Each pause is a little longer than the one before, up to the longest.
    growing = PAUSE_MAX_S / PAUSE_STEP_S
    assert len(spins) < CALLBACKS_MAX * (RESTLESS_MAX + growing + elapsed_s / PAUSE_MAX_S + 2)


@pytest.mark.parametrize("given", ["x\0y", "\ud800", 17, None])
def test_a_handle_is_of_an_id_that_postgres_can_be_asked_for(given: Any) -> None:
    """One query asks for all that is waited for: such an id failed it, and all who waited went on waiting."""
    with pytest.raises(UsageError, match="id"):
        WorkflowHandle(given)
