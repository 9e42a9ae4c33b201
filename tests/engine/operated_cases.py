"""What operators do to workflows while an engine runs them.

They run in memory (test_operated.py) and on Postgres (test_operated_on_postgres.py): each decides for itself.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from outlast import (
    InvalidInput,
    StepFailed,
    UsageError,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowHandle,
    WorkflowNotFound,
    WrongState,
    context,
    map_,
    now,
    receive,
    saga,
    sleep,
    start,
    start_once,
    step,
    uuid4,
    workflow,
)
from outlast.core.observations import WorkflowStopped
from outlast.core.ports import Unacceptable
from outlast.core.verbs import DELETE, FORK, KILL, PAUSE, RESUME, RETRY, SETTLE
from outlast.engine import settling
from tests.engine.harness import Bench, engine_on, pass_time


class Field:
    """What ran, and where a test holds a step."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.broken = {"b"}
        self.open = asyncio.Event()
        self.reached = asyncio.Event()


field: Field


@pytest.fixture(autouse=True)
def a_field() -> None:
    global field
    field = Field()


@step
async def do(name: str) -> str:
    field.ran.append(name)
    if name in field.broken:
        raise ValueError(f"{name} is broken")
    return name


@step
async def hold(name: str) -> str:
    field.ran.append(name)
    field.reached.set()
    await field.open.wait()
    return name


@workflow
async def held() -> list[str]:
    return [await do("a"), await hold("h"), await do("c")]


@workflow
async def branches(key: str = "k") -> list[Any]:
    drawn = [str(uuid4()), now().isoformat(), context().root_id, key]
    first = await do("a")
    await asyncio.gather(do("b"), do("c"), return_exceptions=True)
    second = await do("d") if "d" not in field.broken else ""
    return [*drawn, first, second, await do("b")]


@workflow
async def waits() -> Any:
    await do("a")
    return await receive("t")


@workflow
async def naps() -> str:
    await sleep(3600)
    return await do("a")


@workflow
async def books() -> str:
    async with saga() as s:
        await s.do(do, "book", undo=lambda _: do("free"))
        return await hold("h")


@step
async def do_last(name: str) -> str:
    return name


@workflow
async def books_two() -> str:
    async with saga() as s:
        await s.do(do, "one", undo=lambda _: do("free"))
        await do("between")
        await s.do(do_last, "two", undo=lambda _: hold("free"))
        await receive("go")
        return await do("shipped")


async def act(bench: Bench, verb: Any, workflow_id: str, **arguments: Any) -> dict[str, Any]:
    return dict(await bench.engine.host.act(verb, workflow_id, arguments, "ann"))


async def reach(bench: Bench) -> None:
    await bench.until(field.reached.is_set)


async def test_a_paused_workflow_leaves_quietly_and_does_again_what_is_not_recorded(database: str) -> None:
    async with engine_on(database, held) as bench:
        workflow_id = await bench.start(held)
        await reach(bench)
        paused = await act(bench, PAUSE, workflow_id, why="look")
        assert (paused["status"], paused["held"]["by"], paused["held"]["why"]) == ("PENDING", "ann", "look")
        await bench.until(lambda: workflow_id not in bench.live)
        stopped = [each.reason for each in bench.observations if isinstance(each, WorkflowStopped)]
        assert stopped == ["Paused"]
        field.open.set()
        assert (await act(bench, RESUME, workflow_id))["held"] is None
        assert await bench.result(workflow_id) == ["a", "h", "c"]
    assert field.ran == ["a", "h", "h", "c"]


async def test_another_instance_is_told_of_a_pause(database: str) -> None:
    async with engine_on(database, held) as runs, engine_on(database) as other:
        workflow_id = await runs.start(held)
        await reach(runs)
        await act(other, PAUSE, workflow_id)
        await runs.until(lambda: workflow_id not in runs.live)
        field.open.set()
        await act(other, RESUME, workflow_id)
        assert await runs.result(workflow_id) == ["a", "h", "c"]


