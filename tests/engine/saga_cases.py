"""Sagas: what was done is undone, the last first, whatever ends the workflow and whatever dies meanwhile.

They run in memory (test_sagas.py) and on Postgres (test_sagas_on_postgres.py): each decides for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from outlast import (
    UNKNOWN,
    CompensationFailed,
    UsageError,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowTimeout,
    map_,
    receive,
    saga,
    sleep,
    start,
    start_all,
    step,
    transaction,
    workflow,
)
from outlast.core.observations import UndoFailed, UndoGivenUp
from outlast.core.status import Status
from outlast.core.stops import Stopped
from outlast.core.verbs import RETRY
from outlast.engine.waits.results import result_of
from outlast.sdk import sagas
from tests.engine.harness import WAIT_S, Bench, engine_on, pass_time


class Desk:
    """What was done and undone, in order; and where a test holds steps."""

    def __init__(self) -> None:
        self.trail: list[Any] = []
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.fails: dict[str, int] = {}
        """How often an undo still fails."""
        self.thread_open = threading.Event()

    @property
    def undone(self) -> list[Any]:
        return [each[1:] for each in self.trail if each[0] == "undo"]

    @property
    def started(self) -> list[str]:
        return [each[1] for each in self.trail if each[0] == "started"]


desk: Desk


@pytest.fixture(autouse=True)
def fresh_desk() -> None:
    global desk
    desk = Desk()


@step
async def book(name: str) -> str:
    desk.trail.append(("do", name))
    if name.startswith("bad"):
        raise ValueError(name)
    if name.startswith("held"):
        desk.reached.set()
        await desk.open.wait()
    return f"{name}!"


@step
async def cancel(booking: Any) -> None:
    key = str(booking)
    if desk.fails.get(key, 0) > 0:
        desk.fails[key] -= 1
        raise ConnectionError(key)
    desk.trail.append(("undo", booking))


@step
async def cancel_named(booking: Any, name: str) -> None:
    desk.trail.append(("undo", booking, name))


@step
async def held_cancel(booking: Any) -> None:
    desk.trail.append(("undo", booking))
    desk.reached.set()
    await desk.open.wait()


@step
async def quiet() -> None:
    """Do nothing."""


@workflow
async def trip(last: str) -> list[str]:
    async with saga() as s:
        hotel = await s.do(book, "hotel", undo=cancel)
        car = await s.do(book, "car", undo=cancel_named)
        return [hotel, car, await s.do(book, last, undo=cancel_named)]


async def test_what_is_left_normally_is_kept(database: str) -> None:
    async with engine_on(database, trip) as bench:
        assert await bench.run(trip, "flight") == ["hotel!", "car!", "flight!"]
    assert desk.undone == []


async def test_an_exception_undoes_the_last_first_and_is_raised_on(database: str) -> None:
    async with engine_on(database, trip) as bench:
        workflow_id = await bench.start(trip, "bad flight")
        failure = await bench.failure(workflow_id)
        assert failure["failure"]["type"] == "ValueError"
        names = [each["name"] for each in await bench.steps(workflow_id)]
    assert desk.undone == [(UNKNOWN, "bad flight"), ("car!", "car"), ("hotel!",)]
    assert names.index("undo book") < names.index("book"), "the undo is recorded first"


@workflow
async def sleeper() -> None:
    async with saga() as s:
        await s.do(book, "hotel", undo=cancel)
        await s.do(book, "car", undo=cancel)
        await receive("never")


async def test_a_cancel_of_a_workflow_that_sleeps_undoes_and_ends_as_cancelled(database: str) -> None:
    async with engine_on(database, sleeper) as bench:
        workflow_id = await bench.start(sleeper)
        await bench.suspended(workflow_id)
        assert await bench.engine.cancel(workflow_id) is Status.PENDING
        assert await bench.engine.cancel(workflow_id) in (Status.PENDING, Status.CANCELLED, None)
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
        assert desk.undone == [("car!",), ("hotel!",)]
        row = await bench.row(workflow_id)
        assert row["status"] == "CANCELLED"
        assert row["error"]["code"] == "workflow_cancelled"


@workflow
async def family(kinds: list[str]) -> None:
    """The first of them is its own; the others are its descendants'."""
    kind, *below = kinds
    async with saga() as s:
        await s.do(book, kind, undo=held_cancel if kind == "slow" else cancel)
        if kind != "over":
            await wait_below(below)
    await wait_below(below)


