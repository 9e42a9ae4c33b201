"""Messages: received in order and once, whatever happens between their arrival and their record."""

from __future__ import annotations

import asyncio
import json
from contextvars import Context
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Json

from outlast import (
    InvalidInput,
    KeyReused,
    NotSerializable,
    UsageError,
    WorkflowEnded,
    WorkflowNotFound,
    WorkflowTimeout,
    receive,
    send,
    sleep,
    start,
    step,
    workflow,
)
from outlast.core.observations import ignore
from outlast.core.records import Arrivals, Message
from outlast.engine.execution.calls import PendingCall
from outlast.engine.operations import leaving
from outlast.engine.waits.messages import Delivery, Inbox
from outlast.sdk.operations import Receive
from outlast.testing.statements.messages import MessageStatements
from tests.engine.harness import Bench, engine_on, pass_time
from tests.engine.memory import Memory

LONG_S = 3600.0


async def sql(
    bench: Bench, workflow_id: str, message: Any, topic: str | None = None, key: str | None = None
) -> int:
    """Send as a user does in SQL: no instance is told."""
    if isinstance(bench.url, Memory):
        return MessageStatements(bench.url.database).send(workflow_id, json.dumps(message), topic or "", key)
    query = "select outlast.send(%s, %s::json, %s, %s) as id"
    (row,) = await bench.rows(query, workflow_id, Json(message), topic, key)
    return int(row["id"])


async def consumed(bench: Bench, workflow_id: str) -> list[int]:
    """The ids of the messages that records name."""
    outputs = [each["output"] for each in await bench.steps(workflow_id) if each["attempts"] == 0]
    return [each["message_id"] for each in outputs if isinstance(each, dict)]


@step
async def say(text: str) -> str:
    return text


@workflow
async def three() -> list[Any]:
    return [await receive(), await receive(), await receive()]


# --- order, topics, values ---------------------------------------------------------------------------------


async def test_messages_come_in_the_order_sent_each_once(database: str) -> None:
    async with engine_on(database, three) as bench:
        workflow_id = await bench.start(three)
        ids = [await sql(bench, workflow_id, number) for number in range(3)]
        assert await bench.result(workflow_id) == [0, 1, 2]
        assert await consumed(bench, workflow_id) == ids


async def test_each_topic_has_an_order_of_its_own(database: str) -> None:
    @workflow
    async def flow() -> list[Any]:
        return [await receive("b"), await receive("a"), await receive(), await receive("b")]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        for topic, message in (("a", "a1"), (None, "1"), ("b", "b1"), ("a", "a2"), ("b", "b2")):
            await sql(bench, workflow_id, message, topic)
        assert await bench.result(workflow_id) == ["b1", "a1", "1", "b2"]
        names = [each["name"] for each in await bench.steps(workflow_id)]
        assert names == ["receive b", "receive a", "receive", "receive b"]


@pytest.mark.parametrize(
    "message", [None, True, 0, 1.5, "", 'é\n"}', [], {}, {"message": {"message_id": 7}}, [[1], {"a": None}]]
)
async def test_any_json_comes_as_it_was_sent(database: str, message: Any) -> None:
    @workflow
    async def flow() -> Any:
        return await receive()

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await sql(bench, workflow_id, message)
        assert await bench.result(workflow_id) == message


async def test_a_message_is_read_as_the_type_asked_for_or_refused_for_good(database: str) -> None:
    @dataclass
    class Order:
        sku: str
        quantity: int

    @workflow
    async def flow() -> list[Any]:
        seen: list[Any] = []
        for _ in range(3):
            try:
                order = await receive("orders", of=Order)
                assert isinstance(order, Order)
                seen.append([order.sku, order.quantity])
            except InvalidInput as error:
                seen.append(error.errors[0]["loc"][0])
        await receive("go")
        return seen

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        for message in (
            {"sku": "a", "quantity": 1},
            {"sku": "b", "quantity": "x"},
            {"sku": "c", "quantity": 3},
        ):
            await sql(bench, workflow_id, message, "orders")
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, None, "go")  # replayed, it sees the same
        assert await bench.result(workflow_id) == [["a", 1], "quantity", ["c", 3]]


@pytest.mark.postgres
async def test_a_message_that_nobody_can_read_is_received_all_the_same(database: str) -> None:
    @workflow
    async def flow() -> list[Any]:
        try:
            await receive()
        except InvalidInput as error:
            return ["can't be read" in str(error), await receive()]
        return []

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        deep = "[" * 300 + "]" * 300  # more than JSON is read again to
        await bench.rows("select outlast.send(%s, %s::json)", workflow_id, deep)
        await sql(bench, workflow_id, "next")
        assert await bench.result(workflow_id) == [True, "next"]


