"""What the engine relies on, asked of Postgres and of the in-memory store of `outlast.testing` alike."""

from __future__ import annotations

import asyncio
import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from outlast.core.callbacks import Link
from outlast.core.claims import ClaimedWorkflow, LostInstance, Room
from outlast.core.errors import KeyReused, WorkflowEnded, WorkflowNotFound
from outlast.core.holds import Hold, HoldsSeen
from outlast.core.ports import BadData, Fence, NoSuchRow, TransactionWork, Unacceptable
from outlast.core.records import (
    Batch,
    Beat,
    DeclaredQueue,
    Ending,
    FencedWrite,
    InboxQuery,
    LimitsFreed,
    LimitUse,
    NewWorkflow,
    Ownership,
    StepRecord,
    Suspension,
)
from outlast.core.resources import EVENTS, MESSAGES, QUEUES, STEPS, WORKFLOW, WORKFLOWS
from outlast.core.status import Status
from outlast.core.verbs import DRAIN_QUEUE, FORK, PAUSE_QUEUE, RESUME_QUEUE, RETRY, REWIND, SET_QUEUE
from tests.store.alike import (
    AWAITING,
    SUCCESS,
    Both,
    claim,
    history,
    lose,
    new,
    read,
    start,
    status_of,
    step,
    taken_over,
    write,
)

SOON_S = 10.0


# --- starting and writing ----------------------------------------------------------------------------------


async def test_an_id_is_taken_once(both: Both) -> None:
    await start(both.a, "w")
    again = await both.b.journal.commit(Batch(3, [new(), new("v")], []))
    assert again.started == {"v"}
    assert (await both.a.instances.beat(9.0)).owned == {"w": 1}
    assert (await both.b.instances.beat(9.0)).owned == {"v": 1}


async def test_what_is_written_is_in_the_history(both: Both) -> None:
    await start(both.a, "w")
    failed = StepRecord("2", "s", None, '{"a":1}', 3, 2)
    assert await write(both.a, step("1", '"x"'), failed)
    assert await history(both.b) == {"1": step("1", '"x"'), "2": failed}


async def test_only_the_owner_at_its_epoch_may_write(both: Both) -> None:
    await start(both.a, "w")
    assert not await write(both.b, step("1"))
    assert not await write(both.a, step("1"), epoch=2)
    assert not await write(both.a, step("1"), end=SUCCESS, epoch=0)
    assert not await write(both.b, end=SUCCESS)
    assert await history(both.a) == {}
    assert await status_of(both.a) is Status.PENDING


async def test_a_record_stands(both: Both) -> None:
    await start(both.a, "w")
    assert await write(both.a, step("1", "1"))
    assert not await write(both.a, step("1", "2"), step("2"), nonce=3)
    assert (await history(both.a))["1"].output == "1"
    assert "2" in await history(both.a)


async def test_a_sleep_that_is_over_keeps_its_wake_time(both: Both) -> None:
    await start(both.a, "w")
    assert await write(both.a, step("1", "5.5", order=None))
    assert await write(both.a, step("1", "7.5", order=4), nonce=3)
    assert not await write(both.a, step("1", "9.5", order=5), nonce=4)
    assert await history(both.a) == {"1": step("1", "5.5", order=4)}


async def test_an_end_is_the_end(both: Both) -> None:
    await start(both.a, "w")
    assert await write(both.a, step("1"), end=SUCCESS)
    assert not await write(both.a, step("2"), nonce=3)
    assert not await write(both.a, end=Suspension(None), nonce=3)
    assert not await both.a.workflows.cancel("w", "me")
    (found,) = (await both.b.workflows.ended(["w", "nobody"])).found.values()
    assert (found.status, found.output) == (Status.SUCCESS, '"done"')
    assert await claim(both.b) == []
    assert (await both.a.instances.beat(9.0)).owned == {}


async def test_bad_data_lets_nothing_of_its_batch_in(both: Both) -> None:
    await start(both.a, "w")
    with pytest.raises(BadData):
        await both.a.journal.commit(Batch(2, [new("v")], [FencedWrite("w", 1, [step("1", "\0")])]))
    assert await history(both.a) == {}
    assert await both.a.workflows.states(["v"]) == ({}, False)


async def test_a_lost_answer_is_found_by_its_nonce(both: Both) -> None:
    batch = Batch(7, [new()], [])
    await both.a.journal.commit(batch)
    assert (await both.a.journal.commit(batch)).started == frozenset()
    assert set(await both.a.journal.confirm(batch)) == {"w"}
    assert set(await both.b.journal.confirm(Batch(8, [new()], []))) == frozenset()
    steps = Batch(9, [], [FencedWrite("w", 1, [step("1")])])
    await both.a.journal.commit(steps)
    assert (await both.a.journal.commit(steps)).accepted == frozenset()
    assert set(await both.a.journal.confirm(steps)) == {"w"}
    ends = Batch(10, [], [FencedWrite("w", 1, [], SUCCESS)])
    await both.a.journal.commit(ends)
    assert (await both.a.journal.commit(ends)).accepted == frozenset()
    assert set(await both.a.journal.confirm(ends)) == {"w"}


# --- suspension, release, cancel ---------------------------------------------------------------------------


async def test_a_suspended_workflow_is_claimed_when_it_is_due(both: Both) -> None:
    await start(both.a, "w", "v")
    now_s = (await both.a.instances.beat(9.0)).database_s
    assert await write(both.a, end=Suspension(now_s + SOON_S))
    assert await write(both.a, end=Suspension(now_s - 1.0), of="v")
    (claimed,) = await claim(both.b)
    assert (claimed.workflow_id, claimed.epoch, claimed.recovery_attempts) == ("v", 2, 0)
    assert not await write(both.a, step("1"), of="v", nonce=3)
    assert await write(both.b, step("1"), of="v", epoch=2, nonce=3)