@pytest.mark.parametrize("mode", ["undo", "kill"])
async def test_another_instance_is_told_of_a_cancel(database: str, mode: str) -> None:
    """Long before it renews its lease, and so looks at what it owns."""
    async with engine_on(database, held, lease_ttl_s=86400.0) as runs, engine_on(database) as other:
        workflow_id = await runs.start(held)
        await reach(runs)
        await other.engine.cancel(workflow_id, "ann", mode=mode)
        await runs.until(lambda: workflow_id not in runs.live)
    assert field.ran == ["a", "h"]


async def test_messages_and_timers_arrive_while_it_is_paused(database: str) -> None:
    async with engine_on(database, waits, naps) as bench:
        waiting, napping = await bench.start(waits), await bench.start(naps)
        for each in (waiting, napping):
            await bench.suspended(each)
            await act(bench, PAUSE, each)
        await bench.engine.host.send(waiting, '"hello"', "t", None)
        await pass_time(bench, napping, 3600)
        probe = await bench.start(naps)
        await bench.suspended(probe)
        assert field.ran == ["a"]
        for each in (waiting, napping):
            await act(bench, RESUME, each)
        assert await bench.result(waiting) == "hello"
        assert await bench.result(napping) == "a"


async def test_a_paused_workflow_is_cancelled(database: str) -> None:
    async with engine_on(database, held) as bench:
        workflow_id = await bench.start(held)
        await reach(bench)
        await act(bench, PAUSE, workflow_id)
        await bench.engine.cancel(workflow_id)
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
        with pytest.raises(WrongState, match="the workflow is CANCELLED; retry it"):
            await act(bench, RESUME, workflow_id)


async def failed(bench: Bench) -> tuple[str, str]:
    """A workflow that failed at its last step, and the moment it began at."""
    workflow_id = await bench.start(branches)
    with pytest.raises(WorkflowFailed):
        await bench.result(workflow_id)
    return workflow_id, (await bench.steps(workflow_id))[0]["step_id"]


def recorded(steps: list[dict[str, Any]]) -> list[Any]:
    return [[each[name] for name in ("step_id", "output", "error", "completion_order")] for each in steps]


async def test_a_fork_goes_on_from_the_failed_step(database: str) -> None:
    async with engine_on(database, branches) as bench:
        workflow_id, _ = await failed(bench)
        before = await bench.steps(workflow_id)
        field.broken.clear()
        field.ran.clear()
        forked = await act(bench, FORK, workflow_id, **{"from": "failed"})
        assert (forked["fork"], forked["kept"]) == (f"{workflow_id}~2", 4)
        drawn, at, root, *rest = await bench.result(forked["fork"])
        assert field.ran == ["b"]
        assert (root, rest) == (workflow_id, ["k", "a", "d", "b"])
        assert recorded(await bench.steps(workflow_id)) == recorded(before)
        # What the body draws and what time it begins at is as it was: records were made with that.
        again = await act(bench, FORK, forked["fork"], **{"from": before[-1]["step_id"]})
        assert again["fork"] == f"{workflow_id}~3"
        assert (await bench.result(again["fork"]))[:3] == [drawn, at, root]
        anew = await act(bench, FORK, workflow_id)
        other, later, same_root, *_ = await bench.result(anew["fork"])
        assert (other != drawn, same_root) == (True, root)
        assert datetime.fromisoformat(later) >= datetime.fromisoformat(at)


async def test_a_fork_in_a_branch_keeps_what_was_called_beside_it(database: str) -> None:
    async with engine_on(database, branches) as bench:
        workflow_id, _ = await failed(bench)
        (of_b,) = [
            each["step_id"]
            for each in await bench.steps(workflow_id)
            if each["error"] and "." in each["step_id"]
        ]
        field.broken.clear()
        field.ran.clear()
        forked = await act(bench, FORK, workflow_id, **{"from": of_b})
        assert await bench.result(forked["fork"])
    assert field.ran == ["b", "d", "b"]


