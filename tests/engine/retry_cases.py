"""Retry and rewind: what failed runs again, what has succeeded doesn't, and a success never changes.

They run in memory (test_retry.py) and on Postgres (test_retry_on_postgres.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from outlast import (
    Queue,
    map_,
    publish,
    receive,
    saga,
    sleep,
    start,
    step,
    workflow,
)
from outlast.core.placement import Placement
from outlast.core.ports import NoSuchRow, NotNow, Unacceptable
from outlast.core.records import Ending, WorkflowState
from outlast.core.status import FAILED, Status
from outlast.core.verbs import FORK, RETRY, REWIND
from outlast.sdk import sagas
from tests.engine.harness import BEGUN_BY_THEN_S, WAIT_S, Bench, engine_on

ran: Counter[str] = Counter()
broken: set[str] = set()
Waits = asyncio.Task[WorkflowState | None]
gates: dict[str, asyncio.Event] = {}
alone = Queue("alone", concurrency=1)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()
    broken.clear()
    gates.clear()


@step
async def work(name: str) -> str:
    ran[name] += 1
    if name in gates:
        await gates[name].wait()
    if name in broken:
        raise ValueError(name)
    return name.upper()


async def retried(bench: Bench, workflow_id: str, **given: Any) -> Any:
    done = await bench.store.workflows.act(RETRY, workflow_id, given, "me")
    bench.engine.look()
    return done


async def rewound(bench: Bench, workflow_id: str, to: str) -> Any:
    done = await bench.store.workflows.act(REWIND, workflow_id, {"to": to}, "me")
    bench.engine.look()
    return done


async def fails(bench: Bench, workflow_id: str, how: str = "ValueError") -> None:
    """It ends, and what it failed by has this name, or its error this code."""
    state = await bench.engine.wait(workflow_id, WAIT_S)
    assert state is not None
    assert state.status in FAILED
    assert f'"{how}"' in (state.error or "")


@workflow
async def three() -> str:
    return await work("a") + await work("b") + await work("c")


@workflow
async def handles() -> str:
    try:
        return await work("a")
    except ValueError:
        await work("cleanup")
        raise


@workflow
async def survives() -> str:
    first = "-"
    try:
        first = await work("a")
    except ValueError:
        await work("instead")
    await work("b")
    if "body" in broken:
        raise ValueError("by itself")
    return first + await work("c")


@workflow
async def all_of_them() -> list[Any]:
    got = await asyncio.gather(*map(work, "abcd"), return_exceptions=True)
    for each in got:
        if isinstance(each, BaseException):
            raise each
    return got


@workflow
async def grouped() -> str:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(each)) for each in "abc"]
    return "".join(each.result() for each in tasks)


async def one(name: str) -> str:
    return await work(name)


@workflow
async def in_time() -> str:
    async with asyncio.timeout(5):
        return await work("slow")


@workflow
async def within() -> str:
    await work("b")
    async with asyncio.timeout(5):
        return await work("a")


@workflow
async def asks() -> Any:
    await work("a")
    return await receive("answer", timeout=5)


@workflow
async def hears_several() -> list[Any]:
    """Three receives beside each other, one of another topic, and one that comes later."""
    first = await asyncio.gather(*(receive("t", timeout=60) for _ in range(3)), receive("u", timeout=60))
    await work("a")
    return [*first, await receive("t", timeout=60)]


@workflow(timeout=3600)
async def with_timeout() -> str:
    await work("a")
    return await work("slow")


@workflow(timeout=BEGUN_BY_THEN_S)
async def brief() -> str:
    await work("a")
    return await work("slow")


@workflow(timeout=3600)
async def bounds() -> str:
    await sleep(0.2)
    return await (await start(child, "x")).result()


@workflow(timeout=BEGUN_BY_THEN_S)
async def waits_its_turn() -> str:
    return await (await start(queued, "c")).result()


@workflow
async def child(name: str) -> str:
    return await work(name) + await work(f"{name}2")


@workflow
async def parent() -> str:
    handles = [await start(child, each) for each in "ab"]
    return "".join([await each.result() for each in handles])


@workflow
async def lets_go() -> str:
    await start(child, "a")
    return await work("slow")


@workflow
async def many() -> list[str]:
    return list(await map_(one_item, ["a", "b", "c", "d"], concurrency=1))


@workflow
async def twice() -> list[str]:
    return list(await map_(child, ["a", "b", "c"], concurrency=1 if "narrow" in broken else 3))


@step
async def names() -> AsyncIterator[str]:
    for each in "abcd":
        yield each


@workflow
async def generated() -> list[str]:
    return list(await map_(one_item, names(), concurrency=4))


@workflow
async def one_item(name: str) -> str:
    return await work(name)


@step
async def undo(name: Any) -> None:
    ran[f"undo {name}"] += 1
    if f"undo {name}" in broken:
        raise ConnectionError(name)


@workflow
async def trip() -> str:
    await work("before")
    async with saga() as s:
        hotel = await s.do(work, "hotel", undo=undo)
        flight = await s.do(work, "flight", undo=undo)
        return hotel + flight + await work("pay")


@workflow
async def child_with_a_saga() -> str:
    async with saga() as s:
        await s.do(work, "room", undo=lambda _: work("free"))
        return await work("slow")


@workflow
async def has_such_a_child() -> str:
    return await (await start(child_with_a_saga)).result()


@workflow(queue=alone)
async def queued(name: str) -> str:
    if name == "slow":
        return await work(name)
    async with asyncio.timeout(5):
        return await work(name)


@workflow
async def tells() -> str:
    await publish("at", 1)
    await work("a")
    await publish("at", 2)
    await work("b")
    return "told"


@workflow
async def helper(name: str) -> str:
    return f"helper {name}"


@workflow
async def other_helper(name: str) -> str:
    return f"other helper {name}"


@workflow
async def chooses() -> str:
    which = await work("a")
    helps = other_helper if "other function" in ran else helper
    given = "y" if "other input" in ran else "x"
    return f"{which} {await (await start(helps, name=given)).result()} {await work('b')}"


EVERY = (
    hears_several,
    chooses, helper, other_helper, three, handles, survives, all_of_them, grouped, within, in_time, asks,
    with_timeout, brief, bounds, waits_its_turn, child, parent, lets_go, child_with_a_saga, has_such_a_child,
    many, twice, generated, one_item, trip, queued, tells,
)  # fmt: skip


@pytest.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    async with engine_on(database, *EVERY) as bench:
        yield bench


async def test_what_failed_runs_again_and_nothing_else(bench: Bench) -> None:
    broken.add("b")
    workflow_id = await bench.start(three)
    await fails(bench, workflow_id)
    before = await bench.row(workflow_id)
    broken.clear()
    done = await retried(bench, workflow_id, why="it is mended")
    assert (done["status"], done["generation"]) == (Status.ENQUEUED, 2)
    assert await bench.result(workflow_id) == "ABC"
    assert ran == {"a": 1, "b": 2, "c": 1}
    after = await bench.row(workflow_id)
    assert after["epoch"] > before["epoch"]
    assert (after["generation"], after["error"]) == (2, None)


async def test_it_fails_again_and_is_retried_again(bench: Bench) -> None:
    broken.add("b")
    workflow_id = await bench.start(three)
    for generation in (2, 3):
        await fails(bench, workflow_id)
        assert (await retried(bench, workflow_id))["generation"] == generation
    await fails(bench, workflow_id)
    broken.clear()
    assert (await retried(bench, workflow_id))["generation"] == 4
    assert await bench.result(workflow_id) == "ABC"
    assert ran == {"a": 1, "b": 4, "c": 1}


async def test_only_what_has_failed_is_retried(bench: Bench) -> None:
    gates["a"] = asyncio.Event()
    workflow_id = await bench.start(three)
    for verb, given in ((RETRY, {}), (REWIND, {"to": "1"})):
        with pytest.raises(NotNow, match="PENDING"):
            await bench.store.workflows.act(verb, workflow_id, given, "me")
    gates["a"].set()
    assert await bench.result(workflow_id) == "ABC"
    for verb, given in ((RETRY, {}), (REWIND, {"to": "1"})):
        with pytest.raises(NotNow, match="the workflow is SUCCESS"):
            await bench.store.workflows.act(verb, workflow_id, given, "me")
        with pytest.raises(NoSuchRow):
            await bench.store.workflows.act(verb, "nobody", given, "me")
    assert await bench.result(workflow_id) == "ABC"


async def test_what_was_done_because_of_the_failure_is_forgotten(bench: Bench) -> None:
    broken.add("a")
    workflow_id = await bench.start(handles)
    await fails(bench, workflow_id)
    await retried(bench, workflow_id)
    await fails(bench, workflow_id)
    assert ran == {"a": 2, "cleanup": 2}
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "A"
    assert ran == {"a": 3, "cleanup": 2}


async def test_a_failure_that_was_handled_stays(bench: Bench) -> None:
    broken.update(("a", "c"))
    workflow_id = await bench.start(survives)
    await fails(bench, workflow_id)
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "-C"
    assert ran == {"a": 1, "instead": 1, "b": 1, "c": 2}


async def test_a_failure_while_another_is_handled(bench: Bench) -> None:
    broken.update(("a", "instead"))
    workflow_id = await bench.start(survives)
    await fails(bench, workflow_id)
    assert (await retried(bench, workflow_id))["dropped"] == ["2"]
    await fails(bench, workflow_id)
    assert ran == {"a": 1, "instead": 2}


async def test_a_body_that_failed_by_itself_drops_nothing(bench: Bench) -> None:
    broken.update(("a", "body"))
    workflow_id = await bench.start(survives)
    await fails(bench, workflow_id)
    assert (await retried(bench, workflow_id))["dropped"] == []
    await fails(bench, workflow_id)
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "-C"
    assert ran == {"a": 1, "instead": 1, "b": 1, "c": 1}


async def test_what_ran_beside_it_stays(bench: Bench) -> None:
    broken.update("b")
    workflow_id = await bench.start(all_of_them)
    await fails(bench, workflow_id)
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == ["A", "B", "C", "D"]
    assert ran == {"a": 1, "b": 2, "c": 1, "d": 1}


async def test_several_failures_run_again_together(bench: Bench) -> None:
    broken.update("bd")
    workflow_id = await bench.start(all_of_them)
    await fails(bench, workflow_id)
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == ["A", "B", "C", "D"]
    assert ran == {"a": 1, "b": 2, "c": 1, "d": 2}


async def test_failures_of_a_group_run_again(bench: Bench) -> None:
    broken.update("b")
    workflow_id = await bench.start(grouped)
    await fails(bench, workflow_id, "ExceptionGroup")
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "ABC"
    assert ran["b"] == 2


async def test_a_timeout_of_the_body_begins_anew(bench: Bench) -> None:
    gates["slow"] = asyncio.Event()
    workflow_id = await bench.start(in_time)
    await fails(bench, workflow_id, "TimeoutError")
    gates["slow"].set()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "SLOW"


async def test_a_receive_waits_again_and_what_came_meanwhile_is_received(bench: Bench) -> None:
    workflow_id = await bench.start(asks)
    await fails(bench, workflow_id, "TimeoutError")
    await retried(bench, workflow_id)
    await bench.engine.host.send(workflow_id, '"yes"', "answer", None)
    assert await bench.result(workflow_id) == "yes"
    assert ran == {"a": 1}


# The workflow may end with u1, and with t4: nothing can be sent after either.
@pytest.mark.parametrize(("meanwhile", "afterwards"), [(["t4", "t5"], []), ([], ["t4"])])
async def test_messages_of_one_of_several_receives_come_again_in_their_order(
    bench: Bench, meanwhile: list[str], afterwards: list[str]
) -> None:
    async def send(*bodies: str) -> None:
        for each in bodies:
            await bench.engine.host.send(workflow_id, f'"{each}"', each[0], None)

    broken.add("a")
    workflow_id = await bench.start(hears_several)
    await send("t1", "t2", "t3", *meanwhile, "u1")
    await fails(bench, workflow_id)
    for branch in ("1.1", "2.1", "1.1"):
        assert branch in (await rewound(bench, workflow_id, branch))["dropped"]
        await fails(bench, workflow_id)
    broken.clear()
    assert "4.1" in (await rewound(bench, workflow_id, "4.1"))["dropped"]
    await send(*afterwards)
    assert await bench.result(workflow_id) == ["t1", "t2", "t3", "u1", "t4"]
    assert len(await bench.steps(workflow_id)) == 6


async def test_a_cancelled_one_goes_on_where_it_was(bench: Bench) -> None:
    gates["b"] = asyncio.Event()
    workflow_id = await bench.start(three)
    await bench.until(lambda: ran["b"] > 0)
    assert await bench.engine.cancel(workflow_id)
    await fails(bench, workflow_id, "workflow_cancelled")
    gates["b"].set()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "ABC"
    assert ran == {"a": 1, "b": 2, "c": 1}


async def test_who_waits_after_a_retry_is_told_of_no_former_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by a look that was sent before the retry, and whose answer comes late."""
    broken.add("a")
    workflow_id = await bench.start(three)
    await fails(bench, workflow_id)
    store = bench.engine._waits._store
    looked, arrives = asyncio.Event(), asyncio.Event()
    for name in ("ended", "states"):
        monkeypatch.setattr(store, name, _late(getattr(store, name), looked, arrives))
    before = asyncio.create_task(bench.engine.wait(workflow_id, WAIT_S))
    await asyncio.wait_for(looked.wait(), WAIT_S)
    broken.clear()
    gates["a"] = asyncio.Event()
    await retried(bench, workflow_id)
    await bench.until(lambda: ran["a"] == 2)
    since = asyncio.create_task(bench.engine.wait(workflow_id, WAIT_S))
    await asyncio.sleep(0)
    arrives.set()
    await each_hears_its_own_end(before, since)


