"""Published events: recorded once, in order, whatever happens between their publishing and their record."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import psycopg
import pytest

from outlast import (
    NotSerializable,
    UsageError,
    context,
    publish,
    receive,
    send,
    sleep,
    step,
    transaction,
    workflow,
)
from outlast.core.events import event_of
from outlast.core.storable import holds_nul
from outlast.engine.operations.publishing import AHEAD_CHARS_MAX, EVENT_CHARS
from tests.engine.harness import Bench, engine_on, pass_time

AHEAD_MAX = AHEAD_CHARS_MAX // EVENT_CHARS


async def events(bench: Bench, workflow_id: str) -> list[tuple[str, Any]]:
    """What a workflow has published, in order."""
    found = [
        (event_of(each["name"], each["kind"]), each["output"]) for each in await bench.steps(workflow_id)
    ]
    return [(event, value) for event, value in found if event is not None]


async def go_back(bench: Bench, workflow_id: str, order: int) -> None:
    """As if the instance had been lost after so many completions."""
    await bench.rows(
        "delete from outlast.operation_outputs where workflow_id = %s and completion_order > %s",
        workflow_id,
        order,
    )
    await bench.rows(
        "update outlast.workflow_status set status = 'PENDING', output = null, completed_at = null,"
        " claimable_at = now() where workflow_id = %s",
        workflow_id,
    )


@step
async def say(text: str) -> str:
    return text


# --- what is recorded --------------------------------------------------------------------------------------


async def test_events_are_recorded_in_order_with_their_values(database: str) -> None:
    @dataclass
    class Progress:
        done: int
        of: int

    @workflow
    async def flow() -> str:
        await publish("progress", {"done": 1, "of": 2})
        await publish("progress", Progress(2, 2))
        await publish("line\nbreak ü")
        return "done"

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "done"
        assert await events(bench, workflow_id) == [
            ("progress", {"done": 1, "of": 2}),
            ("progress", {"done": 2, "of": 2}),
            ("line\nbreak ü", None),
        ]
        steps = await bench.steps(workflow_id)
        assert [(each["step_id"], each["attempts"], each["completion_order"]) for each in steps] == [
            ("1", 0, 1),
            ("2", 0, 2),
            ("3", 0, 3),
        ]


@pytest.mark.parametrize(
    "value", [True, 0, 1.5, "", 'é"\\u0000', [], {"message_id": 1, "number": 2, "message": 3}]
)
async def test_any_json_is_recorded_as_it_was_published(database: str, value: Any) -> None:
    @workflow
    async def flow() -> None:
        await publish("e", value)

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.result(workflow_id)
        assert await events(bench, workflow_id) == [("e", value)]


@dataclass
class Seen:
    """What declares its fields comes back for who names the type."""

    at: datetime


class Colour(Enum):
    RED = "red"


THEN = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [{1, 2}, (1, 2), THEN, THEN.date(), UUID(int=1), Decimal(1), b"x", Colour.RED],
    ids=["set", "tuple", "datetime", "date", "UUID", "Decimal", "bytes", "enum"],
)
async def test_what_would_come_back_as_another_value_is_refused_wherever_it_stands(
    database: str, value: Any
) -> None:
    @workflow
    async def flow() -> list[str]:
        said = []
        for each in (value, [value], {"a": value}):
            try:
                await publish("e", each)
            except NotSerializable as error:
                said.append(str(error))
            try:
                await send(context().workflow_id, each, "t")
            except NotSerializable as error:
                said.append(str(error))
        await publish("e", Seen(THEN))
        return said

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        said = await bench.result(workflow_id)
        assert [each.partition(":")[0] for each in said] == ["the event's value", "the message"] * 3
        assert all("would not come back from JSON the same" in each for each in said)
        assert await events(bench, workflow_id) == [("e", {"at": "2020-01-01T00:00:00Z"})]


async def test_a_def_workflow_publishes(database: str) -> None:
    @workflow
    def flow() -> str:
        for number in range(3):
            publish("n", number)  # type: ignore[unused-awaitable]
        return "done"

    @workflow
    def awaits() -> str:
        async def in_vain() -> None:
            await published

        published = publish("n", 1)
        asyncio.run(in_vain())
        return "done"

    async with engine_on(database, flow, awaits) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "done"
        assert await events(bench, workflow_id) == [("n", 0), ("n", 1), ("n", 2)]
        assert await bench.run(awaits) == "done"


@pytest.mark.postgres
async def test_an_event_has_no_commit_of_its_own(database: str) -> None:
    @workflow
    async def flow() -> None:
        await say("a")
        await publish("e", 1)
        await publish("e", 2)
        await say("b")
        await publish("e", 3)

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.result(workflow_id)
        first, one, two, second, three = [each["nonce"] for each in await bench.steps(workflow_id)]
        # Which one it shares is a race with the journal, on a busy machine.
        assert {one, two} <= {first, second}
        assert three in (second, (await bench.row(workflow_id))["nonce"])


async def test_a_step_of_such_a_name_is_no_event(database: str) -> None:
    @step(name="publish progress")
    async def sly() -> int:
        return 1

    @workflow
    async def flow() -> None:
        await sly()
        await publish("progress", 2)

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.result(workflow_id)
        assert await events(bench, workflow_id) == [("progress", 2)]


# --- replay ------------------------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("recorded", range(6))
async def test_a_crash_loses_and_doubles_no_event(database: str, recorded: int) -> None:
    """Cut after each number of records: the rest is published anew, in the same order."""

    @workflow
    async def flow() -> list[str]:
        said: list[str] = []
        for number in range(2):
            await publish("before", number)
            said.append(await say(f"{number}"))
            await publish("after", said)
        return said

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == ["0", "1"]
        before = await bench.steps(workflow_id)
        await go_back(bench, workflow_id, recorded)
        assert await bench.result(workflow_id) == ["0", "1"]
        after = await bench.steps(workflow_id)
        assert [each["nonce"] for each in after][:recorded] == [each["nonce"] for each in before][:recorded]
        assert await events(bench, workflow_id) == [
            ("before", 0),
            ("after", ["0"]),
            ("before", 1),
            ("after", ["0", "1"]),
        ]


async def test_what_was_published_before_a_suspension_is_published_once(database: str) -> None:
    @workflow
    async def flow() -> Any:
        await publish("asking", {"message_id": 1, "number": 7, "message": "not one"})
        answer = await receive("answer")
        await publish("asked", answer)
        await sleep(3600)
        await publish("slept")
        return answer

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        assert len(await events(bench, workflow_id)) == 1
        await bench.engine.host.send(workflow_id, '"yes"', "answer", None)
        await bench.until(lambda: _count(bench, workflow_id, 2))
        await bench.suspended(workflow_id)
        await pass_time(bench, workflow_id, 3600)
        assert await bench.result(workflow_id) == "yes"
        assert [event for event, _ in await events(bench, workflow_id)] == ["asking", "asked", "slept"]


async def _count(bench: Bench, workflow_id: str, count: int) -> bool:
    return len(await events(bench, workflow_id)) == count


@pytest.mark.postgres
async def test_code_that_publishes_something_else_is_non_determinism(database: str) -> None:
    name = ["one"]

    @workflow
    async def flow() -> None:
        await publish(name[0])
        await say("a")

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.result(workflow_id)
        await go_back(bench, workflow_id, 1)
        name[0] = "two"
        held = await bench.held(workflow_id)
        assert held["recorded"] == {"kind": "publish", "name": "publish one"}
        assert held["called"] == {"kind": "publish", "name": "publish two"}


# --- branches, cancellation, the end -----------------------------------------------------------------------


@pytest.mark.postgres
async def test_events_of_branches_replay_in_their_recorded_order(database: str) -> None:
    lives: list[list[str]] = []

    @workflow
    async def flow() -> list[str]:
        seen: list[str] = []
        lives.append(seen)

        async def branch(name: str) -> None:
            for number in range(3):
                await publish(name, number)
                seen.append(f"{name}{number}")
                seen.append(await say(f"{name}-{number}"))

        await asyncio.gather(branch("a"), branch("b"), branch("c"))
        return seen

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        result = await bench.result(workflow_id)
        published = await events(bench, workflow_id)
        for name in "abc":
            assert [number for event, number in published if event == name] == [0, 1, 2]
        orders = [each["completion_order"] for each in await bench.steps(workflow_id)]
        assert orders == list(range(1, 19))
        await go_back(bench, workflow_id, 18)
        assert await bench.result(workflow_id) == result
        assert await events(bench, workflow_id) == published
        assert lives[0] == lives[1]


@pytest.mark.postgres
async def test_a_body_is_ahead_of_its_journal_by_a_bounded_amount_and_may_give_up_there(
    database: str,
) -> None:
    given_up: list[int] = []
    locked = asyncio.Event()

    @step
    async def until_locked() -> None:
        await locked.wait()

    @workflow
    async def flow() -> int:
        await until_locked()
        number = 0
        try:
            async with asyncio.timeout(0.3):
                for number in range(10 * AHEAD_MAX):
                    await publish("n", number)
        except TimeoutError:
            given_up.append(number)
        await say("late")
        return number

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        async with await psycopg.AsyncConnection.connect(database) as other:
            await other.execute(
                "select from outlast.workflow_status where workflow_id = %s for update", (workflow_id,)
            )
            locked.set()
            await bench.until(lambda: given_up)
            await other.rollback()
        number = await bench.result(workflow_id)
        assert number == given_up[0] == AHEAD_MAX - 1
        records = await bench.steps(workflow_id)
        assert await events(bench, workflow_id) == [("n", each) for each in range(number)]
        await go_back(bench, workflow_id, records[-1]["completion_order"] - 1)
        assert await bench.result(workflow_id) == number
        assert len(await events(bench, workflow_id)) == number


async def test_an_event_that_is_large_is_waited_for(database: str) -> None:
    @workflow
    async def flow() -> None:
        for number in range(3):
            await publish("large", "x" * AHEAD_CHARS_MAX)
            await publish("small", number)

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.result(workflow_id)
        assert len(await events(bench, workflow_id)) == 6


async def test_a_body_that_only_publishes_is_handed_over(database: str) -> None:
    enough = asyncio.Event()

    @workflow
    async def flow() -> int:
        number = 0
        while not enough.is_set():
            await publish("n", number)
            number += 1
            await asyncio.sleep(0.001)
        return number

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(lambda: events(bench, workflow_id))
    async with engine_on(database, flow) as bench:
        before = len(await events(bench, workflow_id))
        await bench.until(lambda: _more(bench, workflow_id, before))
        enough.set()
        await bench.until(lambda: bench._ended(workflow_id))
        published = await events(bench, workflow_id)
        assert published == [("n", number) for number in range(len(published))]
        assert (await bench.row(workflow_id))["recovery_attempts"] == 0


async def _more(bench: Bench, workflow_id: str, than: int) -> bool:
    return len(await events(bench, workflow_id)) > than


@pytest.mark.postgres
async def test_a_superseded_execution_publishes_nothing(database: str) -> None:
    opened = asyncio.Event()

    @step
    async def held() -> None:
        await opened.wait()

    @workflow
    async def flow() -> None:
        await publish("before")
        await held()
        await publish("after")

    async with engine_on(database, flow, tick_s=1_000.0) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(lambda: events(bench, workflow_id))
        await bench.rows("select outlast.cancel(%s)", workflow_id)
        opened.set()
        await bench.until(lambda: workflow_id not in bench.live)
        assert [event for event, _ in await events(bench, workflow_id)] == ["before"]


# --- bad use -----------------------------------------------------------------------------------------------


async def test_outside_a_workflows_body_nothing_is_published(database: str) -> None:
    @step
    async def in_step() -> str:
        with pytest.raises(UsageError, match="a step returns"):
            await publish("e")
        return "refused"

    @step
    def in_def_step() -> str:
        with pytest.raises(UsageError, match="a step returns"):
            publish("e")  # type: ignore[unused-awaitable]
        return "refused"

    @transaction
    async def in_transaction(tx: Any) -> str:
        with pytest.raises(UsageError, match="a step returns"):
            await publish("e")
        return "refused"

    @step
    async def awaits(published: Any) -> str:
        with pytest.raises(UsageError, match="awaited there"):
            await published
        return "refused"

    @workflow
    async def flow() -> list[str]:
        return [await in_step(), await in_def_step.aio(), await in_transaction(), await awaits(publish("e"))]

    with pytest.raises(UsageError, match="workflow's body"):
        await publish("e")
    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == ["refused"] * 4
        assert await events(bench, workflow_id) == []


@pytest.mark.parametrize("name", ["", "x" * 256, "ü" * 128, "a\0b", None, 5, b"x"])
async def test_a_name_that_cannot_be_one_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match="1 to 255 bytes"):
        await publish(name)


@pytest.mark.parametrize("value", [float("nan"), {1: 2}, object(), "a\0b", ["\\\0"], {"\0": 1}])
async def test_a_value_that_cannot_be_recorded_fails_the_call_alone(database: str, value: Any) -> None:
    @workflow
    async def flow() -> str:
        with pytest.raises((NotSerializable, UsageError)):
            await publish("e", value)
        await publish("e", "fine")
        return "went on"

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        assert await bench.result(workflow_id) == "went on"
        assert await events(bench, workflow_id) == [("e", "fine")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\u0000"', True),
        (r'"\\u0000"', False),
        (r'"\\\u0000"', True),
        (r'"\\\\u0000"', False),
        ('"0000"', False),
    ],
)
def test_nul_is_told_from_what_looks_like_it(text: str, expected: bool) -> None:
    assert holds_nul(text) is expected
