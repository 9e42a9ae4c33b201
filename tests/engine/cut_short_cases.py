"""Whatever cuts undoing short: what was undone, or may have been, is not taken for done by what goes on.

They run in memory (test_cut_short.py) and on Postgres (test_cut_short_on_postgres.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from outlast import CompensationFailed, Queue, map_, receive, saga, start, step, workflow
from outlast.core.errors import WrongState
from outlast.core.status import Status
from outlast.core.verbs import DRAIN_QUEUE, FORK, KILL, PAUSE_QUEUE, RESUME_QUEUE, RETRY, REWIND, SETTLE
from outlast.sdk import sagas
from outlast.store.instances import RecoveryLimits
from tests.engine.harness import WAIT_S, Bench, engine_on

trail: list[str] = []
"""What was done and undone, in order."""
gates: dict[str, asyncio.Event] = {}
"""What hangs until it is let go on."""
broken: set[str] = set()


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    trail.clear()
    gates.clear()
    broken.clear()


async def do(what: str) -> str:
    trail.append(what)
    if what in gates:
        await gates[what].wait()
    if what in broken:
        raise ValueError(what)
    return what


@step
async def work(what: str) -> str:
    return await do(what)


@step
async def undo(_: Any, what: str) -> None:
    await do(f"un{what}")


@workflow
async def trip() -> str:
    async with saga() as s:
        for each in "abc":
            await s.do(work, each, undo=undo)
        await work("pay")
    return await work("ship")


@workflow
def plain_trip() -> str:
    with saga() as s:
        for each in "abc":
            s.do(work_here, each, undo=undo_here)
        work_here("pay")
    return work_here("ship")


@step
def work_here(what: str) -> str:
    trail.append(what)
    if what in broken:
        raise ValueError(what)
    return what


@step
def undo_here(_: Any, what: str) -> None:
    trail.append(f"un{what}")
    if f"un{what}" in broken:
        raise ValueError(what)


@workflow(queue=Queue("turns", concurrency=1))
async def in_turn() -> str:
    async with saga() as s:
        await s.do(work, "a", undo=undo)
        if "body" in broken:
            raise ValueError("body")
    return await work("ship")


@workflow
async def by_itself() -> str:
    async with saga() as s:
        await s.do(work, "a", undo=undo)
        if "body" in broken:
            raise ValueError("by itself")
    return await work("ship")


@workflow
async def two_sagas() -> str:
    """The first one is undone, and survived."""
    try:
        async with saga() as s:
            await s.do(work, "x", undo=undo)
            await s.do(work, "y", undo=undo)
            await work("fails")
    except ValueError:
        pass
    return await trip()


@workflow
async def beside() -> str:
    """One branch fails while another one's saga has been undone, which it survives."""

    async def other() -> None:
        try:
            async with saga() as s:
                await s.do(work, "x", undo=undo)
                await work("held")
                await work("fails")
        except ValueError:
            await work("instead")

    async def first() -> str:
        return await work("first")

    got = await asyncio.gather(first(), other(), return_exceptions=True)
    for each in got:
        if isinstance(each, BaseException):
            raise each
    return await work("ship")


@workflow
async def tells_what_stands() -> str:
    try:
        return await trip()
    except CompensationFailed:
        await work("call somebody")
        raise


@workflow
async def pays_after_its_saga() -> str:
    async with saga() as s:
        await s.do(work, "a", undo=undo)
    return await work("pay")


@workflow
async def pays_beside_what_fails() -> str:
    paid = asyncio.ensure_future(work("pay"))
    await work("fails")
    return await paid


@workflow
async def says_no() -> str:
    try:
        return await trip()
    except ValueError:
        return "no"


@workflow
async def nested() -> str:
    async with saga() as s:
        await s.do(work, "outer", undo=undo)
        return await trip()


@workflow
async def grouped() -> str:
    """One fails, so that its sibling is cancelled, and undoes too."""

    async def other() -> None:
        async with saga() as s:
            await s.do(work, "x", undo=undo)
            await receive("go")

    async with asyncio.TaskGroup() as group:
        group.create_task(other())
        shipped = group.create_task(_trip())
    return shipped.result()


async def _trip() -> str:
    return await trip()


@workflow
def plain_nested() -> str:
    with saga() as s:
        s.do(work_here, "outer", undo=undo_here)
        return plain_trip()


@workflow
async def parent() -> str:
    return await (await start(trip)).result()