async def wait_below(kinds: list[str]) -> None:
    if not kinds:
        await sleep(3600)
    child = await start(family, kinds)
    desk.trail.append(("started", child.workflow_id))
    await child.result()


@pytest.mark.parametrize("kinds", [("slow", "child"), ("over", "child"), ("parent", "over", "child")])
async def test_a_cancel_passes_down_while_the_parent_still_undoes(database: str, kinds: Any) -> None:
    async with engine_on(database, family, moment_s=0.05) as bench:
        workflow_id = await bench.start(family, list(kinds))
        await bench.until(lambda: len(desk.started) == len(kinds) - 1)
        youngest = desk.started[-1]
        await bench.suspended(youngest)
        await bench.engine.cancel(workflow_id)
        with pytest.raises(WorkflowCancelled):
            await bench.result(youngest)
        if kinds[0] == "slow":
            assert (await bench.row(workflow_id))["status"] == "PENDING"
            desk.open.set()
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert sorted(desk.undone) == sorted((f"{each}!",) for each in kinds if each != "over")


async def test_what_an_undo_has_started_ends_with_the_one_that_was_cancelled(database: str) -> None:
    children: list[str] = []

    async def start_another(booking: Any) -> None:
        children.append((await start(sleeper)).workflow_id)
        await cancel(booking)

    @workflow
    async def parent() -> None:
        async with saga() as s:
            await s.do(book, "parent", undo=start_another)
            await sleep(3600)

    async with engine_on(database, parent, sleeper) as bench:
        workflow_id = await bench.start(parent)
        await bench.suspended(workflow_id)
        await bench.engine.cancel(workflow_id)
        for each in (workflow_id, *children[:1]):
            with pytest.raises(WorkflowCancelled):
                await bench.result(each)
        with pytest.raises(WorkflowCancelled):
            await bench.result(children[0])


async def test_a_cancel_while_a_step_runs_ends_that_and_undoes_it_as_unknown(database: str) -> None:
    async with engine_on(database, trip) as bench:
        workflow_id = await bench.start(trip, "held flight")
        await bench.until(desk.reached.is_set)
        assert await bench.engine.cancel(workflow_id) is Status.PENDING
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert desk.undone == [(UNKNOWN, "held flight"), ("car!", "car"), ("hotel!",)]


async def test_a_cancel_by_another_instance_is_heard_by_who_runs_it(database: str) -> None:
    async with engine_on(database, trip) as bench, engine_on(database) as other:
        workflow_id = await bench.start(trip, "held flight")
        await bench.until(desk.reached.is_set)
        assert await other.engine.cancel(workflow_id) is Status.PENDING
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
        assert (await bench.row(workflow_id))["epoch"] == 1, "nobody else took it"
    assert desk.undone == [(UNKNOWN, "held flight"), ("car!", "car"), ("hotel!",)]


@workflow(timeout=1.0)
async def late() -> None:
    async with saga() as s:
        await s.do(book, "hotel", undo=cancel)
        await s.do(book, "held car", undo=cancel)


async def test_a_timeout_undoes_and_ends_as_timeout(database: str) -> None:
    async with engine_on(database, late) as bench:
        workflow_id = await bench.start(late)
        with pytest.raises(WorkflowTimeout):
            await bench.result(workflow_id)
    assert desk.undone == [(UNKNOWN,), ("hotel!",)]