async def test_who_waits_after_a_retry_is_not_told_of_an_end_that_was_written_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end is there, and the answer of its commit comes late: it was retried by then."""
    broken.add("a")
    written, arrives = asyncio.Event(), asyncio.Event()
    journal = bench.engine._executor._services.journal
    write = journal.write

    end = _late(write, written, arrives)
    monkeypatch.setattr(
        journal, "write", lambda *given: (end if isinstance(given[-1], Ending) else write)(*given)
    )
    workflow_id = await bench.start(three)
    before = asyncio.create_task(bench.engine.wait(workflow_id, WAIT_S))
    await asyncio.wait_for(written.wait(), WAIT_S)
    broken.clear()
    gates["a"] = asyncio.Event()
    await retried(bench, workflow_id)
    since = asyncio.create_task(bench.engine.wait(workflow_id, WAIT_S))
    await bench.until(lambda: ran["a"] == 2)
    arrives.set()
    await each_hears_its_own_end(before, since)


async def each_hears_its_own_end(before: Waits, since: Waits) -> None:
    """Who waited before the retry hears of the failure, who came since of what the retry comes to."""
    state = await before
    assert state is not None
    assert state.status is Status.ERROR
    gates["a"].set()
    state = await since
    assert state is not None
    assert state.status is Status.SUCCESS


def _late(ask: Any, asked: asyncio.Event, arrives: asyncio.Event) -> Any:
    """The same, whose answer is on its way until it arrives."""

    async def late(*given: Any) -> Any:
        answer = await ask(*given)
        asked.set()
        await arrives.wait()
        return answer

    return late


async def test_a_failed_child_is_retried_with_its_parent(bench: Bench) -> None:
    broken.add("a2")
    workflow_id = await bench.start(parent)
    await fails(bench, workflow_id)
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "AA2BB2"
    assert ran == {"a": 1, "a2": 2, "b": 1, "b2": 1}
    assert (await bench.row(f"{workflow_id}/1"))["generation"] == 2
    assert (await bench.row(f"{workflow_id}/2"))["generation"] == 1


async def test_a_child_that_fails_again_fails_its_parent_again(bench: Bench) -> None:
    broken.add("a2")
    workflow_id = await bench.start(parent)
    await fails(bench, workflow_id)
    await retried(bench, workflow_id)
    await fails(bench, workflow_id)
    assert ran["a2"] == 2
    assert (await bench.row(f"{workflow_id}/1"))["generation"] == 2


async def test_children_that_were_cancelled_with_it_go_on_with_it(bench: Bench) -> None:
    gates.update(a=asyncio.Event(), slow=asyncio.Event())
    workflow_id = await bench.start(lets_go)
    await bench.until(lambda: bool(ran["a"] and ran["slow"]))
    assert await bench.engine.cancel(workflow_id)
    for each in (workflow_id, f"{workflow_id}/1"):
        await fails(bench, each, "workflow_cancelled")
    for gate in gates.values():
        gate.set()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "SLOW"
    assert await bench.result(f"{workflow_id}/1") == "AA2"


async def test_what_is_cancelled_goes_on_once_its_children_have_undone(bench: Bench) -> None:
    gates.update(slow=asyncio.Event(), free=asyncio.Event())
    workflow_id = await bench.start(has_such_a_child)
    await bench.until(lambda: bool(ran["slow"]))
    assert await bench.engine.cancel(workflow_id)
    await fails(bench, workflow_id, "workflow_cancelled")
    await bench.until(lambda: bool(ran["free"]))
    with pytest.raises(NotNow, match="/1, which was stopped with it, still undoes"):
        await retried(bench, workflow_id)
    for gate in gates.values():
        gate.set()
    await fails(bench, f"{workflow_id}/1", "workflow_cancelled")
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "SLOW"
    assert ran["room"] == 2


async def test_what_was_retried_is_cancelled_with_its_children_again(bench: Bench) -> None:
    gates.update(a=asyncio.Event(), slow=asyncio.Event())
    workflow_id = await bench.start(lets_go)
    for generation in (1, 2):
        await bench.until(lambda: ran["a"] == ran["slow"] == generation)  # noqa: B023
        assert await bench.engine.cancel(workflow_id)
        for each in (workflow_id, f"{workflow_id}/1"):
            await fails(bench, each, "workflow_cancelled")
        if generation == 1:
            await retried(bench, workflow_id)


@pytest.mark.parametrize(
    ("what", "result", "child"),
    [
        ("nothing", "A helper x B", "2"),
        ("other input", "A helper y B", "2/again-2"),
        ("other function", "A other helper x B", "2/again-2"),
    ],
)
async def test_what_is_started_at_a_place_anew_is_what_the_code_says_now(
    bench: Bench, what: str, result: str, child: str
) -> None:
    broken.add("b")
    workflow_id = await bench.start(chooses)
    await fails(bench, workflow_id, "workflow_error")
    broken.clear()
    ran[what] += 1
    await rewound(bench, workflow_id, "1")
    bench.engine.look()
    assert await bench.result(workflow_id) == result
    assert (await bench.row(f"{workflow_id}/{child}"))["status"] == "SUCCESS"
    assert (await bench.row(f"{workflow_id}/2"))["status"] == "SUCCESS"


async def test_of_a_map_the_failed_items_run_again_only_them(bench: Bench) -> None:
    broken.add("c")
    workflow_id = await bench.start(many)
    await fails(bench, workflow_id, "MapFailed")
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == ["A", "B", "C", "D"]
    assert ran == {"a": 1, "b": 1, "c": 2, "d": 1}


async def test_of_a_map_that_stopped_all_else_runs(bench: Bench) -> None:
    broken.add("a")
    workflow_id = await bench.start(many)
    await fails(bench, workflow_id, "MapFailed")
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == ["A", "B", "C", "D"]
    assert ran == {"a": 2, "b": 1, "c": 1, "d": 1}


async def test_items_that_wait_to_go_on_keep_what_they_have_done(bench: Bench) -> None:
    broken.update(("a2", "b2", "c2"))
    workflow_id = await bench.start(twice)
    await fails(bench, workflow_id, "MapFailed")
    broken.add("narrow")
    await retried(bench, workflow_id)
    # The first that goes on fails again, so that the map has failed before the others had their turn.
    await fails(bench, workflow_id, "MapFailed")
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == ["AA2", "BB2", "CC2"]
    assert {each: ran[each] for each in "abc"} == {"a": 1, "b": 1, "c": 1}


async def test_an_item_of_a_map_that_has_failed_is_not_retried(bench: Bench) -> None:
    gates["b"] = asyncio.Event()
    broken.add("a")
    workflow_id = await bench.start(generated)
    await bench.until(lambda: _has_failed(bench, f"{workflow_id}/map.1/0"))
    with pytest.raises(NotNow, match="begins nothing more"):
        await retried(bench, f"{workflow_id}/map.1/0")
    gates["b"].set()
    await fails(bench, workflow_id, "MapFailed")


async def _has_failed(bench: Bench, workflow_id: str) -> bool:
    with contextlib.suppress(LookupError, ValueError):
        return (await bench.row(workflow_id))["status"] == "ERROR"
    return False


async def test_what_a_generator_gave_is_kept_until_all_is_well(bench: Bench) -> None:
    broken.add("c")
    workflow_id = await bench.start(generated)
    await fails(bench, workflow_id, "MapFailed")
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == ["A", "B", "C", "D"]
    assert ran == {"a": 1, "b": 1, "c": 2, "d": 1}
    map_id = f"{workflow_id}/map.1"
    assert not await bench.store.maps.free(map_id), "nothing is kept"
    assert await bench.store.maps.source(map_id, 0, 9) == []


async def test_what_a_saga_undid_is_done_again(bench: Bench) -> None:
    broken.add("pay")
    workflow_id = await bench.start(trip)
    await fails(bench, workflow_id)
    assert ran == {"before": 1, "hotel": 1, "flight": 1, "pay": 1, "undo HOTEL": 1, "undo FLIGHT": 1}
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "HOTELFLIGHTPAY"
    assert ran == {"before": 1, "hotel": 2, "flight": 2, "pay": 2, "undo HOTEL": 1, "undo FLIGHT": 1}


async def test_what_a_cancelled_saga_undid_is_done_again(bench: Bench) -> None:
    gates["pay"] = asyncio.Event()
    workflow_id = await bench.start(trip)
    await bench.until(lambda: ran["pay"] > 0)
    await bench.engine.cancel(workflow_id)
    await fails(bench, workflow_id, "workflow_cancelled")
    gates["pay"].set()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "HOTELFLIGHTPAY"
    assert ran == {"before": 1, "hotel": 2, "flight": 2, "pay": 2, "undo HOTEL": 1, "undo FLIGHT": 1}


async def test_what_stands_is_undone_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagas, "UNDO_WITHIN_S", 0.0)
    broken.update(("pay", "undo FLIGHT"))
    workflow_id = await bench.start(trip)
    await fails(bench, workflow_id, "compensation_failed")
    await retried(bench, workflow_id)
    await fails(bench, workflow_id, "compensation_failed")
    broken.remove("undo FLIGHT")
    await retried(bench, workflow_id)
    await fails(bench, workflow_id)
    assert ran == {"before": 1, "hotel": 1, "flight": 1, "pay": 1, "undo HOTEL": 1, "undo FLIGHT": 3}
    broken.clear()
    await retried(bench, workflow_id)
    assert await bench.result(workflow_id) == "HOTELFLIGHTPAY"


async def test_a_passed_deadline_counts_anew(bench: Bench) -> None:
    gates["slow"] = asyncio.Event()
    ends_s = bench.engine.clock.now_s() + BEGUN_BY_THEN_S
    new = bench.new(with_timeout.definition)._replace(deadline_s=ends_s, timeout_s=BEGUN_BY_THEN_S)
    await bench.engine.starts.start_new(new, with_timeout.definition, None)
    await fails(bench, new.workflow_id, "workflow_timeout")
    await retried(bench, new.workflow_id)
    await fails(bench, new.workflow_id, "workflow_timeout")
    gates["slow"].set()
    await retried(bench, new.workflow_id)
    assert await bench.result(new.workflow_id) == "SLOW"
    assert ran["a"] == 1


async def deadline_of(bench: Bench, workflow_id: str) -> float:
    return float((await bench.row(workflow_id))["deadline"].timestamp())


@pytest.mark.parametrize("delay_s", [0.0, 7200.0])
async def test_a_timeout_counts_from_the_retry_alone(bench: Bench, delay_s: float) -> None:
    """What it had waited for, after its call, isn't added to it."""
    placement = Placement(delay_s=delay_s)
    new = bench.new(with_timeout.definition, (), {}, placement=placement)
    gates["slow"] = asyncio.Event()
    await bench.engine.starts.start_new(new, with_timeout.definition, None)
    for _ in range(2):
        await bench.engine.cancel(new.workflow_id)
        earliest = bench.engine.clock.now_s() + 3600
        await retried(bench, new.workflow_id)
        left_s = await deadline_of(bench, new.workflow_id) - earliest
        assert -5 < left_s < BEGUN_BY_THEN_S