@workflow
async def mapped() -> str:
    return (await map_(item, [1]))[0]


@workflow
async def item(_: int) -> str:
    return await trip()


@workflow
async def after_a_saga() -> str:
    """The first saga is over, with a step of the same name as in the one that is undone."""
    async with saga() as s:
        await s.do(work, "a", undo=undo)
    await work("mid")
    async with saga() as s:
        await s.do(work, "b", undo=undo)
        await work("fails")
    return "done"


EVERY = (
    after_a_saga,
    in_turn,
    trip, plain_trip, by_itself, two_sagas, beside, parent, mapped, item, tells_what_stands, says_no, nested,
    grouped, plain_nested, pays_after_its_saga, pays_beside_what_fails,
)  # fmt: skip


@pytest.fixture
async def bench(database: str) -> AsyncIterator[Bench]:
    async with engine_on(database, *EVERY) as bench:
        yield bench


def hangs(*what: str) -> None:
    gates.update({each: asyncio.Event() for each in what})


def let_go_on() -> None:
    for each in gates.values():
        each.set()
    gates.clear()
    broken.clear()


async def reached(bench: Bench, what: str) -> None:
    await bench.until(lambda: what in trail)


async def act(bench: Bench, verb: Any, workflow_id: str, **given: Any) -> dict[str, Any]:
    done = dict(await bench.engine.host.act(verb, workflow_id, given, "ann"))
    bench.engine.look()
    return done


async def ends(bench: Bench, workflow_id: str, status: Status) -> Any:
    """It ends so; its error's code."""
    state = await bench.engine.wait(workflow_id, WAIT_S)
    assert state is not None
    assert state.status == status, state
    return (await bench.row(workflow_id))["error"]["code"]


async def killed(bench: Bench, workflow_id: str) -> None:
    await bench.engine.cancel(workflow_id, "ann", None, KILL)
    assert await ends(bench, workflow_id, Status.CANCELLED) == "workflow_cancelled"


async def killed_while_undoing(bench: Bench, flow: Any = trip) -> str:
    """It was cancelled while it paid, and killed when it had undone c and begun to undo b."""
    trail.clear()
    hangs("pay", "unb")
    workflow_id = await bench.start(flow)
    await reached(bench, "pay")
    await bench.engine.cancel(workflow_id)
    await reached(bench, "unb")
    undoes = next(iter(bench.live))
    await killed(bench, undoes)
    let_go_on()
    trail.clear()
    return workflow_id


async def test_a_retry_after_a_kill_begins_before_what_was_undone(bench: Bench) -> None:
    workflow_id = await killed_while_undoing(bench)
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"
    assert trail == ["b", "c", "pay", "ship"], "a's undo had not begun"


async def test_what_waits_to_go_on_undoing_is_not_drained(bench: Bench) -> None:
    """It was killed while it undid after a failure, and retried."""
    hangs("una")
    broken.add("body")
    workflow_id = await bench.start(in_turn)
    await reached(bench, "una")
    await bench.engine.host.act(PAUSE_QUEUE, "turns", {}, "ann")
    await killed(bench, workflow_id)
    let_go_on()
    trail.clear()
    broken.add("body")
    await act(bench, RETRY, workflow_id)
    assert await act(bench, DRAIN_QUEUE, "turns") == {"cancelled": 0, "more": False}
    await act(bench, RESUME_QUEUE, "turns")
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    assert trail == ["una"]


async def test_what_a_body_undid_that_raised_by_itself_is_done_again(bench: Bench) -> None:
    broken.add("body")
    workflow_id = await bench.start(by_itself)
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    broken.clear()
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"
    assert trail == ["a", "una", "a", "ship"]


async def test_what_was_killed_twice_begins_before_all_that_was_undone(bench: Bench) -> None:
    workflow_id = await killed_while_undoing(bench)
    hangs("pay", "una")
    await act(bench, RETRY, workflow_id)
    await reached(bench, "pay")
    await bench.engine.cancel(workflow_id)
    await reached(bench, "una")
    await killed(bench, workflow_id)
    let_go_on()
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"
    assert trail == ["a", "b", "c", "pay", "ship"]


async def test_a_child_and_an_item_begin_before_what_was_undone(bench: Bench) -> None:
    for flow in (parent, mapped):
        workflow_id = await killed_while_undoing(bench, flow)
        await act(bench, RETRY, workflow_id)
        assert await bench.result(workflow_id) == "ship"
        assert trail == ["b", "c", "pay", "ship"]


