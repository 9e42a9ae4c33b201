"""Children: each started once, and never taken for failed because its host was busy."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest

from outlast import (
    HTTPException,
    KeyReused,
    StepFailed,
    WorkflowHandle,
    context,
    publish,
    receive,
    send,
    sleep,
    start,
    start_once,
    step,
    workflow,
)
from outlast.core.errors import DatabaseUnavailable, Overloaded, ShuttingDown, WorkflowNotFound
from tests.engine.harness import BEGUN_BY_THEN_S, engine_on

CHILDREN = "select workflow_id from outlast.workflow_status where function = 'child'"


@workflow
async def child(number: int) -> int:
    return number * 2


opened: list[asyncio.Event] = []


@step
async def wait() -> None:
    await opened[-1].wait()


@workflow
async def waiting_parent(number: int) -> int:
    handle = await start(child, number)
    await wait()
    return await handle.result()


@workflow
async def parent(number: int) -> int:
    return await (await start(child, number)).result()


@pytest.mark.postgres
async def test_a_child_whose_start_was_not_recorded_is_not_started_again(database: str) -> None:
    """As after a crash of its parent between the child's start and the record of that."""
    opened[:] = [asyncio.Event()]
    async with engine_on(database, waiting_parent, child) as bench:
        workflow_id = await bench.start(waiting_parent, 4)
        await bench.until(lambda: bench.steps(workflow_id))
        await bench.until(lambda: list(bench.live) == [workflow_id])  # the child has ended
        await bench.abandon()
        await bench.rows("delete from outlast.operation_outputs where workflow_id = %s", workflow_id)
    opened[-1].set()
    async with engine_on(database, waiting_parent, child) as bench:
        assert await bench.result(workflow_id) == 8
        assert await bench.rows(CHILDREN) == [{"workflow_id": f"{workflow_id}/1"}]


async def test_a_child_that_cannot_be_started_now_is_started_later(database: str) -> None:
    async with engine_on(database, parent, child) as bench:
        start_new = bench.engine.starts.start_new
        refusals: list[Exception] = [Overloaded("full"), DatabaseUnavailable("away")]

        async def refusing(new: Any, *rest: Any) -> Any:
            if new.function == "child" and refusals:
                raise refusals.pop()
            return await start_new(new, *rest)

        bench.engine.starts.start_new = refusing  # type: ignore[method-assign, assignment]
        assert await bench.run(parent, 3) == 6
        assert refusals == []


@workflow
def def_parent(number: int) -> list[Any]:
    handle = start(child, number)
    sleep(0.2)  # type: ignore[unused-awaitable]  # a def workflow
    once = start_once("key", child, number + 1)
    return [handle.workflow_id, handle.result(), once.workflow_id, once.result()]


@pytest.mark.postgres
async def test_a_def_workflow_starts_children_as_an_async_one_does(database: str) -> None:
    async with engine_on(database, def_parent, child, moment_s=0.01) as bench:
        workflow_id = await bench.start(def_parent, 4)
        assert await bench.result(workflow_id) == [f"{workflow_id}/1", 8, "child:key", 10]
        assert len(await bench.rows(CHILDREN)) == 2
        names = [each["name"] for each in await bench.steps(workflow_id) if each["name"] != "sleep"]
        assert names == ["start child", "start child", f"result of {workflow_id}/1", "result of child:key"]


class Named(str, enum.Enum):  # noqa: UP042 - as many write it: a StrEnum is formatted as its value
    ORDER = "order"


@workflow
async def of_members() -> list[Any]:
    handle = await start_once(Named.ORDER, child, 1)
    await publish(Named.ORDER, 1)
    await send(context().workflow_id, "hi", topic=Named.ORDER, idempotency_key=Named.ORDER)
    return [handle.workflow_id, await handle.result(), await receive(Named.ORDER)]


@pytest.mark.postgres
async def test_a_member_of_an_enum_is_its_value(database: str) -> None:
    """How one is formatted differs between Pythons: an id would be another after an upgrade."""
    async with engine_on(database, of_members, child) as bench:
        workflow_id = await bench.start(of_members)
        assert await bench.result(workflow_id) == ["child:order", 2, "hi"]
        (row,) = await bench.rows(
            "select idempotency_key from outlast.workflow_status where function = 'child'"
        )
        assert row["idempotency_key"] == "order"
        (row,) = await bench.rows("select topic, idempotency_key from outlast.messages")
        assert row == {"topic": "order", "idempotency_key": "order"}
        names = [each["name"] for each in await bench.steps(workflow_id)]
        assert [each for each in names if "Named" in each] == []