async def test_a_fork_has_the_timeout_anew(bench: Bench) -> None:
    broken.add("slow")
    first = await bench.start(with_timeout)
    await fails(bench, first)
    gates["slow"] = asyncio.Event()
    done = await bench.store.workflows.act(FORK, first, {"from": "failed"}, "me")
    bench.engine.look()
    assert ran["a"] == 1, "it keeps records"
    left_s = await deadline_of(bench, done["fork"]) - bench.engine.clock.now_s()
    assert 3600 - BEGUN_BY_THEN_S < left_s <= 3605


async def test_a_fork_has_a_timeout_where_the_first_one_knew_of_none(bench: Bench) -> None:
    """As of one that was started by SQL."""
    broken.add("slow")
    new = bench.new(brief.definition)._replace(deadline_s=None, timeout_s=None)
    await bench.engine.starts.start_new(new, brief.definition, None)
    await fails(bench, new.workflow_id)
    broken.clear()
    gates["slow"] = asyncio.Event()
    done = await bench.store.workflows.act(FORK, new.workflow_id, {"from": "failed"}, "me")
    bench.engine.look()
    await fails(bench, done["fork"], "workflow_timeout")
    assert ran["a"] == 1, "it keeps records"


async def test_a_child_is_bounded_by_its_retried_parent(bench: Bench) -> None:
    gates["x"] = asyncio.Event()
    parent_id = await bench.start(bounds)
    await bench.until(lambda: ran["x"] == 1)
    child_id = f"{parent_id}/2"
    first = await deadline_of(bench, parent_id)
    await bench.engine.cancel(parent_id)
    await retried(bench, parent_id)
    of_parent, of_child = await deadline_of(bench, parent_id), await deadline_of(bench, child_id)
    assert of_parent > first
    assert of_child == pytest.approx(of_parent, abs=1e-4)