async def test_of_two_sagas_the_survived_one_stays(bench: Bench) -> None:
    broken.add("fails")
    workflow_id = await killed_while_undoing(bench, two_sagas)
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"
    assert trail == ["b", "c", "pay", "ship"]


async def lost_while_undoing(database: str) -> str:
    """It was cancelled while it paid, and lost once too often when it had undone c and begun to undo b."""
    hangs("pay", "unb")
    async with engine_on(database, *EVERY) as lost:
        workflow_id = await lost.start(trip)
        await reached(lost, "pay")
        await lost.engine.cancel(workflow_id)
        await reached(lost, "unb")
        await lost.abandon()
    async with engine_on(database, *EVERY, limits=RecoveryLimits(attempts_max=0)) as bench:
        assert await ends(bench, workflow_id, Status.EXHAUSTED) == "recovery_exhausted"
    let_go_on()
    trail.clear()
    return workflow_id


async def test_one_that_was_lost_while_it_undid_is_still_cancelled(database: str) -> None:
    workflow_id = await lost_while_undoing(database)
    async with engine_on(database, *EVERY) as bench:
        await act(bench, RETRY, workflow_id)
        assert await ends(bench, workflow_id, Status.CANCELLED) == "workflow_cancelled"
        assert trail == ["unb", "una"]
        trail.clear()
        await act(bench, RETRY, workflow_id)
        assert await bench.result(workflow_id) == "ship"
        assert trail == ["a", "b", "c", "pay", "ship"]


@pytest.mark.parametrize("flow", [pays_after_its_saga, pays_beside_what_fails])
async def test_what_was_settled_since_the_end_is_not_done_again(bench: Bench, flow: Any) -> None:
    hangs("pay", "fails")
    broken.add("fails")
    workflow_id = await bench.start(flow)
    await reached(bench, "pay")
    if flow is pays_after_its_saga:
        await bench.engine.cancel(workflow_id)
    else:
        gates.pop("fails").set()
    await bench.until(lambda: workflow_id not in bench.live)
    step_id = "3" if flow is pays_after_its_saga else "1.1"
    settled = await act(bench, SETTLE, workflow_id, step=step_id, name="work", output="by phone")
    assert settled["status"] in ("CANCELLED", "ERROR")
    let_go_on()
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "by phone"
    assert "pay" not in trail


@pytest.mark.parametrize("flow", [parent, mapped])
async def test_who_waits_for_one_that_was_lost_while_it_undid_is_told(database: str, flow: Any) -> None:
    hangs("pay", "unb")
    async with engine_on(database, *EVERY) as lost:
        workflow_id = await lost.start(flow)
        await reached(lost, "pay")
        await lost.suspended(workflow_id)
        (child,) = lost.live
        await lost.engine.cancel(child)
        await reached(lost, "unb")
        await lost.until(lambda: _told(lost, child))
        await lost.abandon()
    async with engine_on(database, *EVERY, limits=RecoveryLimits(attempts_max=0)) as bench:
        assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
        let_go_on()
        trail.clear()
        await act(bench, RETRY, workflow_id)
        assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
        assert trail == ["unb", "una"], "the child is still cancelled"
        await act(bench, RETRY, workflow_id)
        assert await bench.result(workflow_id) == "ship"


async def _told(bench: Bench, workflow_id: str) -> bool:
    """Whether its cancel has been passed on."""
    return not (await bench.row(workflow_id))["untold"]


async def test_a_cancel_that_was_not_heard_before_it_was_lost_is_heard_after_a_retry(database: str) -> None:
    hangs("pay")
    async with engine_on(database, *EVERY) as lost:
        workflow_id = await lost.start(trip)
        await reached(lost, "pay")
        assert await lost.store.workflows.cancel(workflow_id, "ann") is Status.PENDING
        await lost.abandon()
    async with engine_on(database, *EVERY, limits=RecoveryLimits(attempts_max=0)) as bench:
        assert await ends(bench, workflow_id, Status.EXHAUSTED) == "recovery_exhausted"
    async with engine_on(database, *EVERY) as bench:
        let_go_on()
        trail.clear()
        await act(bench, RETRY, workflow_id)
        assert await ends(bench, workflow_id, Status.CANCELLED) == "workflow_cancelled"
        assert trail == ["unc", "unb", "una"]