async def test_a_def_workflow_receives_and_sends(database: str) -> None:
    @workflow
    def echo(to: str) -> Any:
        message = receive("in", timeout=LONG_S)
        send(to, [message], "out")  # type: ignore[unused-awaitable]
        return receive("in", timeout=0, default="nothing")

    @workflow
    async def hears() -> Any:
        return await receive("out")

    async with engine_on(database, echo, hears) as bench:
        ear = await bench.start(hears)
        mouth = await bench.start(echo, ear)
        await bench.suspended(mouth)
        await sql(bench, mouth, "hello", "in")
        assert await bench.result(mouth) == "nothing"
        assert await bench.result(ear) == ["hello"]


# --- waiting and waking ------------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["sql", "engine", "another engine"])
async def test_a_suspended_receiver_is_woken(database: str, how: str) -> None:
    async with engine_on(database, three) as bench, engine_on(database) as other:
        workflow_id = await bench.start(three)
        for number in range(3):
            row = await bench.suspended(workflow_id)
            assert row["awaits"] == {"mail": number, "topics": [""]}
            assert bench.engine.running == 0
            if how == "sql":
                await sql(bench, workflow_id, number)
            else:
                sender = bench if how == "engine" else other
                await sender.engine.host.send(workflow_id, str(number), "", None)
            if number < 2:
                await bench.until(partial(_received, bench, workflow_id, number + 1))
        assert await bench.result(workflow_id) == [0, 1, 2]
        assert (await bench.row(workflow_id))["recovery_attempts"] == 0


async def _received(bench: Bench, workflow_id: str, count: int) -> bool:
    return len(await consumed(bench, workflow_id)) == count


async def test_another_topics_message_wakes_nobody(database: str) -> None:
    lives: list[str] = []

    @workflow
    async def flow() -> Any:
        lives.append("life")
        return await receive("b")

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, "for a", "a")
        await bench.until(lambda: _delivered(bench, workflow_id))
        row = await bench.suspended(workflow_id)
        assert (row["mail"], row["epoch"]) == (1, 1)
        await sql(bench, workflow_id, "for b", "b")
        assert await bench.result(workflow_id) == "for b"
        assert lives == ["life"] * 2


async def _delivered(bench: Bench, workflow_id: str) -> bool:
    if isinstance(bench.url, Memory):
        letters = bench.url.database.letters
        return all(each.number is not None for each in letters if each.workflow_id == workflow_id)
    query = "select 1 from outlast.messages where workflow_id = %s and number is null"
    return not await bench.rows(query, workflow_id)


async def test_a_message_sent_before_it_is_waited_for_is_there(database: str) -> None:
    opened = asyncio.Event()

    @step
    async def held() -> None:
        await opened.wait()

    @workflow
    async def flow() -> Any:
        await held()
        return await receive(timeout=0)

    async with engine_on(database, flow, tick_s=1_000.0) as bench:
        workflow_id = await bench.start(flow)
        await sql(bench, workflow_id, "early")
        opened.set()
        assert await bench.result(workflow_id) == "early"


async def test_a_sleeper_is_not_woken_by_messages(database: str) -> None:
    @workflow
    async def flow() -> Any:
        await sleep(LONG_S)
        return await receive()

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, "early")
        await bench.until(lambda: _delivered(bench, workflow_id))
        row = await bench.suspended(workflow_id)
        assert row["epoch"] == 1
        await pass_time(bench, workflow_id, LONG_S)
        assert await bench.result(workflow_id) == "early"


@pytest.mark.postgres
async def test_a_transaction_sends_when_it_commits_and_blocks_nobody_before(database: str) -> None:
    @workflow
    async def flow() -> list[Any]:
        return [await receive(), await say("between"), await receive()]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        async with await psycopg.AsyncConnection.connect(database) as late:
            await late.execute("select outlast.send(%s, '\"late\"')", (workflow_id,))
            await sql(bench, workflow_id, "soon")
            # Sent later, committed first. The open transaction holds up neither its receiver nor the journal.
            await bench.until(lambda: _received(bench, workflow_id, 1))
            await bench.suspended(workflow_id)
            await late.commit()
        assert await bench.result(workflow_id) == ["soon", "between", "late"]


