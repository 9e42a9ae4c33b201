"""What the fixture does: time, real I/O, doubles, callers, and what it says of what can't go on."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from outlast import UsageError, WorkflowEnded, context, emit, receive, sleep, start, step, workflow
from outlast.core.places import shown_place
from outlast.testing import Deadlock, Outlast, around
from tests.testing import sound

WEEKS = timedelta(days=14)
HERE = re.escape(shown_place(__file__, 0).removesuffix(":0"))


@workflow
async def asks() -> str:
    return str(await receive("answer", timeout=WEEKS, default="none"))


@workflow
async def whoami() -> Any:
    return context().caller.id, context().caller.role


@step
async def stuck() -> None:
    await asyncio.get_running_loop().create_future()


@workflow
async def never_ends() -> None:
    await stuck()


@step
async def talk(port: int) -> str:
    async with asyncio.timeout(1):  # of virtual time, which stands meanwhile
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"hello\n")
            answer = await reader.readline()
        finally:
            writer.close()
    return answer.decode()


@workflow
async def talks(port: int) -> str:
    await sleep(3600)
    return await talk(port)


class Declined(Exception):
    pass


@step
async def pay() -> str:
    return "paid"


@workflow
async def pays() -> str:
    try:
        return await pay()
    except Declined:
        return "declined"


@workflow
async def nap() -> float:
    await sleep(WEEKS)
    return 1.0


@pytest.mark.parametrize("waited", around(WEEKS))
def test_a_message_just_before_and_just_after_a_timeout(outlast: Outlast, waited: timedelta) -> None:
    run = outlast.start(asks)
    _ = outlast.advance(waited)
    if waited < WEEKS:
        _ = outlast.send(run, "yes", topic="answer")
        assert run.result == "yes"
    else:
        with pytest.raises(WorkflowEnded):
            _ = outlast.send(run, "yes", topic="answer")
        assert run.result == "none"


def test_a_result_before_its_end_says_what_is_waited_for(outlast: Outlast) -> None:
    run = outlast.start(asks)
    with pytest.raises(UsageError, match=r"hasn't ended, it waits for \[Wait\(kind='receive'"):
        assert run.result
    assert run.status == "PENDING"
    assert run.error is None


def test_time_passes_only_when_it_is_asked_to(outlast: Outlast) -> None:
    run = outlast.start(nap)
    began = outlast.now
    assert outlast.now - began < timedelta(seconds=1)
    _ = outlast.advance(days=13, hours=23)
    assert run.status == "PENDING"
    _ = outlast.advance(hours=1)
    assert run.status == "SUCCESS"
    assert run.slept == WEEKS


@step
async def fails_often() -> None:
    raise RuntimeError("as often")


@step
async def tick(number: int) -> int:
    return number


@workflow
async def every_quarter() -> None:
    number = 0
    while True:
        number += await tick(1)
        with suppress(RuntimeError):
            await fails_often()
        await sleep(900)


@pytest.mark.parametrize("spans", [[timedelta(hours=12)], [timedelta(hours=1)] * 12])
def test_who_sleeps_again_and_again_is_woken_each_time(outlast: Outlast, spans: list[timedelta]) -> None:
    run = outlast.start(every_quarter)
    for each in spans:
        _ = outlast.advance(each)
    ticks = [each for each in run.steps if each.name == "tick"]
    assert len(ticks) == 48
    assert run.waiting_on[0].kind == "sleep"


async def test_real_io_waits_while_the_clock_stands(outlast: Outlast) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        await asyncio.sleep(0.2)  # on the test's own loop, which goes on beside the workflow's
        writer.write(line.upper())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        began = outlast.now
        run = await outlast.run(talks, port)
    assert run.result == "HELLO\n"
    assert outlast.now - began < timedelta(hours=1, seconds=2)


async def test_who_gives_up_waiting_for_real_io_leaves_nothing(outlast: Outlast) -> None:
    # It listens and never answers.
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(TimeoutError):
        _ = await asyncio.wait_for(outlast.run(talks, listening.getsockname()[1]), 0.5)


def test_a_step_that_waits_for_nothing_is_told(outlast: Outlast) -> None:
    with pytest.raises(Deadlock, match=rf"step stuck runs at {HERE}:\d+, and what it awaits can't come"):
        _ = outlast.run(never_ends)


def test_for_whom_it_acts(outlast: Outlast) -> None:
    assert outlast.run(whoami).result == [None, "anon"]
    ada = outlast.as_user({"sub": "ada"})
    assert ada.run(whoami).result == ["ada", "authenticated"]


def test_one_key_is_one_workflow(outlast: Outlast) -> None:
    stub = outlast.stub(sound.pay, by=lambda cents: cents)
    run = outlast.call_twice(sound.in_a_row)
    assert run.result[:3] == [1, 2, 3]
    assert stub.calls == [{"cents": 3}]
    again = outlast.with_key("k").run(asks)
    assert outlast.with_key("k").run(asks).workflow_id == again.workflow_id


def test_what_a_workflow_raises_is_raised(outlast: Outlast) -> None:
    with pytest.raises(sound.Down):
        _ = outlast.run(sound.raises)
    run = outlast.finish(outlast.start(sound.raises))
    assert isinstance(run.error, sound.Down)
    assert [each.error for each in run.steps] == [None, "Down: down"]


def test_a_stub_raises_what_the_body_knows_though_its_module_was_loaded_anew(
    outlast: Outlast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, __name__)
    outlast.stub(pay, raises=[Declined("no")])
    assert outlast.run(pays).result == "declined"


def test_steps_events_children_and_a_snapshot(outlast: Outlast) -> None:
    run = outlast.run(sound.sleeps)
    assert [each.input for each in run.steps] == [{"value": 0}, {"value": 1}, {"value": 2}]
    assert [(each.name, each.data) for each in run.events] == [("progress", {"done": True})]
    assert run.slept == timedelta(days=6)
    family = outlast.run(sound.family)
    assert [each.result for each in family.children] == [1, 2]
    assert '"slept_s": 518400.0' in run.snapshot()


def test_a_long_sleep_takes_no_time(outlast: Outlast) -> None:
    began = time.process_time()
    for _ in range(20):
        assert outlast.run(nap).result == 1.0
    assert outlast.now.year > 2026 or time.process_time() > began  # 280 days of the test's time


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda kit: kit.run(len), "takes a function decorated with @workflow"),
        (lambda kit: kit.stub(len, returns=1), "decorated with @step or @transaction"),
        (lambda kit: kit.stub(stuck, by=1), "takes a function"),
        (lambda kit: kit.stub(stuck, by=len, returns=1), "not both"),
        (lambda kit: kit.stub(stuck, raises=[1]), "takes exceptions"),
        (lambda kit: kit.advance(), "takes seconds, a timedelta, or units"),
        (lambda kit: kit.as_user({}), "takes the claims of a JWT"),
        (lambda kit: kit.explore(nap, faults="earthquake"), "is 'all', or some of"),
        (lambda kit: kit.execute("select 1"), "--outlast-pg"),
    ],
)
def test_each_wrong_call_is_told(outlast: Outlast, call: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(outlast)


@step(max_attempts=2, backoff=0)
async def counts() -> str:
    emit({"attempt": context().attempt})
    if context().attempt == 1:
        raise OSError("the line broke")
    return "done"


@workflow
async def counting() -> str:
    return await counts()


def test_what_steps_emit(outlast: Outlast) -> None:
    run = outlast.run(counting)
    assert [(each.step_id, each.name, each.attempt, each.data) for each in run.emitted] == [
        ("1", "counts", 1, {"attempt": 1}),
        ("1", "counts", 2, {"attempt": 2}),
    ]
    _ = outlast.crash_everywhere(counting)
    answer = outlast.call(counting, headers={"accept": "text/event-stream"})
    assert [each.event for each in answer.events].count("emitted") == 2


@workflow
async def silent() -> None:
    _ = await receive("go")


@workflow
async def listens() -> Any:
    return await (await start(silent)).event("progress")


def test_who_waits_for_an_event_of_one_that_waits_for_ever_is_told(outlast: Outlast) -> None:
    with pytest.raises(Deadlock, match=r"waits.* for an event progress of listens"):
        _ = outlast.run(listens)


@workflow
async def listens_a_while() -> Any:
    return await (await start(silent)).event("progress", timeout=WEEKS, default="none")


def test_who_waits_for_an_event_says_so(outlast: Outlast) -> None:
    run = outlast.start(listens_a_while)
    _ = outlast.advance(days=1)
    steps = outlast.call(f"/workflows/v1/{run.workflow_id}/steps").json()["steps"]
    assert [each["status"] for each in steps] == ["SUCCESS", "WAITING"]
    shown = outlast.call(f"/workflows/v1/{run.workflow_id}").json()
    assert shown["waiting_on"].startswith(f"workflow {run.workflow_id}/1 (PENDING), until ")
    _ = outlast.advance(WEEKS)
    assert run.result == "none"