@workflow(timeout=60.0)
async def sleeps_too_long() -> None:
    async with saga() as s:
        await s.do(book, "hotel", undo=cancel)
        await sleep(3600)


async def test_a_deadline_that_passed_while_nobody_was_there_undoes_too(database: str) -> None:
    async with engine_on(database, sleeps_too_long) as bench:
        workflow_id = await bench.start(sleeps_too_long)
        await bench.suspended(workflow_id)
        await bench.abandon()
    await deadline_passes(database, workflow_id)
    async with engine_on(database, sleeps_too_long) as bench:
        with pytest.raises(WorkflowTimeout):
            await bench.result(workflow_id)
    assert desk.undone == [("hotel!",)]


async def deadline_passes(database: str, workflow_id: str) -> None:
    async with engine_on(database) as bench:
        await pass_time(bench, workflow_id, 100)
        if hasattr(database, "database"):
            row = database.database.workflows[workflow_id]
            row.new = row.new._replace(deadline_s=database.database.now() - 1)
        else:
            await bench.rows(
                "update outlast.workflow_status set deadline = now() - interval '1 s' where workflow_id = %s",
                workflow_id,
            )


@workflow
async def undone_slowly(how: str) -> None:
    async with saga() as s:
        await s.do(book, "hotel", undo=held_cancel)
        if how == "raise":
            raise ValueError("why")
        await receive("never")


@pytest.mark.parametrize("how", ["raise", "cancel"])
async def test_a_crash_in_an_undo_lets_another_instance_undo_it_and_end_the_same(
    database: str, how: str
) -> None:
    async with engine_on(database, undone_slowly) as bench:
        workflow_id = await bench.start(undone_slowly, how)
        if how == "cancel":
            await bench.suspended(workflow_id)
            await bench.engine.cancel(workflow_id)
        await bench.until(desk.reached.is_set)
        await bench.abandon()
    desk.open.set()
    async with engine_on(database, undone_slowly) as bench:
        with pytest.raises(WorkflowCancelled if how == "cancel" else Exception, match=r"cancel|exception"):
            await bench.result(workflow_id)
        undone = [each for each in await bench.steps(workflow_id) if each["name"] == "held_cancel"]
        assert len(undone) == 1, "recorded once"
    assert desk.undone == [("hotel!",), ("hotel!",)], "at least once"


async def test_nothing_cancels_an_undo(database: str) -> None:
    """Neither a second cancel, nor the timeout of a block around it."""

    @workflow
    async def hasty() -> str | None:
        try:
            async with asyncio.timeout(0.5), saga() as s:
                await s.do(book, "hotel", undo=held_cancel)
                raise ValueError("why")
        except (ValueError, TimeoutError) as error:
            return type(error).__name__

    async with engine_on(database, hasty) as bench:
        workflow_id = await bench.start(hasty)
        await bench.until(desk.reached.is_set)
        await bench.until(lambda: any_timer(bench, workflow_id))
        desk.open.set()
        assert await bench.result(workflow_id) in ("TimeoutError", "ValueError")
    assert desk.undone == [("hotel!",)]


async def any_timer(bench: Bench, workflow_id: str) -> bool:
    return any(each["kind"] == "timer" for each in await bench.steps(workflow_id))


async def test_a_cancel_during_an_undo_lets_it_end_and_stops_what_would_come_after(database: str) -> None:
    @workflow
    async def goes_on() -> str:
        try:
            async with saga() as s:
                await s.do(book, "hotel", undo=held_cancel)
                raise ValueError("why")
        except ValueError:
            await book("after")
        return "went on"

    async with engine_on(database, goes_on) as bench:
        workflow_id = await bench.start(goes_on)
        await bench.until(desk.reached.is_set)
        assert await bench.engine.cancel(workflow_id) is Status.PENDING
        await bench.until(lambda: bench.live[workflow_id].undoing)
        desk.open.set()
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert desk.trail == [("do", "hotel"), ("undo", "hotel!")]