async def test_a_child_that_still_waits_has_the_time_of_its_retried_parent(bench: Bench) -> None:
    """It waits for its turn: its own end has not come, though its parent's time was over."""
    gates["slow"] = asyncio.Event()
    await bench.start(queued, "slow")
    await bench.until(lambda: ran["slow"])
    parent_id = await bench.start(waits_its_turn)
    await fails(bench, parent_id, "workflow_timeout")
    await retried(bench, parent_id)
    gates["slow"].set()
    assert await bench.result(parent_id) == "C"


async def test_a_child_has_the_time_of_its_retried_parent_whose_row_tells_of_none(bench: Bench) -> None:
    """As of one that was started by SQL: its timeout is known where it runs alone."""
    gates["x"] = asyncio.Event()
    new = bench.new(bounds.definition)._replace(deadline_s=None, timeout_s=None, version=None)
    await bench.engine.starts.start_new(new, bounds.definition, None)
    await bench.until(lambda: ran["x"] == 1)
    assert (await bench.row(new.workflow_id))["deadline"] is None
    for _ in range(2):
        await bench.engine.cancel(new.workflow_id)
        before = bench.engine.clock.now_s()
        await retried(bench, new.workflow_id)
        began = await deadline_of(bench, f"{new.workflow_id}/2") - 3600
        assert before - 0.05 < began < bench.engine.clock.now_s() + 0.05