async def test_only_what_is_owned_at_that_epoch_is_released(both: Both) -> None:
    await start(both.a, "w", "v")
    await both.b.instances.release({"w": 1})
    await both.a.instances.release({"w": 2, "v": 1})
    assert [each.workflow_id for each in await claim(both.b)] == ["v"]


async def test_a_cancelled_workflow_refuses_its_owner(both: Both) -> None:
    await start(both.a, "w")
    assert await both.b.workflows.cancel("w", "me")
    assert not await both.b.workflows.cancel("w", "me")
    assert not await write(both.a, step("1"), end=SUCCESS)
    assert await status_of(both.a) is Status.CANCELLED
    assert await claim(both.b) == []


REQUEST = {"method": "POST", "path": "/", "query": ""}


@pytest.mark.parametrize(
    ("of_row", "of_call", "same"),
    [
        (('{"a": 1, "b": [2]}', None), ('{"b":[2.0],"a":1}', None), True),
        (('{"a": 1}', None), ('{"a": 2}', None), False),
        (('{"a": 1}', None), ('{"a": 1}', REQUEST), True),
        (('{"a": 1}', REQUEST), ('{"a":1}', None), True),
        (('{"a": 1}', REQUEST), ('{"a":1}', REQUEST), True),
        (('{"a": 1}', REQUEST), ('{"a": 1}', {**REQUEST, "query": "b=1"}), False),
        (('{"a": 1}', REQUEST), ('{"a": 1}', {**REQUEST, "method": "PUT"}), False),
        ((None, REQUEST), ('{"a": 1}', REQUEST), False),
    ],
)
async def test_payloads_are_compared_as_json(both: Both, of_row: Any, of_call: Any, same: bool) -> None:
    def of(payload: Any) -> NewWorkflow:
        text, request = payload
        return NewWorkflow("w", "f", text, request=None if request is None else json.dumps(request))

    await both.a.journal.commit(Batch(1, [of(of_row)], []))
    assert await both.b.workflows.same_payload(of(of_call)) is same


async def test_what_is_not_there_is_no_same_payload(both: Both) -> None:
    assert not await both.a.workflows.same_payload(new("nobody"))


# --- claims and recovery -----------------------------------------------------------------------------------


async def test_claims_keep_to_functions_and_room(both: Both) -> None:
    await start(both.a, "u", "v", "w")
    for each in "uvw":
        assert await write(both.a, end=Suspension(None), of=each)
    assert (await both.b.instances.claim(Room(["g"], 10, 10))).workflows == []
    assert len(await claim(both.b, room=2)) == 2
    assert len(await claim(both.a)) == 1
    assert await claim(both.a) == []


async def test_a_living_instance_is_not_lost(both: Both) -> None:
    await both.a.instances.beat(60.0)
    await start(both.a, "w")
    assert (await both.b.instances.claim(Room(["f"], 10, 10))).lost == []
    lease = LostInstance("a", 0.0, expired=True)
    assert await both.b.instances.recover([lease]) == []
    assert await write(both.a, step("1"))


async def test_a_lost_instance_writes_nothing_more(both: Both) -> None:
    claimed = await taken_over(both)
    assert (claimed.epoch, claimed.recovery_attempts) == (3, 1)
    for epoch in (1, 2, 3):
        assert not await write(both.a, step("1"), end=SUCCESS, epoch=epoch)
    assert (await both.a.instances.beat(9.0)).owned == {}
    assert await write(both.b, step("1"), end=SUCCESS, epoch=3)


async def test_it_may_write_nothing_between_recovery_and_claim(both: Both) -> None:
    await start(both.a, "w")
    await both.b.instances.recover([await lose(both)])
    assert not await write(both.a, step("1"))
    assert not await write(both.a, step("1"), epoch=2)


async def test_an_instance_that_left_is_lost_at_once(both: Both) -> None:
    await both.a.instances.beat(60.0)
    await start(both.a, "w")
    await both.a.instances.leave()
    (lost,) = (await both.b.instances.claim(Room(["f"], 10, 10))).lost
    assert (lost.instance_id, lost.expired) == ("a", True)
    assert await both.b.instances.recover([lost]) == [("w", "PENDING")]


async def test_recovery_goes_by_batches(both: Both) -> None:
    await start(both.a, "u", "v", "w")
    lost = await lose(both)
    assert len(await both.b.instances.recover([lost])) == 2
    assert len(await both.b.instances.recover([lost])) == 1
    assert await both.b.instances.recover([lost]) == []


async def test_attempts_are_counted_until_they_are_exhausted(both: Both) -> None:
    claimed = await taken_over(both)
    assert claimed.recovery_attempts == 1
    await both.b.instances.beat(-1.0)
    (lost,) = (await both.a.instances.claim(Room(["f"], 10, 10))).lost
    assert await both.a.instances.recover([lost]) == [("w", "PENDING")]
    assert await claim(both.a) == []  # it is backed off


async def test_progress_starts_the_count_anew(both: Both) -> None:
    claimed = await taken_over(both)
    assert await write(both.b, step("1"), epoch=claimed.epoch)
    await both.b.instances.beat(-1.0)
    (lost,) = (await both.a.instances.claim(Room(["f"], 10, 10))).lost
    await both.a.instances.recover([lost])
    (again,) = await claim(both.a)
    assert again.recovery_attempts == 1


async def test_rows_of_nobody_are_found(both: Both) -> None:
    await start(both.a, "w")
    assert (await both.b.instances.claim(Room(["f"], 10, 10))).lost == []
    await both.b.instances.tidy()
    (lost,) = (await both.b.instances.claim(Room(["f"], 10, 10))).lost
    assert lost.instance_id == "a"