async def test_nothing_else_is_called_beside_an_undo(database: str) -> None:
    async def stubborn() -> None:
        try:
            await receive("never")
        except asyncio.CancelledError:
            with contextlib.suppress(Stopped):
                await book("beside")

    async def undoes() -> None:
        async with saga() as s:
            await s.do(book, "hotel", undo=held_cancel)
            await receive("never")

    @workflow
    async def both() -> None:
        await asyncio.gather(stubborn(), undoes())

    async with engine_on(database, both) as bench:
        workflow_id = await bench.start(both)
        await bench.suspended(workflow_id)
        await bench.engine.cancel(workflow_id)
        await bench.until(desk.reached.is_set)
        await asyncio.sleep(0.1)
        desk.open.set()
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert desk.trail == [("do", "hotel"), ("undo", "hotel!")]


async def test_an_undo_that_fails_is_tried_again_and_leaves_the_memory_meanwhile(database: str) -> None:
    desk.fails["hotel!"] = 3
    async with engine_on(database, sleeper) as bench:
        workflow_id = await bench.start(sleeper)
        await bench.suspended(workflow_id)
        await bench.engine.cancel(workflow_id)
        await bench.suspended(workflow_id)
        row = await bench.store.workflows.show(workflow_id)
        assert row is not None
        waits = row["waiting_on"]
        assert waits.startswith("undoing: 1 of 2, tries again at "), waits
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
        told = [each for each in bench.observations if isinstance(each, UndoFailed)]
        noted = [each for each in await bench.steps(workflow_id) if each["name"] == "undo failed"]
    assert desk.undone == [("car!",), ("hotel!",)]
    assert [(each.step, each.undo, each.error, each.wait_s) for each in told] == [
        ("book", "cancel", "ConnectionError: hotel!", wait_s) for wait_s in (1.0, 2.0, 4.0)
    ]
    assert len(noted) == 3


@pytest.mark.parametrize("text", ["\ud800 alone", "a NUL: \0", "x" * 5_000])
async def test_whatever_an_undo_raises_is_told_of(
    database: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sagas, "UNDO_WITHIN_S", 0.5)

    def breaks(_: Any) -> None:
        raise RuntimeError(text)

    @workflow
    async def broken() -> None:
        async with saga() as s:
            await s.do(quiet, undo=breaks)
            raise KeyError("why")

    async with engine_on(database, broken) as bench:
        await bench.failure(await bench.start(broken))
        told = [each for each in bench.observations if isinstance(each, UndoFailed | UndoGivenUp)]
    assert [type(each) for each in told] == [UndoFailed, UndoGivenUp]
    for each in told:
        assert each.error.startswith("RuntimeError: ")
        assert "saga_cases.py:" in each.error
        assert each.undo == "breaks"


async def test_a_step_may_be_named_as_the_note_of_an_undo_that_failed(database: str) -> None:
    @step
    async def failed() -> str:
        return "done"

    @workflow
    async def flow() -> str:
        async with saga() as s:
            return await s.do(failed, undo=lambda _: None)

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == "done"


class Abort(BaseException):
    """No Exception: what catches those lets it pass."""


@pytest.mark.parametrize("error", [SystemExit(1), Abort()], ids=lambda error: type(error).__name__)
async def test_what_is_no_exception_ends_no_undoing_either(database: str, error: BaseException) -> None:
    desk.fails = {"async": 2, "def": 2}

    async def aborts(booking: Any) -> None:
        abort("async")
        await cancel(booking)

    def aborts_here(booking: Any) -> None:
        abort("def")
        cancel_here(booking, "car")

    def abort(key: str) -> None:
        if desk.fails[key]:
            desk.fails[key] -= 1
            raise error

    @workflow
    async def in_async() -> None:
        async with saga() as s:
            await s.do(book, "hotel", undo=cancel)
            await s.do(book, "car", undo=aborts)
            raise LookupError("ends")

    @workflow
    def in_def() -> None:
        with saga() as s:
            s.do(book_here, "hotel", undo=cancel_here)
            s.do(book_here, "car", undo=aborts_here)
            raise LookupError("ends")

    async with engine_on(database, in_async, in_def) as bench:
        for each in (in_async, in_def):
            with pytest.raises(WorkflowFailed):
                await bench.run(each)
    assert desk.undone == [("car!",), ("hotel!",), ("car!", "car"), ("hotel!", "hotel")]