async def test_it_waits_in_its_queue_again(bench: Bench) -> None:
    broken.add("a")
    first = await bench.start(queued, "a")
    await fails(bench, first)
    broken.clear()
    gates["b"] = asyncio.Event()
    second = await bench.start(queued, "b")
    await bench.until(lambda: ran["b"] > 0)
    await retried(bench, first)
    await bench.engine.host.send(second, "1", "x", None)  # something else is committed meanwhile
    assert (await bench.row(first))["status"] == Status.ENQUEUED
    gates["b"].set()
    assert [await bench.result(each) for each in (second, first)] == ["B", "A"]


async def test_a_rewind_drops_a_step_and_what_came_of_it(bench: Bench) -> None:
    broken.add("c")
    workflow_id = await bench.start(three)
    await fails(bench, workflow_id)
    broken.clear()
    assert (await rewound(bench, workflow_id, "2"))["dropped"] == ["2", "3"]
    assert await bench.result(workflow_id) == "ABC"
    assert ran == {"a": 1, "b": 2, "c": 2}


async def test_a_rewind_names_a_step_that_there_is(bench: Bench) -> None:
    broken.add("c")
    workflow_id = await bench.start(three)
    await fails(bench, workflow_id)
    for named in ("9", "nothing", "work"):
        with pytest.raises(Unacceptable):
            await rewound(bench, workflow_id, named)
    assert (await bench.row(workflow_id))["status"] == Status.ERROR