async def test_a_fork_with_another_input(database: str) -> None:
    async with engine_on(database, branches) as bench:
        field.broken.clear()
        workflow_id = await bench.start(branches)
        await bench.result(workflow_id)
        forked = await act(bench, FORK, workflow_id, input={"key": "other"})
        assert (await bench.result(forked["fork"]))[3] == "other"
        with pytest.raises(InvalidInput):
            await act(bench, FORK, workflow_id, input={"key": [1]})
        with pytest.raises(UsageError, match="goes with from start only"):
            await act(bench, FORK, workflow_id, input={"key": "x"}, **{"from": "do"})


async def test_what_is_settled_is_handed_to_the_body(database: str) -> None:
    async with engine_on(database, held, branches) as bench:
        workflow_id = await bench.start(held)
        await reach(bench)
        with pytest.raises(WrongState, match="pause it first"):
            await act(bench, SETTLE, workflow_id, step="2", output="by hand", name="hold")
        await act(bench, PAUSE, workflow_id)
        settled = await act(bench, SETTLE, workflow_id, step="2", output="by hand", name="hold")
        assert settled == {"step_id": "2", "status": "PENDING"}
        await act(bench, RESUME, workflow_id)
        assert await bench.result(workflow_id) == ["a", "by hand", "c"]
        assert field.ran == ["a", "h", "c"]
        broken, _ = await failed(bench)
        last = (await bench.steps(broken))[-1]["step_id"]
        await act(bench, SETTLE, broken, step=last, output="mended")
        await act(bench, SETTLE, broken, step=last, output="mended again")
        steps = await bench.steps(broken)
        assert steps[-1]["output"] == "mended again"
        with pytest.raises(WrongState, match="a success never changes"):
            await act(bench, SETTLE, broken, step=steps[0]["step_id"], output="again")


async def test_what_is_settled_must_fit_the_type_of_its_step(database: str) -> None:
    async with engine_on(database, held, branches) as bench:
        workflow_id = await bench.start(held)
        await reach(bench)
        await act(bench, PAUSE, workflow_id)
        with pytest.raises(InvalidInput, match=r"hold returns .*valid string"):
            await act(bench, SETTLE, workflow_id, step="2", output=[7], name="hold")
        await act(bench, SETTLE, workflow_id, step="2", output="by hand", name="hold")
        with pytest.raises(InvalidInput, match="does not fit what hold returns"):
            await act(bench, SETTLE, workflow_id, step="2", output=[7])
        await act(bench, RESUME, workflow_id)
        assert await bench.result(workflow_id) == ["a", "by hand", "c"]


async def test_an_error_that_is_settled_is_raised(database: str) -> None:
    async with engine_on(database, held) as bench:
        workflow_id = await bench.start(held)
        await reach(bench)
        await act(bench, PAUSE, workflow_id)
        await act(bench, SETTLE, workflow_id, step="2", error="declined", name="hold")
        await act(bench, RESUME, workflow_id)
        with pytest.raises(WorkflowFailed):
            await bench.result(workflow_id)
        assert "Settled: declined" in str((await bench.failure(workflow_id))["failure"])


async def test_a_failure_that_is_settled_since_the_end_is_raised_after_a_retry(database: str) -> None:
    async with engine_on(database, branches) as bench:
        broken, _ = await failed(bench)
        last = (await bench.steps(broken))[-1]["step_id"]
        await act(bench, SETTLE, broken, step=last, error="declined")
        assert (await act(bench, RETRY, broken))["dropped"] == []
        with pytest.raises(WorkflowFailed):
            await bench.result(broken)
        assert "Settled: declined" in str((await bench.failure(broken))["failure"])
        assert (await act(bench, RETRY, broken))["dropped"] == [last]


async def test_a_kill_undoes_nothing(database: str) -> None:
    async with engine_on(database, books) as bench:
        workflow_id = await bench.start(books)
        await reach(bench)
        assert await bench.engine.cancel(workflow_id, "ann", None, KILL) == "CANCELLED"
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert field.ran == ["book", "h"]


