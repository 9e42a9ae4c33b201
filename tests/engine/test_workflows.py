"""Whole workflows: timeouts, cancelling, changed code, children, context, and the request on recovery."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from outlast import (
    Request,
    UsageError,
    WorkflowCancelled,
    WorkflowHandle,
    WorkflowTimeout,
    context,
    sleep,
    start,
    start_once,
    step,
    workflow,
)
from outlast.core.errors import InvalidKey, KeyReused
from outlast.core.records import NewWorkflow
from outlast.sdk.http import Headers
from outlast.sdk.running import enter_host
from outlast.sdk.workflows import Workflow
from tests.engine.harness import BEGUN_BY_THEN_S, engine_on


class Receipt(BaseModel):
    cents: int


@step
async def say(text: str) -> str:
    return text


@step
async def stuck() -> None:
    await asyncio.Event().wait()


class Held:
    """A step that waits for the test."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.ran = 0


held_now: Held


@pytest.fixture(autouse=True)
def _held() -> None:
    global held_now
    held_now = Held()


@step
async def held() -> str:
    held_now.ran += 1
    held_now.reached.set()
    await held_now.opened.wait()
    return "held"


async def crash_when_held(database: str, *workflows: Workflow[..., Any], args: tuple[Any, ...] = ()) -> str:
    """Start the first of `workflows`, crash when it has reached `held`; its id."""
    async with engine_on(database, *workflows) as bench:
        workflow_id = await bench.start(workflows[0], *args)
        await bench.until(held_now.reached.is_set)
        await bench.abandon()
    held_now.opened.set()
    return workflow_id


# --- deadlines and cancelling -----------------------------------------------------------------------------


async def test_a_timeout_ends_body_steps_and_tasks(database: str) -> None:
    cleaned: list[str] = []

    @workflow(timeout=BEGUN_BY_THEN_S)
    async def flow() -> None:
        try:
            await asyncio.gather(stuck(), stuck(), asyncio.Event().wait())
        finally:
            cleaned.append("body")

    async with engine_on(database, flow) as bench:
        with pytest.raises(WorkflowTimeout):
            await bench.run(flow)
        assert cleaned == ["body"]


@pytest.mark.postgres
async def test_a_deadline_that_passed_while_nobody_ran_it_ends_it_at_recovery(database: str) -> None:
    @workflow(timeout=3600)
    async def flow() -> str:
        return await held()

    workflow_id = await crash_when_held(database, flow)
    async with engine_on(database) as bench:
        await bench.rows("update outlast.workflow_status set deadline = now() - interval '1 s'")
    async with engine_on(database, flow) as bench:
        with pytest.raises(WorkflowTimeout):
            await bench.result(workflow_id)
        assert held_now.ran == 1


async def test_cancelling_ends_what_runs_sleeps_or_is_suspended_and_nothing_that_ended(database: str) -> None:
    cancelled: list[str] = []

    @workflow
    async def flow(kind: str) -> str:
        try:
            if kind == "runs":
                await held()
            elif kind == "sleeps":
                await asyncio.gather(sleep(3600), held())
            elif kind == "suspended":
                await sleep(3600)
            return "done"
        except BaseException as error:
            cancelled.append(type(error).__name__)
            raise

    workflow_id = ""
    async with engine_on(database, flow) as bench:
        for kind in ("runs", "sleeps", "suspended"):
            held_now.reached.clear()
            workflow_id = await bench.start(flow, kind)
            if kind == "suspended":
                await bench.suspended(workflow_id)
            else:
                await bench.until(held_now.reached.is_set)
            assert await bench.engine.cancel(workflow_id)
            with pytest.raises(WorkflowCancelled):
                await bench.result(workflow_id)
            assert not await bench.engine.cancel(workflow_id)
            row = await bench.row(workflow_id)
            assert (row["status"], row["owner"], row["claimable_at"]) == ("CANCELLED", None, None)
            await bench.until(lambda: bench.engine.running == 0)
        ended = await bench.start(flow, "ends")
        assert await bench.result(ended) == "done"
        assert not await bench.engine.cancel(ended)
        assert not await bench.engine.cancel("nobody:1")
        assert [r["name"] for r in await bench.steps(workflow_id)] == ["sleep"]


