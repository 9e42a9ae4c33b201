"""Steps: recorded once, retried as asked, the same live and on replay."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from outlast import NotSerializable, StepFailed, WorkflowFailed, context, step, workflow
from outlast.core.observations import StepRetried
from tests.engine.harness import engine_on

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="of the body")


class Declined(Exception):
    def __init__(self, *, code: str) -> None:
        super().__init__(f"declined: {code}")
        self.code = code
        self.cents = Decimal("1.50")


class Priced(BaseModel):
    price: Decimal


class Abort(BaseException):
    """No Exception, and nothing of Python's own."""


async def test_a_workflow_returns_what_its_steps_return(database: str) -> None:
    @step
    async def double(number: int) -> int:
        return number * 2

    @workflow
    async def quadruple(number: int) -> int:
        return await double(await double(number))

    async with engine_on(database, quadruple) as bench:
        workflow_id = await bench.start(quadruple, 3)
        assert await bench.result(workflow_id) == 12
        assert [(s["step_id"], s["name"], s["output"]) for s in await bench.steps(workflow_id)] == [
            ("1", "double", 6),
            ("2", "double", 12),
        ]


async def test_branches_have_paths_of_their_own(database: str) -> None:
    @step
    async def name(text: str) -> str:
        return text

    @workflow
    async def fan_out() -> list[str]:
        async def two(text: str) -> str:
            return await name(text) + await name(text)

        first = await name("a")
        return [first, *await asyncio.gather(two("b"), name("c"), two("d"))]

    async with engine_on(database, fan_out) as bench:
        workflow_id = await bench.start(fan_out)
        assert await bench.result(workflow_id) == ["a", "bb", "c", "dd"]
        ids = {s["step_id"] for s in await bench.steps(workflow_id)}
        assert ids == {"1", "2.1", "2.2", "3.1", "4.1", "4.2"}


async def test_an_uncaught_exception_is_the_workflows_error(database: str) -> None:
    @workflow
    async def fail() -> None:
        raise ValueError("secret detail")

    async with engine_on(database, fail) as bench:
        with pytest.raises(WorkflowFailed) as caught:
            await bench.run(fail)
        assert "secret" not in str(caught.value)


async def test_a_step_is_tried_as_often_as_asked_and_knows_which_attempt_it_is(database: str) -> None:
    attempts: list[int] = []

    @step(max_attempts=3, backoff=0.001)
    async def flaky() -> str:
        attempts.append(context().attempt)
        if context().attempt < 3:
            raise LookupError("not yet")
        return "there"

    @step
    async def once() -> None:
        attempts.append(context().attempt)
        raise LookupError("no")

    @workflow
    async def flow() -> list[Any]:
        found = await flaky()
        try:
            await once()
        except LookupError:
            return [found, context().attempt]
        return []

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == ["there", 1]
        assert attempts == [1, 2, 3, 1]
        assert [r["attempts"] for r in await bench.steps(workflow_id)] == [3, 1]
        retried = [each.attempt for each in bench.observations if isinstance(each, StepRetried)]
        assert retried == [1, 2]


async def test_retry_on_chooses_by_class_and_by_predicate(database: str) -> None:
    calls: list[str] = []

    @step(max_attempts=5, backoff=0, retry_on=OSError)
    async def by_class(kind: str) -> None:
        calls.append(kind)
        raise FileNotFoundError("gone") if kind == "os" else ValueError("bad")

    @step(max_attempts=5, backoff=0, retry_on=lambda error: "again" in str(error))
    async def by_word(text: str) -> None:
        calls.append(text)
        raise ValueError(text)

    def explodes(_: Exception) -> bool:
        raise RuntimeError("in the predicate")

    @step(max_attempts=5, backoff=0, retry_on=explodes)
    async def by_bomb() -> None:
        calls.append("bomb")
        raise ValueError("first")

    @workflow
    async def flow() -> int:
        for call in (by_class("os"), by_class("value"), by_word("again"), by_word("no"), by_bomb()):
            try:
                await call
            except (OSError, ValueError):
                continue
        return len(calls)

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == 5 + 1 + 5 + 1 + 1


@pytest.mark.postgres
async def test_a_timeout_bounds_each_attempt_and_names_itself(database: str) -> None:
    release = threading.Event()
    tried: list[str] = []

    @step(timeout=0.05, max_attempts=2, backoff=0)
    async def waits() -> None:
        tried.append("async")
        await asyncio.Event().wait()

    @step(timeout=0.05, max_attempts=2, backoff=0)
    def blocks() -> None:
        tried.append("def")
        release.wait(20)

    @step
    async def own() -> None:
        raise TimeoutError("of the bank")

    @workflow
    async def flow() -> list[str]:
        said = []
        for call in (waits(), blocks.aio(), own()):
            try:
                await call
            except TimeoutError as error:
                said.append(str(error))
        return said

    async with engine_on(database, flow) as bench:
        try:
            said = await bench.run(flow)
        finally:
            release.set()
        assert said == [
            f"step {name!r}: the attempt took longer than 0.05 s" for name in ("waits", "blocks")
        ] + ["of the bank"]
        assert sorted(tried) == ["async", "async", "def", "def"]


@step
async def decline() -> None:
    raise Declined(code="stolen")


@step
async def fail_locally() -> None:
    class Local(Exception):
        pass

    raise Local("here")