@step
def starts_in_a_thread() -> list[Any]:
    handle = start(child, 5)
    return [handle.result(), start_once("key", child, 6).result()]


async def test_a_def_step_starts_workflows_and_waits_for_them(database: str) -> None:
    @workflow
    def flow() -> list[Any]:
        return starts_in_a_thread()

    async with engine_on(database, flow, child) as bench:
        assert await bench.run(flow) == [10, 12]


@pytest.mark.postgres
async def test_a_child_under_a_key_of_its_own_is_one_whoever_starts_it(database: str) -> None:
    @workflow
    async def keyed(number: int, again: bool) -> list[Any]:
        handle = await start_once("key", child, number)
        if again:
            await sleep(0.2)  # it is replayed
        return [handle.workflow_id, await handle.result()]

    @workflow
    async def other() -> str:
        try:
            await start_once("key", child, 5)
        except KeyReused:
            return "refused"
        return "taken"

    async with engine_on(database, keyed, child, other, moment_s=0.01) as bench:
        assert await bench.run(keyed, 4, again=True) == ["child:key", 8]
        assert await bench.run(keyed, 4, again=False) == ["child:key", 8]
        assert await bench.rows(CHILDREN) == [{"workflow_id": "child:key"}]
        assert await bench.run(other) == "refused"


async def test_a_handle_of_no_workflow_waits_for_nothing(database: str) -> None:
    @step
    async def of_step() -> None:
        await WorkflowHandle("nosuch").result()

    @workflow
    async def flow(how: str) -> None:
        await (of_step() if how == "step" else WorkflowHandle("nosuch").result())

    @workflow
    def def_flow() -> None:
        WorkflowHandle("nosuch").result()  # type: ignore[unused-coroutine]  # a def workflow

    async with engine_on(database, flow, def_flow) as bench:
        for workflow_id in (
            await bench.start(flow, "step"),
            await bench.start(flow, "body"),
            await bench.start(def_flow),
        ):
            failure = (await bench.failure(workflow_id))["failure"]
            assert failure["type"] == "WorkflowNotFound"
            assert "'nosuch'" in failure["message"]


@pytest.mark.postgres
@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_who_waits_for_a_workflow_that_is_removed_is_told(database: str, where: str) -> None:
    """Its row is deleted while a parent, a host and a caller with a bound wait for its end."""
    opened[:] = [asyncio.Event()]

    @workflow
    async def held_child() -> None:
        await wait()

    @workflow
    async def waits(child_id: str) -> None:
        await WorkflowHandle(child_id).result()

    async with engine_on(database, held_child, waits) as bench:
        if where == "here":
            child_id = await bench.start(held_child)
            await bench.until(lambda: child_id in bench.live)
        else:
            child_id = "elsewhere"
            await bench.rows(
                "insert into outlast.workflow_status (workflow_id, function, status)"
                " values ('elsewhere', 'of_another_host', 'ENQUEUED')"
            )
        workflow_id = await bench.start(waits, child_id)
        of_caller = asyncio.create_task(bench.engine.wait(child_id, 30.0))
        of_host = asyncio.create_task(bench.engine.host.result(child_id))
        await bench.until(lambda: child_id in bench.engine._waits._waiters)
        await bench.rows("delete from outlast.workflow_status where workflow_id = %s", child_id)
        opened[-1].set()
        for each in (of_caller, of_host):
            with pytest.raises(WorkflowNotFound, match=child_id):
                await asyncio.wait_for(each, 20.0)
        assert (await bench.failure(workflow_id))["failure"]["type"] == "WorkflowNotFound"


# --- how a child fails --------------------------------------------------------------------------------------


class Declined(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"declined: {code}")
        self.code = code


@workflow
async def failing(how: str) -> None:
    if how == "own":
        raise Declined(7)
    if how == "answer":
        raise HTTPException(409, {"why": "taken"}, {"x-more": "yes"})
    if how == "host":
        raise Overloaded("of the child itself")
    if how == "stops":
        raise ShuttingDown("of the child itself")
    if how == "local":

        class Local(Exception):
            pass

        raise Local("of it")
    raise StepFailed("step", "Odd", "text")