async def test_a_rewind_goes_on_before_what_a_saga_undid(bench: Bench) -> None:
    broken.add("pay")
    workflow_id = await bench.start(trip)
    await fails(bench, workflow_id)
    broken.clear()
    records = {each["name"]: each["step_id"] for each in await bench.steps(workflow_id)}
    await rewound(bench, workflow_id, records["undo work"])
    assert await bench.result(workflow_id) == "HOTELFLIGHTPAY"
    assert ran == {"before": 1, "hotel": 2, "flight": 2, "pay": 2, "undo HOTEL": 1, "undo FLIGHT": 1}


async def test_places_go_on_rising_for_readers_of_events(bench: Bench) -> None:
    broken.add("b")
    workflow_id = await bench.start(tells)
    await fails(bench, workflow_id)
    last = max(each["completion_order"] for each in await bench.steps(workflow_id))
    second = [each["step_id"] for each in await bench.steps(workflow_id) if each["name"] == "publish at"][1]
    broken.clear()
    await rewound(bench, workflow_id, second)
    assert await bench.result(workflow_id) == "told"
    steps = await bench.steps(workflow_id)
    assert min(each["completion_order"] for each in steps if each["step_id"] >= second) > last


async def test_a_second_retry_of_two_changes_nothing(bench: Bench) -> None:
    broken.add("b")
    workflow_id = await bench.start(three)
    await fails(bench, workflow_id)
    broken.clear()
    tries = [bench.store.workflows.act(RETRY, workflow_id, {}, "me") for _ in range(3)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, NotNow) for each in done) == 2
    bench.engine.look()
    assert await bench.result(workflow_id) == "ABC"
    assert ran == {"a": 1, "b": 2, "c": 1}