@pytest.mark.postgres
async def test_what_is_rolled_back_was_never_sent(database: str) -> None:
    @workflow
    async def flow() -> Any:
        return await receive(timeout=0.3, default="nothing")

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await connection.execute("select outlast.send(%s, '1')", (workflow_id,))
            await connection.rollback()
        assert await bench.result(workflow_id) == "nothing"
        assert await bench.rows("select 1 from outlast.messages") == []


# --- timeouts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, -1, 0.01, timedelta(milliseconds=300)])
async def test_without_a_message_it_times_out_and_the_same_on_replay(database: str, timeout: Any) -> None:
    @workflow
    async def flow() -> list[Any]:
        seen: list[Any] = []
        try:
            await receive("t", timeout=timeout)
        except TimeoutError as error:
            seen.append("topic 't'" in str(error))
        seen.append(await receive("t", timeout=timeout, default=None))
        return [*seen, await receive("t")]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, "late", "t")
        assert await bench.result(workflow_id) == [True, None, "late"]


async def test_a_suspended_receive_times_out_when_its_time_is_over(database: str) -> None:
    @workflow
    async def flow() -> Any:
        return await receive(timeout=LONG_S, default="nothing")

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        row = await bench.suspended(workflow_id)
        assert timedelta(minutes=59) < row["claimable_at"] - row["created_at"] < timedelta(minutes=61)
        await pass_time(bench, workflow_id, LONG_S)
        assert await bench.result(workflow_id) == "nothing"


async def test_a_message_that_came_in_time_counts_though_its_receiver_wakes_late(database: str) -> None:
    @workflow
    async def flow() -> Any:
        return await receive(timeout=LONG_S, default="nothing")

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        await bench.abandon()
        await sql(bench, workflow_id, "in time")
        await pass_time(bench, workflow_id, 2 * LONG_S)
    async with engine_on(database, flow) as bench:
        assert await bench.result(workflow_id) == "in time"


@pytest.mark.postgres
async def test_a_deadline_comes_before_the_message(database: str) -> None:
    @workflow(timeout=timedelta(minutes=10))
    async def flow() -> None:
        await receive()

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        row = await bench.suspended(workflow_id)
        assert row["claimable_at"] == row["deadline"]
        await bench.rows(
            "update outlast.workflow_status set deadline = now() - interval '1 s', claimable_at = now()"
            " where workflow_id = %s",
            workflow_id,
        )
        with pytest.raises(WorkflowTimeout):
            await bench.result(workflow_id)


# --- crashes -----------------------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("received", range(4))
async def test_a_crash_loses_and_doubles_no_message(database: str, received: int) -> None:
    """Cut after each number of records: what they name was received, the rest is still to come."""

    @workflow
    async def flow() -> list[Any]:
        seen: list[Any] = []
        for number in range(3):
            seen.append(await receive("a" if number == 1 else None))
            seen.append(await say(f"got {seen[-1]}"))
        return seen

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        for number in range(3):
            await sql(bench, workflow_id, number, "a" if number == 1 else None)
        assert await bench.result(workflow_id) == [0, "got 0", 1, "got 1", 2, "got 2"]
        before = await consumed(bench, workflow_id)
        await bench.rows(
            "delete from outlast.operation_outputs where workflow_id = %s and completion_order > %s",
            workflow_id,
            2 * received,
        )
        await bench.rows(
            "update outlast.workflow_status set status = 'PENDING', output = null, completed_at = null,"
            " claimable_at = now() where workflow_id = %s",
            workflow_id,
        )
        assert await bench.result(workflow_id) == [0, "got 0", 1, "got 1", 2, "got 2"]
        assert await consumed(bench, workflow_id) == before


async def test_a_receiver_that_crashes_in_memory_goes_on_elsewhere(database: str) -> None:
    async with engine_on(database, three, moment_s=30.0) as bench:
        workflow_id = await bench.start(three)
        await sql(bench, workflow_id, 0)
        await bench.until(lambda: _received(bench, workflow_id, 1))
        await bench.abandon()
        await sql(bench, workflow_id, 1)
    async with engine_on(database, three) as bench:
        await sql(bench, workflow_id, 2)
        assert await bench.result(workflow_id) == [0, 1, 2]


async def test_a_drained_receiver_goes_on_elsewhere(database: str) -> None:
    async with engine_on(database, three, moment_s=30.0) as bench:
        workflow_id = await bench.start(three)
        await bench.until(lambda: bench.engine._delivery._watched)
    async with engine_on(database, three) as bench:
        for number in range(3):
            await sql(bench, workflow_id, number)
        assert await bench.result(workflow_id) == [0, 1, 2]
        assert (await bench.row(workflow_id))["recovery_attempts"] == 0