# --- messages ----------------------------------------------------------------------------------------------


async def test_messages_are_numbered_once_in_their_order_and_read_by_topic(both: Both) -> None:
    await start(both.a, "w", "v")
    assert (await both.a.instances.claim(Room(["f"], 0, 0))).undelivered is False
    ids = [await both.a.messages.send("w", body, "t", body) for body in ("1", "2")]
    assert ids == sorted(set(ids))
    await both.b.messages.send("v", "3", "t", "3")
    await both.b.messages.send("w", "4", "", "4")
    assert (await both.a.instances.claim(Room(["f"], 0, 0))).undelivered is True
    assert await read(both.a, InboxQuery("w", "t", 0, 0)) == {}
    while (await both.b.messages.deliver()).left:
        pass
    assert (await both.a.instances.claim(Room(["f"], 0, 0))).undelivered is False
    # As many as a look may bring in memory: then only what it brought is known.
    (seen, messages) = (await read(both.a, InboxQuery("w", "t", 0, -1)))[0]
    assert messages == [(1, "1"), (2, "2")]
    assert seen in (2, 3)
    boxes = [
        InboxQuery("v", "t", 0, 0),
        InboxQuery("w", "", 0, 0),
        InboxQuery("w", "t", 2, 2),
        InboxQuery("w", "t", 2, 3),
    ]
    assert await read(both.a, *boxes, InboxQuery("nobody", "t", 0, -1)) == {
        0: (1, [(1, "3")]),
        1: (3, [(3, "4")]),
        2: (3, []),
    }


async def test_a_key_sends_once_and_for_one_message(both: Both) -> None:
    await start(both.a, "w", "v")
    first = await both.a.messages.send("w", '{"a":1,"b":2}', "t", "k")
    assert await both.b.messages.send("w", '{"b": 2, "a": 1}', "t", "k") == first
    assert await both.b.messages.send("v", "1", "t", "k") != first
    for body, topic in (("2", "t"), ('{"a":1,"b":2}', "u")):
        with pytest.raises(KeyReused):
            await both.b.messages.send("w", body, topic, "k")
    assert await write(both.a, end=SUCCESS)
    assert await both.b.messages.send("w", '{"a":1,"b":2}', "t", "k") == first
    with pytest.raises(WorkflowEnded):
        await both.b.messages.send("w", "1", "t", "other")
    with pytest.raises(WorkflowNotFound):
        await both.b.messages.send("nobody", "1", "t", "k")


async def test_what_a_retried_workflow_sends_is_the_same_message_or_another_one(both: Both) -> None:
    await start(both.a, "w", "v")
    fence = Fence("w", 1, "2", 0)

    async def again(body: str, generation: int, topic: str = "t") -> int | None:
        sent: int | None = await both.b.messages.send_again(fence, "v", body, topic, "k", generation)
        return sent

    first = await both.a.messages.send("v", '{"a":1,"b":2}', "t", "k")
    assert await write(both.a, end=Ending(Status.ERROR, error="{}"))
    await both.a.workflows.act(RETRY, "w", {}, "me")
    assert await again("9", 2) is None  # of an execution that is over
    fence = Fence("w", 2, "2", 0)
    assert await again('{"b": 2, "a": 1}', 2) == first
    second = await again('{"a":1,"b":3}', 2)
    assert second not in (None, first)
    assert await again('{"a":1,"b":3}', 2) == second
    with pytest.raises(KeyReused):
        await again('{"a":1,"b":2}', 2, "u")
    assert await again('{"a":1,"b":3}', 3) == second
    third = await again('{"a":1,"b":2}', 3, "u")
    assert third not in (None, first, second)
    # What was sent first in this generation is not followed by another.
    await both.b.messages.send_again(fence, "v", "1", "t", "l", 3)
    with pytest.raises(KeyReused):
        await both.b.messages.send_again(fence, "v", "2", "t", "l", 3)


@pytest.mark.parametrize(("uses", "taken"), [("1", 1), ("2", 2), ("null", 5)])
async def test_a_callback_takes_as_many_answers_as_it_has_uses(both: Both, uses: str, taken: int) -> None:
    await start(both.a, "w")
    assert await write(both.a, called_back("t", uses, "m"), step("2", order=2))

    async def answer(workflow_id: str, step_id: str, body: str, request: str) -> int | None:
        link = Link(workflow_id, step_id, 0.0, "m")
        sent: int | None = await both.b.messages.answer(link, body, request)
        return sent

    first = await answer("w", "1", '"yes"', "a")
    assert first is not None
    assert await answer("w", "1", '"yes"', "a") == first, "it is the same request"
    with pytest.raises(KeyReused):
        await answer("w", "1", '"no"', "a")
    if uses == "1":
        assert await answer("w", "1", '"yes"', "b") == first
    else:
        sent = [await answer("w", "1", '"yes"', each) for each in "bcde"]
        assert sum(each is not None for each in sent) == taken - 1
    assert await answer("w", "1", '"yes"', "a") == first
    for workflow_id, step_id in (("v", "1"), ("w", "2"), ("w", "3")):
        with pytest.raises(WorkflowNotFound):
            await answer(workflow_id, step_id, "1", "a")
    while (await both.a.messages.deliver()).left:
        pass
    (_, messages) = (await read(both.a, InboxQuery("w", "t", taken - 1, -1)))[0]
    assert messages == [(taken, '"yes"')]
    assert await write(both.a, end=SUCCESS)
    assert await answer("w", "1", '"yes"', "a") == first
    if uses == "null":
        with pytest.raises(WorkflowEnded):
            await answer("w", "1", '"yes"', "late")


def called_back(topic: str, uses: str, mark: str) -> StepRecord:
    output = f'{{"url":"u","topic":"{topic}","uses":{uses},"of":null,"mark":"{mark}"}}'
    return StepRecord("1", f"callback {topic}", output, None, 1, 1, "callback")