@workflow
async def books_slowly() -> str:
    async with saga() as s:
        await s.do(do, "book", undo=lambda _: hold("free"))
        return await receive("go")


@workflow
async def passes_on(depth: int) -> Any:
    child = await (start(passes_on, depth - 1) if depth else start(books_slowly))
    await receive("go")
    return child.workflow_id


@pytest.mark.parametrize("first", [0, 1])
async def test_a_kill_reaches_what_still_undoes_below_the_cancelled(database: str, first: int) -> None:
    """What is cancelled first has ended, and what is below it undoes: it, or one above it, is killed."""
    async with engine_on(database, passes_on, books_slowly, moment_s=0.01) as bench:
        top = await bench.start(passes_on, 1)
        family = [top, f"{top}/1", f"{top}/1/1"]
        await bench.until(lambda: "book" in field.ran)
        await bench.suspended(family[2])
        assert await bench.engine.cancel(family[first], "ann") == "CANCELLED"
        await reach(bench)
        assert [str((await bench.row(each))["status"]) for each in family[first:]] == [
            *["CANCELLED"] * (2 - first), "PENDING"
        ]  # fmt: skip
        assert await bench.engine.cancel(top, "ann", "it hangs", KILL) == "CANCELLED"
        with pytest.raises(WorkflowCancelled):
            await bench.result(family[2])
        assert (await bench.row(family[2]))["error"]["mode"] == "kill"
        assert await bench.engine.cancel(top, "ann", "once more", KILL) is None
        assert field.ran == ["book", "free"]


async def test_what_is_undone_next_is_not_kept_by_a_fork(database: str) -> None:
    async with engine_on(database, books_two, moment_s=0.01) as bench:
        workflow_id = await bench.start(books_two)
        await bench.suspended(workflow_id)
        assert await bench.engine.cancel(workflow_id, "ann", None) == "PENDING"
        await reach(bench)  # the undo of the last one: the other one is next
        for place in ("undo do_last", "undoing"):
            with pytest.raises(WrongState, match=r"has undone|may undo do next"):
                await act(bench, FORK, workflow_id, **{"from": place})
        steps = {each["name"]: each["step_id"] for each in await bench.steps(workflow_id)}
        before = min(each for name, each in steps.items() if name.startswith("undo "))
        again = await act(bench, FORK, workflow_id, **{"from": before})
        field.open.set()
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
        await bench.engine.host.send(again["fork"], '"go"', "go", None)
        assert await bench.result(again["fork"]) == "shipped"


async def test_a_deleted_workflow_is_gone(database: str) -> None:
    async with engine_on(database, held) as bench:
        workflow_id = await bench.start(held)
        await reach(bench)
        with pytest.raises(WrongState, match="the workflow is PENDING; cancel it first"):
            await act(bench, DELETE, workflow_id)
        field.open.set()
        await bench.result(workflow_id)
        assert await act(bench, DELETE, workflow_id) == {"deleted": 1}
        with pytest.raises(WorkflowNotFound):
            await act(bench, DELETE, workflow_id)


@workflow
async def shares(waits: bool) -> str:
    handle = await start_once("shared", held)
    if waits:
        await receive()
    return str((await handle.result())[1])


async def test_what_has_a_key_outlasts_who_started_it_first(database: str) -> None:
    async with engine_on(database, shares, held) as bench:
        first, second = await bench.start(shares, waits=False), await bench.start(shares, waits=False)
        await reach(bench)
        assert await bench.engine.cancel(first, "ann", None) == "CANCELLED"
        field.open.set()
        assert await bench.result(second) == "h"
        assert await act(bench, DELETE, first) == {"deleted": 1}
        assert await bench.result("held:shared") == ["a", "h", "c"]
        assert (await bench.row("held:shared"))["parent"] is None