# --- branches ----------------------------------------------------------------------------------------------


async def test_receives_in_branches_get_one_message_each_and_the_same_on_replay(database: str) -> None:
    lives: list[list[Any]] = []

    @workflow
    async def flow() -> list[Any]:
        found = list(await asyncio.gather(*(receive("a") for _ in range(3)), receive("b")))
        lives.append(found)
        return [*found, await receive("end")]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        for number in range(3):
            await sql(bench, workflow_id, number, "a")
        await sql(bench, workflow_id, "b", "b")
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, "end", "end")
        *found, last = await bench.result(workflow_id)
        assert last == "end"
        assert sorted(found[:3]) == [0, 1, 2]
        assert lives == [found, found]


async def test_branches_that_all_wait_suspend_and_any_message_wakes_them(database: str) -> None:
    @workflow
    async def flow() -> list[Any]:
        seen: list[Any] = []

        async def branch(topic: str) -> None:
            seen.append(await receive(topic))
            await say(topic)

        await asyncio.gather(branch("a"), branch("b"), sleep(LONG_S))
        return seen

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        row = await bench.suspended(workflow_id)
        assert row["awaits"] == {"mail": 0, "topics": ["a", "b"]}
        assert row["claimable_at"] - row["created_at"] < timedelta(minutes=61)
        await sql(bench, workflow_id, 1, "b")
        await bench.until(lambda: _received(bench, workflow_id, 1))
        row = await bench.suspended(workflow_id)
        assert row["awaits"]["topics"] == ["a"]
        await sql(bench, workflow_id, 2, "a")
        await bench.until(lambda: _received(bench, workflow_id, 2))
        row = await bench.suspended(workflow_id)
        assert row["awaits"] is None
        await pass_time(bench, workflow_id, LONG_S)
        assert await bench.result(workflow_id) == [1, 2]


async def test_a_receive_beside_a_step_stays_in_memory_and_keeps_its_time(database: str) -> None:
    opened = asyncio.Event()

    @step
    async def held() -> str:
        await opened.wait()
        return "held"

    @workflow
    async def flow() -> list[Any]:
        return list(await asyncio.gather(receive(timeout=LONG_S), held()))

    async with engine_on(database, flow, moment_s=0.05) as bench:
        workflow_id = await bench.start(flow)

        async def waiting() -> list[Any]:
            return [each for each in await bench.steps(workflow_id) if each["completion_order"] is None]

        (wait,) = await bench.until(waiting)
        assert (wait["name"], wait["attempts"]) == ("receive", 0)
        await sql(bench, workflow_id, "message")
        await bench.until(lambda: _received(bench, workflow_id, 1))
        assert bench.live
        opened.set()
        assert await bench.result(workflow_id) == ["message", "held"]


@pytest.mark.parametrize("after_a_moment", [False, True])
async def test_a_cancelled_receive_loses_no_message(database: str, after_a_moment: bool) -> None:
    @workflow
    async def flow() -> list[Any]:
        waiting = asyncio.create_task(receive("a"))
        if after_a_moment:
            await receive("go")
        else:
            await say("x")
        waiting.cancel()
        try:
            first = await waiting
        except asyncio.CancelledError:
            first = "cancelled"
        return [first, await receive("a"), await receive("end")]

    async with engine_on(database, flow, moment_s=0.1) as bench:
        workflow_id = await bench.start(flow)
        if after_a_moment:
            await bench.suspended(workflow_id)
            await sql(bench, workflow_id, None, "go")
            await bench.until(lambda: _received(bench, workflow_id, 1))
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, "message", "a")
        await bench.until(lambda: _received(bench, workflow_id, 1 + after_a_moment))
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, "end", "end")
        assert await bench.result(workflow_id) == ["cancelled", "message", "end"]


async def test_a_race_of_a_message_and_a_sleep_is_decided_once(database: str) -> None:
    @workflow
    async def flow() -> list[Any]:
        async def remind() -> None:
            await sleep(LONG_S)

        message, timer = asyncio.create_task(receive("a")), asyncio.create_task(remind())
        done, _ = await asyncio.wait({message, timer}, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        return ["message" if message in done else "timer", await receive("end")]

    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, "now", "a")
        await bench.until(lambda: _received(bench, workflow_id, 1))
        await bench.suspended(workflow_id)
        await sql(bench, workflow_id, "end", "end")
        assert await bench.result(workflow_id) == ["message", "end"]