async def test_links_and_answers_of_another_question_count_for_none(both: Both) -> None:
    await start(both.a, "w")
    assert await write(both.a, called_back("ann", "1", "m"))
    old, new = Link("w", "1", 0.0, "m"), Link("w", "1", 0.0, "n")
    answer = both.b.messages.answer
    with pytest.raises(WorkflowNotFound):
        await answer(new, '"yes"', "a")
    assert await answer(old, '"no"', "a") is not None
    assert await write(both.a, end=Ending(Status.ERROR, error="{}"))
    await both.a.workflows.act(REWIND, "w", {"to": "1"}, "me")
    with pytest.raises(WorkflowNotFound):
        await answer(old, '"no"', "a")
    (claimed,) = await claim(both.a)
    assert await write(both.a, called_back("ben", "1", "n"), epoch=claimed.epoch)
    with pytest.raises(WorkflowNotFound):
        await answer(old, '"yes"', "a")
    assert [(await both.a.workflows.callback(each))["used"] for each in (old, new)] == [1, 0]
    assert await answer(new, '"yes"', "a") is not None
    assert (await both.a.workflows.callback(new))["used"] == 1


@pytest.mark.parametrize("topic", ["t", "other"])
async def test_a_delivery_wakes_who_awaits_its_topic(both: Both, topic: str) -> None:
    await start(both.a, "w")
    assert await write(both.a, end=Suspension(time.time() + 1000, AWAITING))  # noqa: TID251
    await both.b.messages.send("w", "1", topic, "k")
    assert (await both.b.messages.deliver()).woken == (topic == "t")
    assert [each.workflow_id for each in await claim(both.b)] == ["w"] * (topic == "t")


async def test_a_delivery_before_the_suspension_makes_it_due_at_once(both: Both) -> None:
    await start(both.a, "w", "v")
    for each in "wv":
        await both.b.messages.send(each, "1", "t", "k")
    while (await both.b.messages.deliver()).left:
        pass
    later = time.time() + 1000  # noqa: TID251
    assert await write(both.a, end=Suspension(later, AWAITING))
    assert await write(both.a, end=Suspension(later, '{"mail":1,"topics":["t"]}'), of="v")
    assert [each.workflow_id for each in await claim(both.b)] == ["w"]


async def test_only_who_waits_for_messages_is_woken(both: Both) -> None:
    await start(both.a, "w", "v")
    later = time.time() + 1000  # noqa: TID251
    assert await write(both.a, end=Suspension(later))
    assert await write(both.a, end=Suspension(time.time() - 1, AWAITING), of="v")  # noqa: TID251
    (claimed,) = await claim(both.a)
    await both.b.messages.send("w", "1", "t", "k")
    await both.b.messages.send("v", "1", "t", "k")
    while (await both.b.messages.deliver()).left:
        pass
    assert await claim(both.b) == []
    # Claimed, it waits for nothing any more: a recovery's pause is not cut short.
    assert await write(both.a, step("1"), end=Suspension(later), epoch=claimed.epoch, of="v")
    await both.b.messages.send("v", "2", "t", "k2")
    assert (await both.b.messages.deliver()).woken == 0


async def test_a_receive_that_is_over_becomes_what_it_received(both: Both) -> None:
    await start(both.a, "w")
    wait = StepRecord("1", "receive", "9.5", None, 0, None, "receive")
    assert await write(both.a, wait)
    got = wait._replace(output='{"message_id":1,"number":1,"message":null}', completion_order=1)
    assert await write(both.a, got, nonce=3)
    assert not await write(both.a, got._replace(output="null"), nonce=4)
    assert await history(both.b) == {"1": got}


async def test_a_receive_that_an_older_version_began_becomes_what_it_received(both: Both) -> None:
    """That recorded no kind: who ends a wait says what it is."""
    await start(both.a, "w")
    wait = StepRecord("1", "receive", "9.5", None, 0, None)
    assert await write(both.a, wait)
    output = '{"message_id":1,"number":1,"message":null}'
    got = wait._replace(output=output, completion_order=1, kind="receive")
    assert await write(both.a, got, nonce=3)
    assert await history(both.b) == {"1": got}


# --- transactions ------------------------------------------------------------------------------------------


def paying(both: Both, output: str = "1") -> TransactionWork:
    async def run(connection: Any) -> StepRecord:
        await both.effect(connection)
        return StepRecord("1", "pay", output, None, 1, 1)

    return TransactionWork(run, threaded=False, isolation=None)


async def test_a_transaction_and_its_record_are_one(both: Both) -> None:
    await start(both.a, "w")
    record = await both.a.transactions.transact(paying(both), Fence("w", 1, "1", 5))
    assert record == StepRecord("1", "pay", "1", None, 1, 1)
    assert (await history(both.b))["1"] == record
    assert await both.effects() == 1


async def test_a_record_that_stands_undoes_the_second_run(both: Both) -> None:
    await start(both.a, "w")
    await both.a.transactions.transact(paying(both), Fence("w", 1, "1", 5))
    record = await both.a.transactions.transact(paying(both, "2"), Fence("w", 1, "1", 5))
    assert record is not None
    assert record.output == "1"
    assert await both.effects() == 1


@pytest.mark.parametrize("how", ["epoch", "owner", "cancelled", "ended", "taken over"])
async def test_a_refused_fence_undoes_the_transaction(both: Both, how: str) -> None:
    if how == "taken over":
        await taken_over(both)
    else:
        await start(both.a, "w")
    if how == "cancelled":
        await both.b.workflows.cancel("w", "me")
    if how == "ended":
        assert await write(both.a, end=SUCCESS)
    store = both.b if how == "owner" else both.a
    fence = Fence("w", 2 if how == "epoch" else 1, "1", 5)
    assert await store.transactions.transact(paying(both), fence) is None
    assert await both.effects() == 0
    assert await history(both.a) == {}