async def test_what_still_fails_when_its_time_is_over_is_told_and_the_rest_is_undone(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sagas, "UNDO_WITHIN_S", 2.0)
    desk.fails["car!"] = 10_000
    async with engine_on(database, sleeper) as bench:
        workflow_id = await bench.start(sleeper)
        await bench.suspended(workflow_id)
        await bench.engine.cancel(workflow_id)
        failure = await bench.failure(workflow_id)
        tried = [each for each in await bench.steps(workflow_id) if each["error"]]
    assert len(tried) == 3, "at once, a second later, and when its time is over"
    assert failure["code"] == "compensation_failed"
    assert failure["undone"] == ["book"]
    (standing,) = failure["standing"]
    assert standing["step"] == "book"
    assert standing["undo"] == "cancel"
    assert standing["result"] == "car!"
    assert standing["error"].startswith("ConnectionError")
    assert desk.undone == [("hotel!",)]


@workflow
async def together(second: str) -> None:
    async with saga() as s:
        await asyncio.gather(
            s.do(book, "held first", undo=cancel_named), s.do(book, second, undo=cancel_named)
        )


async def test_what_still_runs_beside_a_failure_is_ended_and_undone_too(database: str) -> None:
    async with engine_on(database, together) as bench:
        workflow_id = await bench.start(together, "bad second")
        await bench.failure(workflow_id)
    assert sorted(desk.undone, key=str) == [(UNKNOWN, "bad second"), (UNKNOWN, "held first")]


async def test_the_order_is_that_of_completion(database: str) -> None:
    @workflow
    async def crossed() -> None:
        async with saga() as s:
            first = asyncio.create_task(s.do(book, "held first", undo=cancel))
            await s.do(book, "second", undo=cancel)
            await book("open")
            await first
            raise ValueError("why")

    async with engine_on(database, crossed) as bench:
        workflow_id = await bench.start(crossed)
        await bench.until(lambda: ("do", "open") in desk.trail)
        desk.open.set()
        await bench.failure(workflow_id)
    assert desk.undone == [("held first!",), ("second!",)]


async def test_sagas_within_a_saga(database: str) -> None:
    @workflow
    async def nested() -> None:
        async with saga() as outer:
            await outer.do(book, "a", undo=cancel)
            async with saga() as kept:
                await kept.do(book, "kept", undo=cancel)
            async with saga() as inner:
                await inner.do(book, "b", undo=cancel)
                raise ValueError("why")

    async with engine_on(database, nested) as bench:
        await bench.failure(await bench.start(nested))
    assert desk.undone == [("b!",), ("a!",)]


async def test_a_saga_in_a_task_that_the_body_left_running_is_undone(database: str) -> None:
    @workflow
    async def leaves() -> str:
        async def background() -> None:
            async with saga() as s:
                await s.do(book, "hotel", undo=cancel)
                await s.do(book, "held car", undo=cancel_named)

        left = asyncio.create_task(background())
        await book("main")
        await book("main")
        await book("main")
        return "ended" if left.done() else "left"

    async with engine_on(database, leaves) as bench:
        assert await bench.run(leaves) == "left"
    assert desk.undone == [(UNKNOWN, "held car"), ("hotel!",)]


@transaction
async def transfer(tx: Any, fails: bool) -> str:
    desk.trail.append(("do", "transfer"))
    if fails:
        raise ValueError("transfer")
    return "t"


@workflow
async def pays(fails: bool) -> None:
    async with saga() as s:
        await s.do(transfer, fails, undo=cancel)
        raise ValueError("why")