@step
async def price() -> Priced:
    return Priced(price=Decimal("1.10"))


@step
async def aliased() -> list[list[int]]:
    inner = [1]
    return [inner, inner]


@step
async def wait_for(name: str) -> str:
    reached.set()
    await opened.wait()
    return name


reached: asyncio.Event
opened: asyncio.Event


@workflow
async def looks_at_everything() -> list[Any]:
    seen: list[Any] = []
    try:
        await decline()
    except Declined as error:
        seen += [error.code, str(error), repr(error), type(error.__cause__).__name__]
        seen += [repr(error.cents)]
    try:
        await fail_locally()
    except StepFailed as error:
        seen += [error.step, error.error_type, error.error_message]
    priced = await price()
    seen += [type(priced).__name__, str(priced.price)]
    lists = await aliased()
    lists[0].append(2)
    seen.append(lists)
    views.append(list(seen))
    return [*seen, await wait_for("end")]


views: list[Any]


async def test_a_body_sees_the_same_live_and_on_replay(database: str) -> None:
    global reached, opened, views
    reached, opened, views = asyncio.Event(), asyncio.Event(), []
    async with engine_on(database, looks_at_everything) as bench:
        workflow_id = await bench.start(looks_at_everything)
        await bench.until(reached.is_set)
        await bench.abandon()
    opened.set()
    async with engine_on(database, looks_at_everything) as bench:
        result = await bench.result(workflow_id)
    assert views[0] == views[1]
    assert result == [*views[0], "end"]
    assert views[0][:4] == ["stolen", "declined: stolen", "Declined('declined: stolen')", "RecordedTraceback"]
    assert views[0][4] == "Decimal('1.50')"
    assert views[0][-1] == [[1, 2], [1]]


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(1),
        asyncio.CancelledError(),
        Abort(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_is_raised_ends_no_host(database: str, error: BaseException) -> None:
    @step
    async def in_step() -> None:
        raise error

    @step
    def in_thread() -> None:
        raise error

    @workflow
    async def steps() -> list[str]:
        caught = []
        for call in (in_step(), in_thread.aio()):
            try:
                await call
            except RuntimeError as raised:
                caught.append(str(raised))
        return caught

    @workflow
    async def body() -> None:
        raise error

    @workflow
    async def task() -> None:
        async def inner() -> None:
            raise error

        await asyncio.create_task(inner())

    @workflow
    def thread() -> None:
        raise error

    async with engine_on(database, steps, body, task, thread) as bench:
        said = await bench.run(steps)
        assert [type(error).__name__ in each for each in said] == [True, True]
        for each in (body, task, thread):
            with pytest.raises(WorkflowFailed):
                await bench.run(each)


async def test_what_is_no_json_is_refused_at_the_first_run_and_not_tried_again(database: str) -> None:
    ran: list[str] = []

    @step(max_attempts=5, backoff=0)
    async def returns_a_set() -> Any:
        ran.append("set")
        return {1, 2}

    @step
    async def returns_nan() -> float:
        return float("nan")

    @workflow
    async def flow() -> list[str]:
        said = []
        for call in (returns_a_set(), returns_nan()):
            try:
                await call
            except NotSerializable as error:
                said.append(str(error))
        return said

    async with engine_on(database, flow) as bench:
        said = await bench.run(flow)
        assert ran == ["set"]
        assert "the result of step 'returns_a_set'" in said[0]
        assert "annotate" in said[0]
        assert len(said) == 2


@pytest.mark.parametrize(
    "value",
    ["\0", "\\u0000", 2**70, "x" * 1_000_000, "\U0010ffff", [[[]]] * 100, {"": {}}, '"}', "{NULL}", "\\"],
)
async def test_any_json_is_recorded_as_it_is(database: str, value: Any) -> None:
    @step
    async def echo() -> Any:
        return value

    @workflow
    async def flow() -> Any:
        found = await echo()
        assert found == value
        return found

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == value


async def test_what_a_step_sets_in_context_variables_stays_in_it(database: str) -> None:
    @step
    async def sets() -> str:
        variable.set("of the step")
        await asyncio.sleep(0)
        return variable.get()

    @step
    def sets_in_thread() -> str:
        was = variable.get()
        variable.set("of the thread")
        return was

    @workflow
    async def flow() -> list[str]:
        variable.set("set by the body")
        return [await sets(), variable.get(), await sets_in_thread.aio(), variable.get()]

    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == [
            "of the step",
            "set by the body",
            "set by the body",
            "set by the body",
        ]


async def test_a_step_may_use_all_of_asyncio(database: str) -> None:
    @step
    async def busy() -> list[int]:
        async def one(number: int) -> int:
            await asyncio.sleep(0.001)
            return number

        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(number)) for number in range(5)]
        return [task.result() for task in tasks]

    @step
    async def calls_a_step() -> list[int]:
        return await busy()

    @workflow
    async def flow() -> list[int]:
        return await calls_a_step()

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == [0, 1, 2, 3, 4]
        assert [r["name"] for r in await bench.steps(workflow_id)] == ["calls_a_step"]


async def test_outside_a_workflow_a_step_is_a_plain_call() -> None:
    @step
    async def adds(number: int) -> int:
        return number + 1

    @step
    def adds_def(number: int) -> int:
        return number + 1

    assert await adds(1) == adds_def(1) == 2