async def test_what_the_body_raises_undoes_it(both: Both) -> None:
    await start(both.a, "w")

    async def run(connection: Any) -> StepRecord:
        await both.effect(connection)
        raise LookupError

    with pytest.raises(LookupError):
        await both.a.transactions.transact(TransactionWork(run, False, None), Fence("w", 1, "1", 5))
    assert await both.effects() == 0
    assert await history(both.a) == {}


async def test_without_a_fence_nothing_is_recorded(both: Both) -> None:
    assert await both.a.transactions.transact(paying(both), None) is not None
    assert await both.effects() == 1


async def test_beats_tell_the_time_and_what_is_owned(both: Both) -> None:
    await start(both.a, "w", "v")
    beat: Beat = await both.a.instances.beat(60.0)
    assert beat.owned == {"w": 1, "v": 1}
    assert abs(beat.database_s - time.time()) < 60  # noqa: TID251
    await asyncio.sleep(0)
    assert (await both.a.instances.beat(60.0)).database_s >= beat.database_s


async def test_what_the_pages_read(both: Both) -> None:
    store = both.a.workflows
    first = new("w1", subject="ada", idempotency_key="k", version="v")
    second = new("w2", subject="bob", parent="w1", deadline_s=4e9)
    await both.a.journal.commit(Batch(1, [first], []))
    await both.a.journal.commit(Batch(2, [second], []))
    told = step("2", order=2)._replace(name="publish asked", kind="publish", output='{"a": 1}', began=None)
    waits = StepRecord("3", "receive", "4e9", kind="receive")
    failed = step("1", None, 1, '{"code":"step_failed"}')._replace(kind="step", attempts=3)
    assert await write(both.a, failed, told, waits, of="w1")
    ending = Ending(Status.ERROR, error='{"code":"workflow_error","failure":{"type":"E","message":"no"}}')
    assert await write(both.a, end=ending, of="w2", nonce=9)

    def plain(rows: Any) -> Any:
        """All but the dates themselves, which are of one database or the other."""
        return [
            {
                name: ("a date" if hasattr(value, "isoformat") else value)
                for name, value in dict(row).items()
                if name not in ("deadline", "over_at")
            }
            for row in rows
        ]

    await both.a.messages.send("w1", '"hello"', "greetings", "k")
    assert sorted((await store.ownership(["w1", "w2", "none"])).items()) == [
        ("w1", Ownership("w1", "f", Status.PENDING, "ada", None)),
        ("w2", Ownership("w2", "f", Status.ERROR, "bob", "w1")),
    ]
    assert await store.counts("ada", 10, 10) == (0, 1)
    assert await store.show("none") is None
    shown = [await store.show("w1"), await store.show("w2")]
    assert [(each["status"], each["owner"], each["completed_at"] is None) for each in shown] == [
        ("PENDING", "a", True),
        ("ERROR", None, False),
    ]
    assert set(shown[0]) == {column.name for column in WORKFLOW}
    listing = {
        "all": await store.listing(WORKFLOWS, {"subject": None}),
        "first": await store.listing(WORKFLOWS, {"subject": None}, None, 1),
        "ada's": await store.listing(WORKFLOWS, {"subject": "ada"}),
        "failed": await store.listing(
            WORKFLOWS, {"subject": None, "status": [Status.ERROR], "error": "E: NO"}
        ),
        "bob's, failed": await store.listing(WORKFLOWS, {"subject": "bob", "error": "E: no"}),
        "children": await store.listing(
            WORKFLOWS, {"subject": None, "parent": "w1", "since": datetime(2020, 1, 1, tzinfo=UTC)}
        ),
        "steps": await store.listing(STEPS, {"workflow_id": "w1"}),
        "later steps": await store.listing(STEPS, {"workflow_id": "w1"}, (1, "1"), 1),
        "events": await store.listing(EVENTS, {"workflow_id": "w1"}, (0,), 10),
        "other events": await store.listing(EVENTS, {"workflow_id": "w1", "event": "answered"}, (0,), 10),
        "messages": await store.listing(MESSAGES, {"workflow_id": "w1"}, (0,), 10),
        "held": await store.listing(WORKFLOWS, {"subject": None, "held": "any"}),
        "brief": await store.listing(STEPS, {"workflow_id": "w1", "brief": True}),
        "after": await store.steps_after("w1", 1, 10),
    }
    rows = listing["all"].rows
    assert [each["workflow_id"] for each in rows] == ["w2", "w1"]
    next_page = await store.listing(
        WORKFLOWS, {"subject": None}, (rows[0]["created_at"], rows[0]["workflow_id"])
    )
    assert [each["workflow_id"] for each in next_page.rows] == ["w1"]
    found = {name: (plain(page.rows), page.more) for name, page in listing.items()}
    assert found == PAGES