# --- changed code -----------------------------------------------------------------------------------------


@step
async def charge() -> str:
    return "charged"


@step
async def ship() -> str:
    return "shipped"


async def _as_recorded() -> list[str]:
    return [await charge(), await ship(), await held()]


async def _other_name() -> list[str]:
    return [await ship(), await ship(), await held()]


async def _removed() -> list[str]:
    return [await charge()]


async def _reordered() -> list[str]:
    return [await ship(), await charge(), await held()]


async def _raises() -> list[str]:
    raise ValueError("before anything")


async def _catches() -> list[str]:
    try:
        return await _reordered()
    except BaseException:
        return ["caught"]


async def _in_a_task() -> list[str]:
    return list(await asyncio.gather(charge(), ship()))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (_other_name, ["'charge'", "'ship'"]),
        (_removed, ["'held'", "'ship'"]),
        (_reordered, ["'charge'", "'ship'"]),
        (_raises, ["'charge'"]),
        (_catches, ["'charge'", "'ship'"]),
        (_in_a_task, ["'charge'"]),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
async def test_changed_code_stops_with_both_steps_named(
    database: str, changed: Callable[[], Any], named: list[str]
) -> None:
    bodies = {"now": _as_recorded}

    @workflow
    async def flow() -> list[str]:
        return await bodies["now"]()

    @workflow
    async def other() -> str:
        return await say("unharmed")

    workflow_id = await crash_when_held(database, flow)
    bodies["now"] = changed
    async with engine_on(database, flow, other) as bench:
        held = await bench.held(workflow_id)
        assert held["reason"] == "non_determinism"
        assert any(each in held["message"] for each in named), held["message"]
        assert held["at"].startswith("tests/engine/test_workflows.py:")
        assert "patched(" in held["remedy"]
        assert (await bench.row(workflow_id))["status"] == "PENDING"
        assert await bench.run(other) == "unharmed"


async def test_a_recorded_output_that_no_longer_fits_stops_the_workflow(database: str) -> None:
    annotations: list[Any] = [str, int]

    def flows() -> Workflow[..., Any]:
        annotation = annotations.pop(0)

        async def gives() -> Any:
            return "text"

        gives.__annotations__["return"] = annotation
        given = step(gives)

        @workflow
        async def flow() -> list[Any]:
            return [await given(), await held()]

        return flow

    workflow_id = await crash_when_held(database, flows())
    async with engine_on(database, flows()) as bench:
        hold = await bench.held(workflow_id)
        assert hold["reason"] == "output_mismatch"
        assert "no longer fits its annotation" in hold["message"]


wrong: dict[str, Exception] = {}


def check(value: int) -> int:
    if wrong:
        raise wrong["now"]
    return value


@workflow
async def checked(value: Annotated[int, AfterValidator(check)]) -> list[Any]:
    return [await say("a"), await held()]