async def test_a_rewind_of_one_that_was_lost_while_it_undid_goes_on_before_it(database: str) -> None:
    workflow_id = await lost_while_undoing(database)
    async with engine_on(database, *EVERY) as bench:
        of_c = [each["step_id"] for each in await bench.steps(workflow_id) if each["name"] == "undo work"][2]
        await act(bench, REWIND, workflow_id, to=of_c)
        assert await bench.result(workflow_id) == "ship"
        assert trail == ["b", "c", "pay", "ship"]


async def test_one_that_failed_and_was_killed_goes_on_undoing(bench: Bench) -> None:
    hangs("unb")
    broken.add("pay")
    workflow_id = await bench.start(trip)
    await reached(bench, "unb")
    await killed(bench, workflow_id)
    let_go_on()
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    assert trail == ["unb", "una"]
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"
    assert trail == ["a", "b", "c", "pay", "ship"]


async def test_a_rewind_goes_on_before_what_was_undone_whoever_ended_it(bench: Bench) -> None:
    for fails in (True, False):
        hangs("unb", *(() if fails else ("pay",)))
        broken.update({"pay"} if fails else ())
        workflow_id = await bench.start(trip)
        if not fails:
            await reached(bench, "pay")
            await bench.engine.cancel(workflow_id)
        await reached(bench, "unb")
        await killed(bench, workflow_id)
        let_go_on()
        trail.clear()
        of_c = [each["step_id"] for each in await bench.steps(workflow_id) if each["name"] == "undo work"][2]
        await act(bench, REWIND, workflow_id, to=of_c)
        assert await bench.result(workflow_id) == "ship"
        assert trail == ["b", "c", "pay", "ship"]
        trail.clear()


async def test_a_fork_begins_before_what_was_undone_or_may_have_been(bench: Bench) -> None:
    workflow_id = await killed_while_undoing(bench)
    steps = [each["step_id"] for each in await bench.steps(workflow_id) if each["name"] == "undo work"]
    with pytest.raises(WrongState, match="has undone work, or has begun to"):
        await act(bench, FORK, workflow_id, **{"from": steps[2]})
    forks = [await act(bench, FORK, workflow_id, **{"from": each}) for each in ("failed", steps[1])]
    for each in forks:
        assert await bench.result(each["fork"]) == "ship"
    assert sorted(trail) == sorted(["b", "c", "pay", "ship"] * 2)


async def test_what_is_beside_a_failure_is_not_done_if_it_was_undone(bench: Bench) -> None:
    hangs("first", "held")
    broken.update({"first", "fails"})
    workflow_id = await bench.start(beside)
    await reached(bench, "held")
    gates.pop("first").set()
    await bench.until(lambda: _recorded(bench, workflow_id, "work", failed=True))
    gates.pop("held").set()
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    assert trail == ["x", "first", "held", "fails", "unx", "instead"] or trail[2:] == [
        "held", "fails", "unx", "instead"
    ]  # fmt: skip
    broken.clear()
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"
    assert "x" in trail
    assert "unx" not in trail


@pytest.mark.parametrize(
    ("verb", "where", "again"),
    [
        (FORK, "from", ["mid", "b", "fails"]),
        (REWIND, "to", ["mid", "b", "fails"]),
        (FORK, None, ["b", "fails"]),
        (RETRY, None, ["b", "fails"]),
    ],
)
async def test_a_saga_that_is_over_counts_as_done(
    bench: Bench, verb: Any, where: str | None, again: list[str]
) -> None:
    broken.add("fails")
    workflow_id = await bench.start(after_a_saga)
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    broken.clear()
    trail.clear()
    mid = [each["step_id"] for each in await bench.steps(workflow_id) if each["name"] == "work"][1]
    given = {"from": "failed"} if verb is FORK and where is None else {} if where is None else {where: mid}
    done = await act(bench, verb, workflow_id, **given)
    assert await bench.result(done.get("fork", workflow_id)) == "done"
    assert trail == again


async def _recorded(bench: Bench, workflow_id: str, name: str, *, failed: bool) -> bool:
    steps = await bench.steps(workflow_id)
    return any(each["name"] == name and (each["error"] is not None) == failed for each in steps)


@pytest.fixture
def within_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagas, "UNDO_WITHIN_S", 0.0)