async def test_what_a_workflow_waits_on(both: Both) -> None:
    claims, store = both.a.instances, both.a.workflows
    soon_s = (await claims.beat(60.0)).database_s + 3_600

    async def reasons() -> dict[str, str | None]:
        rows = (await store.listing(WORKFLOWS, {})).rows
        found = {each["workflow_id"]: each["waiting_on"] for each in rows}
        for name, reason in found.items():
            shown = await store.show(name)
            assert shown is not None
            assert shown["waiting_on"] == reason
        return {name: reason and re.sub(r"\d{4}-[^Z]+Z", "T", reason) for name, reason in found.items()}

    await start(both.a, "runs", "over", "sleeps", "receives", "receives by then", "due")
    topics = json.dumps({"topics": ["a", "b"], "mail": 0})
    unnamed = json.dumps({"topics": [""], "mail": 0})
    for of, end in {
        "over": SUCCESS,
        "sleeps": Suspension(soon_s),
        "receives": Suspension(soon_s + 3e9, unnamed),
        "receives by then": Suspension(soon_s, topics),
        "due": Suspension(),
    }.items():
        assert await write(both.a, end=end, of=of)
    waiting = {
        "runs": None,
        "over": None,
        "sleeps": "sleep, until T",
        "receives": "a message",
        "receives by then": "a message (a, b), until T",
    }
    assert await reasons() == {**waiting, "due": "room on an instance, since T"}
    await claims.claim(Room(["g"], 0, 0))
    await claims.beat(60.0)
    assert await reasons() == {**waiting, "due": "no instance serves f"}
    await claims.claim(Room(["f", "g"], 0, 0))
    await claims.beat(60.0)
    assert (await reasons())["due"] == "room on an instance, since T"
    await claims.leave()
    assert (await reasons())["due"] == "no instance serves f"
    await both.b.instances.recover([LostInstance("a", 0.0, expired=True)])
    assert (await reasons())["runs"] == "no instance serves f"


async def test_of_declarations_of_a_queue_the_newest_holds_that_somebody_makes(both: Both) -> None:
    """In a rolling deploy the old instances change nothing back; where they alone are left they are heard."""
    old, new = (DeclaredQueue("q", {"concurrency": n}, ("f",)) for n in (5, 1))
    a, b = both.a, both.b

    async def holds() -> int:
        ((row,), _) = await a.workflows.listing(QUEUES, {"name": "q"}, None, 1)
        found: int = json.loads(row["base"])["concurrency"]
        return found

    for each in (a, b):
        await each.instances.beat(60.0)
    assert await a.queues.declare([old])
    assert not await a.queues.declare([old])
    assert await b.queues.declare([new])
    assert await holds() == 1
    # As an instance of the old code does that starts, or looks again.
    assert not await a.queues.declare([old])
    assert await holds() == 1
    await b.instances.leave()
    assert await a.queues.declare([old])
    assert await holds() == 5
    await b.instances.beat(60.0)
    assert await b.queues.declare([new])
    assert await holds() == 1
    # Code that goes back to what it said has nobody against it.
    assert await b.queues.declare([old])
    assert await holds() == 5


async def test_what_operators_do_to_queues(both: Both) -> None:
    store = both.a.workflows
    base = {"key": "customer", "concurrency": 5}
    await both.a.queues.declare([DeclaredQueue("mail", base, ("f",)), DeclaredQueue("plain", {}, ())])
    for workflow_id, delay_s in (("w1", 0.0), ("w2", 0.0), ("later", 3_600.0)):
        one = new(workflow_id, queue="mail", queue_key=workflow_id, delay_s=delay_s)
        assert (await both.a.queues.enqueue([one], 1))[0].outcome == "started"

    async def shown(name: str = "mail") -> dict[str, Any]:
        (row,), more = await store.listing(QUEUES, {"name": name}, None, 1)
        assert not more
        assert set(row) == {column.name for column in QUEUES.columns}
        recorded = {column.name for column in QUEUES.columns if column.recorded}
        return {
            name: "a date"
            if hasattr(value, "isoformat")
            else json.loads(value)
            if name in recorded and value is not None
            else value
            for name, value in row.items()
        }

    first = await shown()
    assert {name: value for name, value in first.items() if value is not None} == {
        "name": "mail", "functions": ["f"], "base": base, "limits": base, "paused_keys": [],
        "running": 0, "ready": 2, "waiting": 3, "ready_since": "a date",
    }  # fmt: skip
    await store.act(SET_QUEUE, "mail", {"concurrency": 1, "rate": {"n": 1, "per": 2}, "why": "w"}, "me")
    found = await shown()
    assert found["override"] == {"concurrency": 1, "rate": {"n": 1, "per": 2}}
    assert found["limits"] == {**base, **found["override"]}
    assert (found["override_by"], found["override_at"], found["override_why"]) == ("me", "a date", "w")
    await store.act(SET_QUEUE, "mail", {"rate": None}, "me")
    assert (await shown())["override"] == {"concurrency": 1}
    await store.act(SET_QUEUE, "mail", {"reset": True}, "me")
    assert await shown() == first
    for changes, named in (
        ({"rate": {"n": 0, "per": 1}}, "rate"),
        ({"weight": {"a": 1000}}, "weight"),
        ({"why": "x"}, "settings"),
    ):
        with pytest.raises(Unacceptable, match=named) as raised:
            await store.act(SET_QUEUE, "mail", changes, "me")
        assert raised.value.argument == named
    with pytest.raises(Unacceptable, match="per_key needs key"):
        await store.act(SET_QUEUE, "plain", {"per_key": 1}, "me")
    for verb in (SET_QUEUE, PAUSE_QUEUE, RESUME_QUEUE, DRAIN_QUEUE):
        with pytest.raises(NoSuchRow):
            await store.act(verb, "nowhere", {"concurrency": 1} if verb is SET_QUEUE else {}, "me")
    await store.act(PAUSE_QUEUE, "mail", {"why": "w"}, "me")
    await store.act(PAUSE_QUEUE, "mail", {"key": "w1"}, "me")
    found = await shown()
    assert (found["paused_by"], found["paused_why"], found["paused_at"]) == ("me", "w", "a date")
    assert [(each["key"], each["paused_by"]) for each in found["paused_keys"]] == [("w1", "me")]
    paused, _ = await store.listing(QUEUES, {"paused": True})
    assert [each["name"] for each in paused] == ["mail"]
    await store.act(RESUME_QUEUE, "mail", {}, "me")
    await store.act(RESUME_QUEUE, "mail", {"key": "w1"}, "me")
    assert await shown() == first
    with pytest.raises(Unacceptable, match="key can't be paused alone"):
        await store.act(PAUSE_QUEUE, "plain", {"key": "k"}, "me")
    assert await store.act(DRAIN_QUEUE, "mail", {"key": "w1"}, "me") == {"cancelled": 1, "more": False}
    assert await store.act(DRAIN_QUEUE, "mail", {}, "me") == {"cancelled": 2, "more": False}
    assert (await shown())["waiting"] == 0
    cancelled = (await store.listing(WORKFLOWS, {})).rows
    assert [each["status"] for each in cancelled] == ["CANCELLED"] * 3