@pytest.mark.parametrize("fails", [True, False])
async def test_a_transaction_that_failed_took_no_effect(database: str, fails: bool) -> None:
    async with engine_on(database, pays) as bench:
        await bench.failure(await bench.start(pays, fails))
    assert desk.undone == ([] if fails else [("t",)])


async def test_an_undo_may_be_a_function_that_calls_steps_and_runs_others_together(database: str) -> None:
    async def both(booking: Any) -> None:
        await asyncio.gather(cancel(booking), cancel_named(booking, "also"))

    @workflow
    async def by_function() -> None:
        async with saga() as s:
            await s.do(book, "a", undo=lambda booking: cancel_named(booking, "mine"))
            await s.do(book, "b", undo=both)
            await receive("never")

    async with engine_on(database, by_function) as bench:
        workflow_id = await bench.start(by_function)
        await bench.suspended(workflow_id)
        await bench.engine.cancel(workflow_id)
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
        names = [each["name"] for each in await bench.steps(workflow_id)]
    assert desk.undone[-1] == ("a!", "mine")
    assert set(desk.undone) == {("a!", "mine"), ("b!",), ("b!", "also")}
    assert {"cancel", "cancel_named"} <= set(names)


@step
def book_here(name: str) -> str:
    desk.trail.append(("do", name))
    if name == "held":
        desk.reached.set()
        assert desk.thread_open.wait(30)
        desk.trail.append(("did", name))
    if name == "bad":
        raise ValueError(name)
    return f"{name}!"


@step
def cancel_here(booking: Any, name: str) -> None:
    desk.trail.append(("undo", booking, name))


@workflow
def plain(last: str) -> str:
    with saga() as s:
        s.do(book_here, "hotel", undo=cancel_here)
        if last == "wait":
            receive("never")
        return s.do(book_here, last, undo=cancel_here)


async def test_a_def_workflow_undoes_as_well(database: str) -> None:
    async with engine_on(database, plain) as bench:
        assert await bench.run(plain, "car") == "car!"
        assert desk.undone == []
        await bench.failure(await bench.start(plain, "bad"))
        assert desk.undone == [(UNKNOWN, "bad"), ("hotel!", "hotel")]


async def test_a_def_workflow_that_waits_undoes_when_it_is_cancelled(database: str) -> None:
    async with engine_on(database, plain) as bench:
        workflow_id = await bench.start(plain, "wait")
        await bench.suspended(workflow_id)
        await bench.engine.cancel(workflow_id)
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert desk.undone == [("hotel!", "hotel")]


async def test_a_body_that_catches_its_end_ends_all_the_same(database: str) -> None:
    @workflow
    async def stubborn() -> str:
        try:
            async with saga() as s:
                await s.do(book, "hotel", undo=cancel)
                await receive("never")
        except BaseException:
            for _ in range(3):
                try:
                    await book("after")
                except BaseException:
                    await asyncio.sleep(10)
        return "went on"

    async with engine_on(database, stubborn) as bench:
        workflow_id = await bench.start(stubborn)
        await bench.suspended(workflow_id)
        await bench.engine.cancel(workflow_id)
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert desk.trail == [("do", "hotel"), ("undo", "hotel!")]


async def test_a_body_that_never_leaves_its_saga_ends_and_tells_what_stands(database: str) -> None:
    @workflow
    async def clings() -> None:
        async with saga() as s:
            await s.do(book, "hotel", undo=cancel)
            while True:
                with contextlib.suppress(asyncio.CancelledError, Stopped):
                    await receive("never")

    async with engine_on(database, clings) as bench:
        workflow_id = await bench.start(clings)
        await bench.suspended(workflow_id)
        await bench.engine.cancel(workflow_id)
        failure = await bench.failure(workflow_id)
    assert failure["code"] == "compensation_failed"
    assert [each["result"] for each in failure["standing"]] == ["hotel!"]