def told(error: Exception) -> list[Any]:
    return [type(error).__name__, str(error), getattr(error, "code", None), getattr(error, "headers", None)]


@workflow
async def catching(how: str, sleeps: bool) -> list[Any]:
    handle, found = await start(failing, how), list[Any]()
    try:
        await handle.result()
    except Exception as error:
        found = told(error)
    if sleeps:
        await sleep(0.2)  # it is replayed
    return found


@workflow
def def_catching(how: str) -> list[Any]:
    try:
        start(failing, how).result()
    except Exception as error:
        return told(error)
    return []


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("own", ["Declined", "declined: 7", 7, None]),
        ("answer", ["HTTPException", "409 {'why': 'taken'}", None, {"x-more": "yes"}]),
        ("host", ["WorkflowFailed", "ID failed: Overloaded: of the child itself", "workflow_error", None]),
        ("stops", ["WorkflowFailed", "ID failed: ShuttingDown: of the child itself", "workflow_error", None]),
        ("local", ["WorkflowFailed", "ID failed: failing.<locals>.Local: of it", "workflow_error", None]),
        ("step", ["StepFailed", "step 'step' failed: Odd: text", "step_failed", None]),
    ],
)  # fmt: skip
async def test_a_child_raises_in_its_parent_what_it_raised(
    database: str, how: str, expected: list[Any]
) -> None:
    async with engine_on(database, catching, def_catching, failing, moment_s=0.01) as bench:
        for flow, arguments in ((catching, (how, False)), (catching, (how, True)), (def_catching, (how,))):
            workflow_id = await bench.start(flow, *arguments)
            child_id = f"{workflow_id}/1"
            assert await bench.result(workflow_id) == [
                each.replace("ID", child_id) if isinstance(each, str) else each for each in expected
            ]


# --- timeouts -----------------------------------------------------------------------------------------------


@workflow
async def forever() -> None:
    await receive()


@workflow(timeout=3600)
async def for_long() -> None:
    await receive()


@workflow(timeout=5)
async def for_short() -> None:
    await receive()


@workflow(timeout=100)
async def bounded(how: str, started: str) -> str:
    of = {"forever": forever, "for_long": for_long, "for_short": for_short}[started]
    if how == "once":
        return (await start_once("key", of)).workflow_id
    return (await start(of, detached=how == "detached")).workflow_id


@workflow(timeout=100)
def def_bounded(how: str, started: str) -> str:
    return start({"forever": forever}[started], detached=how == "detached").workflow_id


@pytest.mark.parametrize("started", ["forever", "for_long", "for_short"])
@pytest.mark.parametrize("how", ["bound", "once", "detached"])
async def test_a_parents_timeout_bounds_its_children(database: str, how: str, started: str) -> None:
    flows = (bounded, def_bounded, forever, for_long, for_short)
    async with engine_on(database, *flows) as bench:
        parent_id = await bench.start(bounded, how, started)
        deadline = (await bench.row(await bench.result(parent_id)))["deadline"]
        of_parent = (await bench.row(parent_id))["deadline"]
        if started == "for_short":
            assert deadline < of_parent
        elif how in ("once", "detached"):  # who else has its key has another time
            assert deadline is None if started == "forever" else deadline > of_parent
        else:
            assert deadline == of_parent
        if started == "forever":
            parent_id = await bench.start(def_bounded, how, started)
            row = await bench.row(await bench.result(parent_id))
            of_parent = (await bench.row(parent_id))["deadline"]
            assert row["deadline"] == (None if how == "detached" else of_parent)


async def test_children_end_with_the_timeout_of_their_parent(database: str) -> None:
    @workflow(timeout=BEGUN_BY_THEN_S)
    async def parent() -> None:
        await (await start(forever)).result()

    async with engine_on(database, parent, forever) as bench:
        workflow_id = await bench.start(parent)
        for each in (workflow_id, f"{workflow_id}/1"):
            assert (await bench.failure(each))["code"] == "workflow_timeout"


async def test_a_parameter_named_detached_is_the_childs(database: str) -> None:
    @workflow
    async def named(detached: bool) -> bool:
        return detached

    @workflow
    async def parent() -> bool:
        return await (await start(named, detached=True)).result()

    async with engine_on(database, parent, named) as bench:
        assert await bench.run(parent) is True