async def test_many_messages_to_many_receivers(database: str) -> None:
    count, receivers = 60, 8

    @workflow
    async def hears() -> list[Any]:
        return [await receive() for _ in range(count)]

    async with engine_on(database, hears) as bench, engine_on(database, hears) as other:
        ids = [await (bench if number % 2 else other).start(hears) for number in range(receivers)]

        async def talk(workflow_id: str, sender: Bench) -> None:
            for number in range(count):
                if number % 3:
                    await sender.engine.host.send(workflow_id, str(number), "", None)
                else:
                    await sql(sender, workflow_id, number)

        await asyncio.gather(*(talk(each, bench if number % 3 else other) for number, each in enumerate(ids)))
        for each in ids:
            assert await bench.result(each) == list(range(count))


# --- sending -----------------------------------------------------------------------------------------------


@pytest.mark.postgres
async def test_a_workflow_sends_once_though_it_crashes_before_the_record(database: str) -> None:
    @workflow
    async def hears() -> list[Any]:
        return [await receive(timeout=LONG_S), await receive(timeout=0.3, default="nothing")]

    @workflow
    async def speaks(to: str) -> int:
        return await send(to, "hello")

    async with engine_on(database, hears, speaks) as bench:
        ear = await bench.start(hears)
        mouth = await bench.start(speaks, ear)
        message_id = await bench.result(mouth)
        await bench.rows("delete from outlast.operation_outputs where workflow_id = %s", mouth)
        await bench.rows(
            "update outlast.workflow_status set status = 'PENDING', claimable_at = now()"
            " where workflow_id = %s",
            mouth,
        )
        assert await bench.result(mouth) == message_id
        assert await bench.result(ear) == ["hello", "nothing"]


async def test_children_and_parents_talk(database: str) -> None:
    @workflow
    async def child(parent: str) -> str:
        await send(parent, {"ready": True}, "child")
        return f"told {await receive()}"

    @workflow
    async def parent(own_id: str) -> Any:
        handle = await start(child, own_id)
        assert await receive("child") == {"ready": True}
        await send(handle, "go")
        return await handle.result()

    async with engine_on(database, child, parent) as bench:
        workflow_id = await bench.start(parent, "parent-1", workflow_id="parent-1")
        assert await bench.result(workflow_id) == "told go"


async def test_steps_send_too(database: str) -> None:
    @step
    async def tells(to: str) -> int:
        return await send(to, 1)

    @step
    def tells_from_a_thread(to: str) -> None:
        send(to, 2, idempotency_key="once")  # type: ignore[unused-awaitable]
        send(to, 2, idempotency_key="once")  # type: ignore[unused-awaitable]

    @workflow
    async def flow(own_id: str) -> list[Any]:
        await tells(own_id)
        await tells_from_a_thread.aio(own_id)
        return [await receive(), await receive(), await receive(timeout=0.2, default=None)]

    async with engine_on(database, flow) as bench:
        assert await bench.result(await bench.start(flow, "f-1", workflow_id="f-1")) == [1, 2, None]


@pytest.mark.postgres
async def test_sending_to_nobody_to_an_ended_one_and_with_a_reused_key(database: str) -> None:
    @workflow
    async def ended() -> None: ...

    @workflow
    async def flow(to: str) -> list[str]:
        seen = []
        for target in ("nobody", to):
            try:
                await send(target, 1)
            except (WorkflowNotFound, WorkflowEnded) as error:
                seen.append(type(error).__name__)
        return seen

    async with engine_on(database, ended, flow, three) as bench:
        over = await bench.start(ended)
        await bench.result(over)
        assert await bench.run(flow, over) == ["WorkflowNotFound", "WorkflowEnded"]
        alive = await bench.start(three)
        first = await bench.engine.host.send(alive, '{"a": 1, "b": 2}', "t", "k")
        assert await bench.engine.host.send(alive, '{"b":2,"a":1}', "t", "k") == first
        for body, topic in (('{"a":2}', "t"), ('{"a": 1, "b": 2}', "")):
            with pytest.raises(KeyReused):
                await bench.engine.host.send(alive, body, topic, "k")
        await bench.engine.cancel(alive)
        assert await bench.engine.host.send(alive, '{"a": 1, "b": 2}', "t", "k") == first
        with pytest.raises(WorkflowEnded, match="CANCELLED"):
            await bench.engine.host.send(alive, "1", "", "other")