_W1 = {
    "workflow_id": "w1", "function": "f", "version": "v", "status": "PENDING", "queue": None, "priority": 0,
    "subject": "ada", "parent": None, "forked_from": None, "attributes": None, "generation": 1,
    "recovery_attempts": 0, "claimable_at": None, "waiting_on": None,
    "created_at": "a date",
    "started_at": "a date", "updated_at": "a date", "completed_at": None, "error_code": None,
    "error_message": None,
}  # fmt: skip
_W2 = _W1 | {
    "workflow_id": "w2", "version": None, "subject": "bob", "status": "ERROR", "parent": "w1",
    "completed_at": "a date", "error_code": "workflow_error", "error_message": "E: no",
}  # fmt: skip
_FAILED = {
    "step_id": "1", "name": "s", "kind": "step", "output": None, "error": '{"code":"step_failed"}',
    "attempts": 3, "completion_order": 1, "started_at": "a date", "completed_at": "a date", "place": 1,
    "settled": None, "instance": "a", "output_bytes": None,
}  # fmt: skip
_TOLD = _FAILED | {
    "step_id": "2", "name": "publish asked", "kind": "publish", "output": '{"a": 1}', "error": None,
    "attempts": 1, "completion_order": 2, "place": 2,
}  # fmt: skip
_WAITS = _FAILED | {
    "step_id": "3", "name": "receive", "kind": "receive", "output": "4e9", "error": None, "attempts": 1,
    "completion_order": None, "completed_at": "a date", "place": 2147483647,
}  # fmt: skip
_EVENT = {"number": 2, "event": "asked", "value": '{"a": 1}', "published_at": "a date"}
_AFTER = {
    "step_id": "2", "name": "publish asked", "kind": "publish", "succeeded": True, "completion_order": 2,
    "completed_at": "a date", "value": '{"a": 1}',
}  # fmt: skip
_MESSAGE = {
    "message_id": 1, "topic": "greetings", "number": None, "message": '"hello"', "idempotency_key": "k",
    "sent_at": "a date",
}  # fmt: skip
PAGES = {
    "all": ([_W2, _W1], False),
    "first": ([_W2], True),
    "ada's": ([_W1], False),
    "failed": ([_W2], False),
    "bob's, failed": ([], False),
    "children": ([_W2], False),
    "steps": ([_FAILED, _TOLD, _WAITS], False),
    "later steps": ([_TOLD], True),
    "events": ([_EVENT], False),
    "other events": ([], False),
    "messages": ([_MESSAGE], False),
    "held": ([], False),
    "brief": ([_FAILED, _TOLD, _WAITS], False),
    "after": ([_AFTER], False),
}
"""On Postgres and in memory alike."""


async def test_attributes_are_set_in_the_commit_of_their_record_if_the_fence_holds(both: Both) -> None:
    def changed(step_id: str, body: str) -> StepRecord:
        return StepRecord(
            step_id, "set_attributes", body, attempts=0, completion_order=int(step_id), kind="attributes"
        )

    async def shown(workflow_id: str = "w") -> Any:
        row = await both.b.workflows.show(workflow_id)
        assert row is not None
        assert await both.a.workflows.attributes(workflow_id) == row["attributes"]
        return row["attributes"] and json.loads(row["attributes"])

    assert await both.a.workflows.attributes("nobody") is None
    given = new(attributes='{"a": "1", "b": 2}')
    waiting = new("v", attributes='{"c": true}', queue="q")
    await both.a.journal.commit(Batch(1, [given, waiting], []))
    assert (await shown(), await shown("v")) == ({"a": "1", "b": 2}, {"c": True})
    assert await write(both.a, changed("1", '{"a": null, "c": "x"}'), changed("2", '{"c": "y"}'))
    assert await shown() == {"b": 2, "c": "y"}
    # It was sent twice, and arrives once more.
    assert not await write(both.a, changed("1", '{"a": null, "c": "x"}'))
    assert not await write(both.a, changed("3", '{"c": "z"}'), epoch=2)
    assert not await write(both.b, changed("3", '{"c": "z"}'))
    assert await shown() == {"b": 2, "c": "y"}
    many = json.dumps({f"k{n}": n for n in range(31)})
    with pytest.raises(BadData, match="32"):
        await write(both.a, changed("3", many))
    assert await shown() == {"b": 2, "c": "y"}
    # As it leaves the memory, nobody's row.
    assert await write(both.a, changed("3", '{"b": null, "c": null}'), end=Suspension())
    assert await shown() is None


# --- what no code fits -------------------------------------------------------------------------------------


def misfit(version: str) -> Hold:
    since = "2026-11-29T06:00:00+00:00"
    return Hold({"reason": "non_determinism", "since": since, "message": "other", "version": version})


async def look(store: Any, versions: dict[str, str], *, grace_s: float = 1e9, days: float = 0.0) -> HoldsSeen:
    return await store.holds.look(versions, grace_s, days)