@pytest.mark.usefixtures("within_no_time")
async def test_what_could_not_be_undone_may_have_been(bench: Bench) -> None:
    """The undo of c fails for good, and b's has begun when it is killed."""
    hangs("pay", "unb")
    broken.add("unc")
    workflow_id = await bench.start(trip)
    await reached(bench, "pay")
    await bench.engine.cancel(workflow_id)
    await reached(bench, "unb")
    await killed(bench, workflow_id)
    let_go_on()
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"
    assert trail == ["b", "c", "pay", "ship"]


@pytest.mark.usefixtures("within_no_time")
async def test_a_rewind_of_what_still_stands_runs_again(bench: Bench) -> None:
    hangs("pay")
    broken.add("unb")
    workflow_id = await bench.start(trip)
    await reached(bench, "pay")
    await bench.engine.cancel(workflow_id)
    assert await ends(bench, workflow_id, Status.ERROR) == "compensation_failed"
    let_go_on()
    trail.clear()
    (first, *_) = (each["step_id"] for each in await bench.steps(workflow_id) if each["name"] == "undo work")
    await act(bench, REWIND, workflow_id, to=first)
    assert await bench.result(workflow_id) == "ship"
    assert trail == ["a", "b", "c", "pay", "ship"]


@pytest.mark.usefixtures("within_no_time")
async def test_a_def_workflow_undoes_what_stands_too(bench: Bench) -> None:
    broken.update({"pay", "unb"})
    workflow_id = await bench.start(plain_trip)
    assert await ends(bench, workflow_id, Status.ERROR) == "compensation_failed"
    broken.remove("unb")
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    assert trail == ["unb"]


@pytest.mark.usefixtures("within_no_time")
@pytest.mark.parametrize("flow", [parent, mapped])
async def test_a_parent_of_what_stands_is_retried_with_it(bench: Bench, flow: Any) -> None:
    broken.update({"pay", "unb"})
    workflow_id = await bench.start(flow)
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    broken.clear()
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    assert trail == ["unb"]
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"


@pytest.mark.usefixtures("within_no_time")
async def test_a_body_goes_on_once_all_is_undone(bench: Bench) -> None:
    broken.update({"pay", "unb"})
    workflow_id = await bench.start(says_no)
    assert await ends(bench, workflow_id, Status.ERROR) == "compensation_failed"
    broken.clear()
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "no"
    assert trail == ["unb"]


@pytest.mark.usefixtures("within_no_time")
@pytest.mark.parametrize(
    ("flow", "came"),
    [
        (tells_what_stands, ["call somebody"]),
        (nested, ["unouter"]),
        (grouped, ["unx"]),
        (plain_nested, ["unouter"]),
    ],
)
async def test_what_came_of_what_stood_is_not_done_again(bench: Bench, flow: Any, came: list[str]) -> None:
    broken.update({"pay", "unb"})
    workflow_id = await bench.start(flow)
    assert await ends(bench, workflow_id, Status.ERROR) == "compensation_failed"
    assert trail[-1:] == came
    for _ in range(2):
        trail.clear()
        await act(bench, RETRY, workflow_id)
        assert await ends(bench, workflow_id, Status.ERROR) == "compensation_failed"
        assert trail == ["unb"]
    broken.clear()
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await ends(bench, workflow_id, Status.ERROR) == "workflow_error"
    assert trail == ["unb"]
    trail.clear()
    await act(bench, RETRY, workflow_id)
    if flow is grouped:  # the others end without
        await bench.engine.host.send(workflow_id, "1", "go", None)
    assert await bench.result(workflow_id) == "ship"
    assert trail[-5:] == ["a", "b", "c", "pay", "ship"]


@pytest.mark.parametrize("flow", [nested, plain_nested])
async def test_it_is_replayed_while_it_undoes_what_stood(
    bench: Bench, flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two tries it leaves the memory; a cancel changes nothing."""
    broken.update({"pay", "unb"})
    monkeypatch.setattr(sagas, "UNDO_WITHIN_S", 2.0)
    workflow_id = await bench.start(flow)
    assert await ends(bench, workflow_id, Status.ERROR) == "compensation_failed"
    trail.clear()
    await act(bench, RETRY, workflow_id)
    await reached(bench, "unb")
    await bench.suspended(workflow_id)
    await bench.engine.cancel(workflow_id)
    broken.clear()
    assert await ends(bench, workflow_id, Status.CANCELLED) == "workflow_cancelled"
    assert set(trail) == {"unb"}
    trail.clear()
    await act(bench, RETRY, workflow_id)
    assert await bench.result(workflow_id) == "ship"
    assert trail == ["outer", "a", "b", "c", "pay", "ship"]