@pytest.mark.postgres
@pytest.mark.parametrize("body", ['"\\u0000"', '"\\ud800"', "{", "", "1 2"])
async def test_what_postgres_cannot_hold_is_refused(database: str, body: str) -> None:
    async with engine_on(database, three) as bench:
        workflow_id = await bench.start(three)
        with pytest.raises(NotSerializable):
            await bench.engine.host.send(workflow_id, body, "", None)


async def test_what_cannot_be_sent_or_received_is_refused(database: str) -> None:
    @step
    async def receives() -> str:
        try:
            receive()
        except UsageError as error:
            return str(error)
        return "received"

    @workflow
    async def flow(own_id: str) -> list[str]:
        seen = [await receives()]
        for call in (
            lambda: receive(""),
            lambda: receive("x" * 256),
            lambda: receive("\0"),
            lambda: receive(7),  # type: ignore[arg-type]
            lambda: receive(timeout="1"),  # type: ignore[arg-type]
            lambda: receive(of=object()),
            lambda: send(own_id, object()),
            lambda: send(own_id, {"a": {1}}),
            lambda: send(7, 1),  # type: ignore[arg-type]
            lambda: send(own_id, 1, ""),
            lambda: send(own_id, 1, idempotency_key=""),
        ):
            try:
                await call()
            except Exception as error:
                seen.append(type(error).__name__)
        return seen

    async with engine_on(database, flow) as bench:
        first, *others = await bench.result(await bench.start(flow, "f-1", workflow_id="f-1"))
        assert "a workflow's body" in first
        assert others[:6] == ["UsageError"] * 6
        assert others[6:] == ["NotSerializable", "NotSerializable", "UsageError", "UsageError", "InvalidKey"]
    with pytest.raises(UsageError, match="handler"):
        send("x", 1)  # type: ignore[unused-awaitable]


# --- delivery ----------------------------------------------------------------------------------------------


async def test_nobody_leaves_with_a_message_in_the_box() -> None:
    """Nor before every receive has looked: the row would wait for messages that came already."""
    inboxes = {topic: Inbox("w", topic, 0) for topic in "ab"}
    execution: Any = SimpleNamespace(inboxes=inboxes)
    nobody: Any = None
    calls = [PendingCall(topic, Receive(topic, None), nobody, Context(), None, None) for topic in "ab"]

    def all_have_looked() -> bool:
        return all(leaving.has_looked(execution, each) for each in calls)

    inboxes["a"].put(Arrivals(0, []))
    assert not all_have_looked()
    inboxes["b"].put(Arrivals(0, []))
    assert all_have_looked()
    inboxes["b"].put(Arrivals(1, [Message(7, 1, "null")]))
    assert not all_have_looked()
    inboxes["b"].take()
    assert all_have_looked()


class Held:
    """The store of messages, whose deliveries the test lets go on."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.begun, self.gate, self.deliveries = asyncio.Event(), asyncio.Event(), 0

    async def deliver(self) -> Any:
        self.deliveries += 1
        self.begun.set()
        await self.gate.wait()
        return await self._store.deliver()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_look_begins_after_who_asks_for_it(database: str) -> None:
    async with engine_on(database) as bench:
        held = Held(bench.store.messages)
        delivery = Delivery(held, lambda: None, ignore)
        delivery.loop.open()
        first = asyncio.create_task(delivery.look())
        await asyncio.wait_for(held.begun.wait(), 20)
        second = asyncio.create_task(delivery.look())
        await asyncio.sleep(0)  # it has asked
        held.gate.set()
        await asyncio.wait_for(asyncio.gather(first, second), 20)
        assert held.deliveries == 2
        await delivery.loop.close()


async def test_a_message_that_was_taken_keeps_its_workflow_in_memory(database: str) -> None:
    """Between the record of a receive and its hand-over the moment of leaving may come."""

    @workflow
    async def flow() -> Any:
        return await receive()

    async with engine_on(database, flow, moment_s=0.5) as bench:
        workflow_id = await bench.start(flow)
        await bench.until(lambda: workflow_id in bench.live and bench.live[workflow_id].leave_timer)
        execution = bench.live[workflow_id]
        execution._scheduled = True  # its body's turn is held up
        await bench.engine.host.send(workflow_id, '"come"', "", None)
        await bench.until(lambda: execution.recording.completions.places)
        await asyncio.sleep(0.7)  # past the moment
        assert execution.stopped is None
        execution._scheduled = False
        execution.schedule()
        assert await bench.result(workflow_id) == "come"