async def test_what_has_a_key_is_read_after_its_first_starter_was_deleted(database: str) -> None:
    async with engine_on(database, shares, held, moment_s=0.01) as bench:
        field.open.set()
        first = await bench.start(shares, waits=False)
        assert await bench.result(first) == "h"
        second = await bench.start(shares, waits=True)
        await bench.suspended(second)
        assert await act(bench, DELETE, first) == {"deleted": 1}
        await bench.engine.host.send(second, "null", "", None)
        assert await bench.result(second) == "h"


@workflow
async def operator(workflow_id: str) -> list[Any]:
    handle: WorkflowHandle[Any] = WorkflowHandle(workflow_id)
    paused = await handle.pause(why="by code")
    resumed = await handle.resume()
    changed = await handle.set_attributes({"seen": True, "gone": None}, why="by code")
    forked = await handle.fork("do")
    return [paused["held"]["why"], resumed, changed["changed"], forked["fork"]]


@workflow
def operator_in_a_thread() -> list[Any]:
    handle = start(naps)
    paused = handle.pause(why="by code")
    resumed = handle.resume()
    forked = handle.fork()
    handle.cancel(mode="kill", why="enough")
    return [
        paused["held"]["by"],
        resumed["status"],
        handle.set_attributes({"seen": "yes"})["changed"] == handle.workflow_id,
        forked["fork"] == f"{handle.workflow_id}~2",
        handle.delete(),
    ]


@workflow
async def ten_times(n: int) -> int:
    return 10 * n


@workflow
async def ships(mapped: bool) -> list[int]:
    """A child's result may be read after the failure, too."""
    if mapped:
        got = await map_(ten_times, [1, 2])
        await do("b")
        return list(got)
    child = await start(ten_times, 1)
    await do("b")
    return [await child.result()]


@pytest.mark.parametrize("mapped", [True, False])
async def test_what_a_failed_fork_reads_is_there_when_it_is_retried(database: str, mapped: bool) -> None:
    remedy = "delete that first, or let a retry of it succeed"
    async with engine_on(database, ships, ten_times) as bench:
        source = await bench.start(ships, mapped)
        await bench.failure(source)
        fork = (await act(bench, FORK, source, **{"from": "failed"}))["fork"]
        await bench.failure(fork)
        with pytest.raises(WrongState, match=f"{fork} has failed, and reads it if it is retried; {remedy}"):
            await act(bench, DELETE, source)
        with pytest.raises(WrongState, match=f"{source} has failed, and reads it if it is retried; {remedy}"):
            await act(bench, DELETE, f"{source}/map.1" if mapped else f"{source}/1")
        field.broken.clear()
        await act(bench, RETRY, fork)
        assert await bench.result(fork) == ([10, 20] if mapped else [10])
        await act(bench, DELETE, source)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("verb", "arguments", "fits"),
    [
        ("fork", {"input": {"n": "abc"}}, {"input": {"n": 4}}),
        ("settle", {"step": "do", "output": 5}, {"step": "do", "output": "five"}),
        ("settle", {"step": "2", "output": 5}, {"step": "2", "output": "five"}),
        ("settle", {"step": "9", "name": "do", "output": 5}, {"step": "9", "name": "do", "output": "five"}),
    ],
)
async def test_what_is_given_to_many_fits_each_function(
    database: str, verb: str, arguments: dict[str, Any], fits: dict[str, Any], dry_run: bool
) -> None:
    """As what is given to one does: a step by its name, or its id; an input of a function."""
    async with engine_on(database, ten_times, ships) as bench:
        ended = await bench.start(ten_times, 1)
        assert await bench.result(ended) == 10
        failed = await bench.start(ships, False)
        await bench.failure(failed)
        filter = {"function": "ten_times" if verb == "fork" else "ships"}
        asked = {"verb": verb, "filter": filter, "dry_run": dry_run}
        with pytest.raises(InvalidInput, match=f"{filter['function']}: the (in|out)put does not fit"):
            await bench.engine.act_on_many({**asked, "arguments": arguments}, "ann")
        found = await bench.engine.act_on_many({**asked, "arguments": fits}, "ann")
        assert found["count"] == (1 if verb == "settle" else 2)
        # What no function of this instance does is believed, and what is no filter refused.
        await bench.engine.act_on_many({**asked, "filter": {"function": "x"}, "arguments": arguments}, "ann")
        with pytest.raises(Unacceptable):
            await bench.engine.act_on_many({**asked, "filter": {"x": 1}, "arguments": arguments}, "ann")