async def test_what_does_not_fit_goes_to_other_code_or_is_held_for_it(both: Both) -> None:
    for store, version in ((both.a, "1"), (both.b, "2")):
        await store.instances.beat(60.0)
        await look(store, {"f": version})
    await start(both.a, "w")
    assert await both.a.holds.hold([("w", 7, misfit("1"))]) == {}
    assert await both.a.holds.hold([("w", 1, misfit("1"))]) == {"w": False}
    assert await claim(both.a) == []
    assert [each.epoch for each in await claim(both.b)] == [2]
    assert await both.b.holds.hold([("w", 2, misfit("2"))]) == {"w": True}
    for store, version in ((both.a, "1"), (both.b, "2")):
        assert (await look(store, {"f": version})).freed == 0
        assert await claim(store) == []
    found, _ = await both.a.workflows.ended(["w"])
    assert json.loads(found["w"].held)["version"] == "2"
    assert await claim(both.a) == []
    assert (await look(both.a, {"f": "3"})).freed == 1
    assert await claim(both.b) == []
    assert [each.epoch for each in await claim(both.a)] == [3]


async def test_what_nobody_serves_is_held_and_ends_at_last(both: Both) -> None:
    for store in (both.a, both.b):
        await store.instances.beat(60.0)
    await start(both.a, "w")
    await both.a.instances.release({"w": 1})
    assert (await look(both.a, {"g": "1"}, grace_s=-1.0)).held == []  # the other has not told yet
    await look(both.b, {"g": "1"})
    assert (await look(both.a, {"g": "1"}, grace_s=60.0)).held == []
    seen = await look(both.a, {"g": "1"}, grace_s=-1.0, days=1.0)
    assert ([each.detail["reason"] for each in seen.held], seen.ended) == (["function_missing"], 0)
    assert (await look(both.a, {"g": "1"}, days=1e-9)).ended == 1
    found, _ = await both.a.workflows.states(["w"])
    assert (found["w"].status, json.loads(found["w"].error)["code"]) == (Status.ERROR, "function_missing")


async def test_places_under_a_limit_are_taken_given_back_and_told_of(both: Both) -> None:
    a, b, one = both.a, both.b, {"concurrency": 1}
    await start(a, "w", "x")
    await start(b, "y")
    uses = {each: LimitUse("l", each, 1, "1") for each in "wxy"}
    assert await a.queues.take_limit(uses["w"], one) is None
    assert await a.queues.take_limit(uses["w"], one) is None, "asked again after a lost answer"
    assert await b.queues.take_limit(uses["y"], one) == pytest.approx(0.2)
    assert await a.queues.take_limit(uses["x"], one) == pytest.approx(0.2)
    assert await a.queues.free_limits("a", [], ["l", "m"]) == LimitsFreed([], False), "none is free"
    assert await a.queues.free_limits("a", [uses["w"]], ["l"]) == LimitsFreed(["x"], False)
    assert await a.queues.free_limits("a", [uses["w"]], ["l"]) == LimitsFreed(["x"], False)
    assert await a.queues.take_limit(uses["w"], one) is None, "it was given up: it takes nothing"
    assert await b.queues.take_limit(uses["y"], one) is None
    assert await write(b, of="y", end=Suspension(4e9, '{"mail":0,"topics":[],"limits":["l"]}'))
    assert await a.queues.take_limit(uses["x"], one) is None, "who has left the memory has no place"
    assert await b.queues.take_limit(LimitUse("l", "y", 2, "1"), one) == pytest.approx(0.2)
    assert await write(a, step("1"), of="x", nonce=3)
    assert await a.queues.free_limits("a", [], ["l"]) == LimitsFreed([], True)
    assert [each.workflow_id for each in await claim(b)] == ["y"]


async def test_whoever_waits_for_a_rate_is_told_its_own_time(both: Both) -> None:
    rate = {"rate": {"n": 2, "per": 100}}
    ids = [str(number) for number in range(7)]
    await start(both.a, *ids)
    waits = [await both.a.queues.take_limit(LimitUse("l", each, 1, "1"), rate) for each in ids]
    assert waits[:2] == [None, None]
    assert waits[2:] == pytest.approx([100, 100, 200, 200, 300], abs=5)


@pytest.mark.parametrize("queue", [None, "q"])
async def test_what_is_retried_goes_on_from_its_next_claim(both: Both, queue: str | None) -> None:
    """A claim after that one, of another instance, changes nothing: who replays has the same times."""
    failed = Ending(Status.ERROR, error='{"code":"workflow_error","steps":["2"]}')

    async def claimed(store: Any) -> tuple[ClaimedWorkflow, dict[str, Any]]:
        found = await (
            store.instances.claim_queued(Room(["f"], 1, 1))
            if queue
            else store.instances.claim(Room(["f"], 1, 1))
        )
        (one,) = found.workflows
        assert [each async for each in store.workflows.load([one], lambda _: False)] == [one]
        return one, json.loads(one.born or "{}")

    if queue:
        await both.a.queues.declare([DeclaredQueue("q", {}, ("f",))])
        await both.a.queues.enqueue([new(queue="q", queue_key="")], 1)
        assert (await claimed(both.a))[1] == {}
    else:
        await start(both.a, "w")
    assert await write(both.a, step("1"), step("2", None, 2, error="{}"), end=failed)
    await both.a.workflows.act(RETRY, "w", {}, "me")
    retried_s = time.time()  # noqa: TID251
    again, first = await claimed(both.a)
    assert first["goes_on_s"] > retried_s
    assert again.last_place == 3, "the result's number is nobody else's"
    await both.a.instances.release({"w": again.epoch})
    again, second = await claimed(both.b)
    assert second == first
    assert await write(both.b, step("2", None, 2, error="{}"), epoch=again.epoch, end=failed)
    await both.b.workflows.act(FORK, "w", {"from": "failed"}, "me")
    assert sorted((await claimed(both.a))[1]) == ["at_s", "id", "root"]