async def test_one_who_waits_in_python_gets_what_stands(database: str) -> None:
    @workflow
    async def fails_to_undo() -> None:
        raise CompensationFailed("1 of 1 could not be undone", (), [{"step": "book"}])

    async with engine_on(database, fails_to_undo) as bench:
        state = await bench.engine.wait(await bench.start(fails_to_undo), 30)
    assert state is not None
    with pytest.raises(CompensationFailed) as caught:
        result_of(state, {})
    assert caught.value.standing == [{"step": "book"}]


@pytest.mark.parametrize(
    ("step_given", "args", "undo", "told"),
    [
        (trip, ("x",), cancel, "takes a step or a transaction"),
        (len, ("x",), cancel, "decorate it with @step"),
        (book, (), cancel, "can't be called with these arguments"),
        (book, ("x",), trip, "takes a step, a transaction, or a function"),
        (book, ("x",), "cancel", "takes a step, a transaction, or a function"),
        (book, ("x",), lambda a, b, c: None, "neither with the step's result alone"),
    ],
)
async def test_what_can_not_be_undone_is_refused_before_anything_begins(
    database: str, step_given: Any, args: Any, undo: Any, told: str
) -> None:
    @workflow
    async def refused() -> str:
        async with saga() as s:
            try:
                await s.do(step_given, *args, undo=undo)
            except UsageError as error:
                return str(error)
        return "taken"

    async with engine_on(database, refused) as bench:
        assert told in await bench.run(refused)
    assert desk.trail == []