async def test_what_is_given_to_many_fits_the_last_of_them(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are looked through some at a time, and only as far as that may tell anything."""
    monkeypatch.setattr(settling, "_LOOKED_AT_FIRST", 1)
    monkeypatch.setattr(settling, "_LOOKED_AT_MOST", 2)
    async with engine_on(database, ten_times, books) as bench:
        for _ in range(4):
            await bench.result(await bench.start(ten_times, 1))
        fork = {"verb": "fork", "filter": {"has_parent": False}, "arguments": {"input": {"n": 2}}}
        assert (await bench.engine.act_on_many({**fork, "dry_run": True}, "ann"))["count"] == 4
        await bench.engine.cancel(await bench.start(books), "ann", None, KILL)
        with pytest.raises(InvalidInput, match="books: the input does not fit"):
            await bench.engine.act_on_many(fork, "ann")


@step
async def pausing(workflow_id: str) -> None:
    await WorkflowHandle[Any](workflow_id).pause()


@workflow
async def pauses_itself(in_step: bool) -> str:
    own = context().workflow_id
    assert own is not None
    try:
        await (pausing(own) if in_step else WorkflowHandle[Any](own).pause())
    except (UsageError, StepFailed) as error:
        return str(error)
    return "paused"


@pytest.mark.parametrize("in_step", [True, False])
async def test_nobody_pauses_itself(database: str, in_step: bool) -> None:
    async with engine_on(database, pauses_itself) as bench:
        assert "can't pause itself" in await bench.run(pauses_itself, in_step)


@step
async def forking(workflow_id: str) -> None:
    await WorkflowHandle[Any](workflow_id).fork()


@workflow
async def forks_itself(in_step: bool) -> str:
    own = context().workflow_id
    try:
        await (forking(own) if in_step else WorkflowHandle[Any](context().root_id).fork())
    except (UsageError, StepFailed) as error:
        return str(error)
    return "forked"


@pytest.mark.parametrize("in_step", [True, False])
async def test_nobody_forks_itself_nor_its_own_first(database: str, in_step: bool) -> None:
    async with engine_on(database, forks_itself) as bench:
        workflow_id = await bench.start(forks_itself, in_step)
        assert "can't fork itself" in await bench.result(workflow_id)
        fork = (await act(bench, FORK, workflow_id))["fork"]
        assert "can't fork itself" in await bench.result(fork)


async def test_a_def_workflow_operates_another(database: str) -> None:
    async with engine_on(database, naps, operator_in_a_thread) as bench:
        workflow_id = await bench.start(operator_in_a_thread)
        with pytest.raises(WorkflowFailed):
            await bench.result(workflow_id)
        told = str((await bench.failure(workflow_id))["failure"])
        assert f"{workflow_id} is live, and belongs to it or may still read it" in told


async def test_a_workflow_operates_another(database: str) -> None:
    async with engine_on(database, naps, branches, operator) as bench:
        field.broken.clear()
        target = await bench.start(naps)
        await bench.suspended(target)
        workflow_id = await bench.start(operator, target)
        with pytest.raises(WorkflowFailed):
            await bench.result(workflow_id)
        assert "names no recorded step" in str((await bench.failure(workflow_id))["failure"])
        kinds = [(each["kind"], each["name"]) for each in await bench.steps(workflow_id)]
        assert kinds == [("act", f"{each} {target}") for each in ("pause", "resume", "set", "fork")]