@pytest.mark.parametrize(
    "error", [LookupError("no such customer"), ValueError("none"), LookupError("\ud800")], ids=ascii
)
async def test_a_recorded_input_that_no_longer_fits_stops_the_workflow(
    database: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever says so: pydantic lets pass what a validator raises that is no ValueError."""
    workflow_id = await crash_when_held(database, checked, args=(1,))
    monkeypatch.setitem(wrong, "now", error)
    async with engine_on(database, checked) as bench:
        hold = await bench.held(workflow_id)
        assert hold["reason"] == "input_mismatch"
        assert "the recorded input no longer fits" in hold["message"]


# --- children ---------------------------------------------------------------------------------------------


@workflow
async def child(cents: int) -> Receipt:
    await say("in the child")
    return Receipt(cents=cents)


@workflow
async def sleeping_child() -> str:
    await sleep(0.5)
    return "child awake"


@pytest.mark.postgres
async def test_a_child_is_started_once_and_waited_for_as_a_step(database: str) -> None:
    @workflow
    async def parent() -> list[Any]:
        handle = await start(child, 5)
        receipt = await handle.result()
        assert isinstance(receipt, Receipt)
        return [handle.workflow_id, receipt.cents, await held()]

    workflow_id = await crash_when_held(database, parent, child)
    async with engine_on(database, parent, child) as bench:
        assert await bench.result(workflow_id) == [f"{workflow_id}/1", 5, "held"]
        rows = await bench.rows(
            "select workflow_id, parent from outlast.workflow_status where function = 'child'"
        )
        assert rows == [{"workflow_id": f"{workflow_id}/1", "parent": workflow_id}]
        assert [r["name"] for r in await bench.steps(workflow_id)] == [
            "start child",
            f"result of {workflow_id}/1",
            "held",
        ]


async def test_an_instance_full_of_parents_has_room_for_their_children(database: str) -> None:
    @workflow
    async def child(number: int) -> int:
        return number * 2

    full = asyncio.Event()

    @step
    async def wait_until_full() -> None:
        await full.wait()

    @workflow
    async def parent(number: int) -> int:
        await wait_until_full()
        return await (await start(child, number)).result()

    async with engine_on(database, parent, child, workflows_max=2) as bench:
        parents = [await bench.start(parent, number) for number in (1, 2)]
        full.set()
        assert [await bench.result(each) for each in parents] == [2, 4]


async def test_children_in_branches_and_a_child_that_fails(database: str) -> None:
    @workflow
    async def fails() -> None:
        raise ValueError("secret")

    @workflow
    async def parent() -> list[Any]:
        async def one(cents: int) -> int:
            return (await (await start(child, cents)).result()).cents

        found = await asyncio.gather(*(one(cents) for cents in range(5)))
        handle = await start(fails)
        try:
            await handle.result()
        except ValueError as error:
            return [*found, str(error)]
        return []

    async with engine_on(database, parent, child, fails) as bench:
        assert await bench.run(parent) == [0, 1, 2, 3, 4, "secret"]


async def test_a_shutdown_while_a_parent_waits_is_no_error_of_the_child(database: str) -> None:
    @workflow
    async def parent() -> str:
        return await (await start(sleeping_child)).result()

    async with engine_on(database, parent, sleeping_child, drain_s=5.0, moment_s=30.0) as bench:
        workflow_id = await bench.start(parent)
        await bench.until(lambda: f"{workflow_id}/1" in bench.live)

        async def waits() -> bool:
            return any(r["name"] == "start sleeping_child" for r in await bench.steps(workflow_id))

        await bench.until(waits)
    async with engine_on(database, parent, sleeping_child) as bench:
        assert await bench.result(workflow_id) == "child awake"
        assert (await bench.row(workflow_id))["recovery_attempts"] == 0


async def test_starting_from_a_handler_and_a_step(database: str) -> None:
    @step
    async def starts() -> str:
        return (await start(child, 7)).workflow_id

    @workflow
    async def flow() -> str:
        return await starts()

    async with engine_on(database, flow, child) as bench:

        async def handler() -> None:
            enter_host(bench.engine.host)
            handle = await start(child, cents=3)
            assert (await handle.result()).cents == 3
            first = await start_once("order-1", child, 4)
            again = await start_once("order-1", child, 4)
            assert first.workflow_id == again.workflow_id == "child:order-1"
            assert (await again.result()).cents == 4
            with pytest.raises(KeyReused):
                await start_once("order-1", child, 5)
            for key in ("", "a" * 256, "é"):
                with pytest.raises(InvalidKey):
                    await start_once(key, child, 5)
            with pytest.raises(UsageError, match="cents"):
                await start(child, wrong=1)  # type: ignore[call-overload]
            with pytest.raises(UsageError, match="not served"):
                await start(_unserved)
            with pytest.raises(UsageError, match="@workflow"):
                await start(say, "x")  # type: ignore[call-overload]

        await asyncio.create_task(handler())
        workflow_id = await bench.run(flow)
        assert workflow_id.startswith("child:")
        assert (await bench.result(workflow_id)) == {"cents": 7}


@workflow
async def _unserved() -> None:
    pass


async def test_start_and_result_outside_a_host_are_refused() -> None:
    with pytest.raises(UsageError):
        await start(child, 1)
    with pytest.raises(UsageError):
        await WorkflowHandle[Any]("child:1").result()


async def test_a_workflow_called_in_python_is_a_part_of_its_caller(database: str) -> None:
    @workflow
    async def flow() -> int:
        return (await child(9)).cents

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == 9
        assert [r["name"] for r in await bench.steps(workflow_id)] == ["say"]


# --- context ----------------------------------------------------------------------------------------------


async def test_context_in_the_body_in_steps_and_after_a_crash(database: str) -> None:
    @step
    async def in_step() -> list[Any]:
        return [context().workflow_id, context().function, context().attempt]

    @workflow
    async def flow() -> list[Any]:
        found = [context().workflow_id, context().function, context().recovery_attempt, await in_step()]
        await held()
        return [*found, await asyncio.create_task(in_step())]

    workflow_id = await crash_when_held(database, flow)
    async with engine_on(database, flow) as bench:
        seen = [workflow_id, "flow", 1]
        assert await bench.result(workflow_id) == [workflow_id, "flow", 1, seen, seen]
    with pytest.raises(UsageError):
        context()


async def test_the_logger_is_silent_while_replaying(database: str, caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    async def flow() -> None:
        context().logger.info("begins")
        await say("a")
        context().logger.info("said")
        await held()
        context().logger.info("goes on")

    caplog.set_level(logging.INFO, "outlast.function")
    workflow_id = await crash_when_held(database, flow)
    async with engine_on(database, flow) as bench:
        await bench.result(workflow_id)
    texts = [record.getMessage() for record in caplog.records]
    # What follows the last record is said again: nobody knows whether it was said before.
    assert [text.split("] ")[1] for text in texts] == ["begins", "said", "said", "goes on"]
    assert all(workflow_id in text for text in texts)


@pytest.mark.postgres
async def test_the_logger_is_silent_before_a_sleep_that_ends_it(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    @workflow
    async def flow() -> None:
        context().logger.info("begins")
        await sleep(3600)
        context().logger.info("awake")

    caplog.set_level(logging.INFO, "outlast.function")
    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        await bench.rows("update outlast.operation_outputs set output = '0'")
        await bench.rows("update outlast.workflow_status set claimable_at = now()")
        await bench.result(workflow_id)
    assert [record.getMessage().split("] ")[1] for record in caplog.records] == ["begins", "awake"]


async def test_the_request_comes_back_without_its_credentials(database: str) -> None:
    @workflow
    async def flow(request: Request) -> list[Any]:
        seen = context().request
        assert seen is not None
        same = [seen.headers.get("user-agent"), seen.headers.get("authorization"), await seen.json()]
        await held()
        return [request.method, request.path, request.query, await request.text(), *same]

    request = Request(
        "POST",
        "/a",
        "b=1",
        Headers([("Authorization", "Bearer secret"), ("Cookie", "s"), ("User-Agent", "7")]),
        b'{"n": 1}',
    )
    new = NewWorkflow("flow:1", "flow", '{"n": 1}', request=request.record(with_body=True), fingerprint="f")
    assert "secret" not in str(new.request)
    async with engine_on(database, flow) as bench:
        await bench.engine.starts.start_new(new, flow.definition, None)
        await bench.until(held_now.reached.is_set)
        await bench.abandon()
    held_now.opened.set()
    async with engine_on(database, flow) as bench:
        assert await bench.result("flow:1") == ["POST", "/a", {"b": "1"}, '{"n": 1}', "7", None, {"n": 1}]