def a_call() -> Any:
    return trip("x")


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.do(book("x"), undo=cancel),
        lambda s: s.do(book, "x", undo=cancel("x")),
        lambda s: start(a_call()),
        lambda s: start_all(a_call(), [1]),
        lambda s: map_(a_call(), [1]),
    ],
    ids=["do", "undo", "start", "start_all", "map_"],
)
async def test_a_call_in_place_of_a_function_is_told(
    database: str, call: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @workflow
    async def refused() -> str:
        async with saga() as s:
            try:
                await call(s)
            except UsageError as error:
                return str(error)
        return "taken"

    async with engine_on(database, refused) as bench:
        told = await bench.run(refused)
    assert re.search(r"not what (\w+)\(…\) gives: hand over \1 itself$", told)
    assert "not awaited" not in caplog.text
    assert desk.trail == []


async def test_a_cancel_that_is_passed_down_lets_a_child_undo(database: str) -> None:
    @workflow
    async def parent() -> None:
        await (await start(sleeper)).result()

    async with engine_on(database, parent, sleeper) as bench:
        workflow_id = await bench.start(parent)
        child = f"{workflow_id}/1"
        await bench.until(lambda: len(desk.trail) == 2)
        await bench.suspended(child)
        assert await bench.engine.cancel(workflow_id) is Status.CANCELLED
        with pytest.raises(WorkflowCancelled):
            await bench.result(child)
    assert desk.undone == [("car!",), ("hotel!",)]


@transaction
async def held_transfer(tx: Any) -> str:
    desk.reached.set()
    await desk.open.wait()
    return "held"


@transaction
def held_transfer_here(tx: Any) -> str:
    desk.reached.set()
    assert desk.thread_open.wait(10)
    return "held"


@workflow
async def pays_slowly() -> None:
    async with saga() as s:
        await s.do(book, "hotel", undo=cancel)
        await s.do(held_transfer, undo=cancel)


async def test_a_transaction_that_is_cancelled_before_its_commit_took_no_effect(database: str) -> None:
    async with engine_on(database, pays_slowly) as bench:
        workflow_id = await bench.start(pays_slowly)
        await bench.until(desk.reached.is_set)
        await bench.engine.cancel(workflow_id)
        with pytest.raises(WorkflowCancelled):
            await bench.result(workflow_id)
    assert desk.undone == [("hotel!",)]


async def test_a_step_is_not_done_after_its_saga(database: str) -> None:
    @workflow
    async def too_late() -> list[str]:
        told = []
        async with saga() as s:
            prepared = s.do(book, "hotel", undo=cancel)
        try:
            await prepared
        except UsageError as error:
            told.append(str(error))
        try:
            await s.do(book, "car", undo=cancel)
        except UsageError as error:
            told.append(str(error))
        return told

    async with engine_on(database, too_late) as bench:
        told = await bench.run(too_late)
    assert len(told) == 2
    assert all("has been left" in each for each in told)
    assert desk.trail == []


async def test_a_saga_that_is_never_left_keeps_no_body_from_ending(database: str) -> None:
    @workflow
    async def never_leaves() -> None:
        s = await saga().__aenter__()
        await s.do(book, "hotel", undo=cancel)
        raise ValueError("why")

    async with engine_on(database, never_leaves) as bench:
        failure = await bench.failure(await bench.start(never_leaves))
    assert failure["code"] == "compensation_failed"
    assert [each["result"] for each in failure["standing"]] == ["hotel!"]


class Booking(BaseModel):
    key: str
    nights: int = 2


@step
async def book_room(key: str) -> Booking:
    return Booking(key=key)


async def test_what_stands_is_told_as_plain_json(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sagas, "UNDO_WITHIN_S", 0.0)

    def refuse(booking: Any) -> None:
        raise ConnectionError("\0 no")

    @workflow
    async def keeps() -> None:
        async with saga() as s:
            await s.do(book_room, "a", undo=refuse)
            await s.do(book, "b", undo=refuse)
            raise ValueError("why")

    async with engine_on(database, keeps) as bench:
        workflow_id = await bench.start(keeps)
        failure = await bench.failure(workflow_id)
        state = await bench.engine.wait(workflow_id, 30)
    assert [each["result"] for each in failure["standing"]] == ["b!", {"key": "a", "nights": 2}]
    assert state is not None
    with pytest.raises(CompensationFailed) as caught:
        result_of(state, {})
    assert caught.value.standing == failure["standing"]
    assert caught.value.undone == []


@workflow
async def in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(sleeps_in_a_saga())


async def sleeps_in_a_saga() -> None:
    async with saga() as s:
        await s.do(book, "hotel", undo=cancel)
        await s.do(book, "car", undo=cancel)
        await s.do(book, "held", undo=cancel)


@workflow
async def swallows() -> str:
    with contextlib.suppress(CompensationFailed):
        await sleeps_in_a_saga()
    return "as if nothing stood"


@workflow
async def leaves_it_running() -> str:
    left = asyncio.ensure_future(sleeps_in_a_saga())
    await receive("go")
    return "the trip is under way" if not left.done() else "it is over"


@workflow
async def fails_in_a_group() -> None:
    async def fails() -> None:
        async with saga() as s:
            await s.do(book, "car", undo=cancel)
            raise ValueError("why")

    async with asyncio.TaskGroup() as group:
        group.create_task(fails())


@pytest.mark.parametrize("flow", [in_a_group, swallows, leaves_it_running, fails_in_a_group])
async def test_what_stands_is_told_however_the_body_ends(
    database: str, flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sagas, "UNDO_WITHIN_S", 0.0)
    desk.fails["car!"] = 1
    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        if flow in (in_a_group, swallows):
            await bench.until(desk.reached.is_set)
            await bench.engine.cancel(workflow_id)
        elif flow is leaves_it_running:
            await bench.until(desk.reached.is_set)
            await bench.engine.host.send(workflow_id, "1", "go", None)
        failure = await bench.failure(workflow_id)
        assert failure["code"] == "compensation_failed"
        assert [each["result"] for each in failure["standing"]] == ["car!"]
        await bench.store.workflows.act(RETRY, workflow_id, {}, "me")
        bench.engine.look()
        state = await bench.engine.wait(workflow_id, WAIT_S)
        assert state is not None
        assert "compensation_failed" not in (state.error or "")
    assert desk.undone[-1] == ("car!",)
