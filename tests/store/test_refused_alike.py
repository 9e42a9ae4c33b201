"""A row that refuses what is to be done to it stops nobody else, on Postgres and in memory alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlast.core.claims import Room
from outlast.core.ports import BadData, NotNow
from outlast.core.records import (
    Batch,
    DeclaredQueue,
    Delivered,
    Ending,
    FencedWrite,
    InboxQuery,
    LimitsFreed,
    LimitUse,
    StepRecord,
    Suspension,
    Wait,
)
from outlast.core.resources import ACTS, BULK_ITEMS
from outlast.core.status import Status
from outlast.core.verbs import (
    BULK,
    DELETE,
    DRAIN_QUEUE,
    FORK,
    PAUSE,
    RESUME,
    RETRY,
    REWIND,
    SET_WORKFLOW,
    SETTLE,
    Verb,
)
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
    write,
)

REFUSED_FOR_S = 1.1
"""After so long what has refused once is asked again."""


async def let_go(both: Both) -> None:
    """Rows refuse no more, and that is known by now."""
    await both.refuse()
    await asyncio.sleep(REFUSED_FOR_S)  # real time: it is what an instance waits by


async def test_who_refuses_a_claim_is_passed_by_and_asked_again_later(both: Both) -> None:
    await start(both.a, "u", "v", "w")
    for each in "uvw":
        assert await write(both.a, end=Suspension(None), of=each)
    await both.refuse("u", "v")
    claims = await both.b.instances.claim(Room(["f"], 2, 10))
    assert (claims.workflows, sorted(claims.refused)) == ([], ["u", "v"])
    claims = await both.b.instances.claim(Room(["f"], 2, 10))
    assert ([each.workflow_id for each in claims.workflows], list(claims.refused)) == (["w"], [])
    await both.refuse()
    assert await claim(both.b) == []
    await let_go(both)
    assert [(each.workflow_id, each.epoch) for each in await claim(both.b)] == [("u", 2), ("v", 2)]


async def test_who_refuses_a_recovery_is_passed_by(both: Both) -> None:
    await start(both.a, "u")
    await start(both.a, "v")
    await start(both.a, "w")
    lost = await lose(both)
    await both.refuse("u", "v")
    recovered = [await both.b.instances.recover([lost]) for _ in range(3)]
    assert recovered == [[], [("w", "PENDING")], []]
    assert set((await both.a.instances.beat(-1.0)).owned) == {"u", "v"}
    await let_go(both)
    assert sorted(await both.b.instances.recover([lost])) == [("u", "PENDING"), ("v", "PENDING")]


async def test_who_refuses_to_be_given_back_is_passed_by(both: Both) -> None:
    await start(both.a, "u", "w")
    await both.refuse("u")
    await both.a.instances.release({"u": 1, "w": 1})
    assert (await both.a.instances.beat(9.0)).owned == {"u": 1}
    await let_go(both)
    await both.a.instances.release({"u": 1})
    assert (await both.a.instances.beat(9.0)).owned == {}


async def test_messages_to_who_refuses_them_are_passed_by(both: Both) -> None:
    await start(both.a, "u", "w")
    for number in range(4):
        await both.a.messages.send("u", str(number), "t", str(number))
    await both.a.messages.send("w", "1", "t", "k")
    await both.refuse("u")
    delivered = [await both.b.messages.deliver() for _ in range(3)]
    assert [list(each.refused) for each in delivered] == [["u"], [], []]
    assert not delivered[-1].left, "what is refused is not asked again at once"
    assert await read(both.a, InboxQuery("w", "t", 0, 0)) == {0: (1, [(1, "1")])}
    assert await read(both.a, InboxQuery("u", "t", 0, 0)) == {}
    await let_go(both)
    while (await both.b.messages.deliver()).left:
        pass
    assert (await read(both.a, InboxQuery("u", "t", 0, 0)))[0][1][:2] == [(1, "0"), (2, "1")]


async def test_messages_that_are_refused_are_not_delivered_again_at_once(both: Both) -> None:
    await start(both.a, "u")
    await both.a.messages.send("u", "1", "t", "k")
    await both.refuse("u")
    delivered = await both.b.messages.deliver()
    assert (delivered.left, list(delivered.refused)) == (False, ["u"])


async def asleep(store: Any, *ids: str, child: str) -> None:
    """These have left the memory for the end of one child."""
    await start(store, *ids)
    await store.journal.commit(Batch(1, [new(child, parent=ids[0])], []))
    for each in ids:
        wait = Suspension(4e9, '{"mail":0,"topics":[]}', waits=[Wait(child, "", 0)])
        assert await write(store, of=each, end=wait)


async def test_who_refuses_to_be_woken_is_passed_by_and_woken_later(both: Both) -> None:
    await asleep(both.a, "u", "w", child="c")
    await both.refuse("u")
    assert await write(both.a, end=SUCCESS, of="c", nonce=3)
    assert [each.workflow_id for each in await claim(both.b)] == ["w"]
    assert (await both.b.instances.claim(Room(["f"], 0, 0))).untold
    assert (await both.b.messages.tell()).woken == 0
    await both.refuse()
    assert (await both.b.messages.tell()).woken == 1
    assert [each.workflow_id for each in await claim(both.b)] == ["u"]
    assert not (await both.b.instances.claim(Room(["f"], 0, 0))).untold


async def test_who_leaves_the_memory_for_one_that_refuses_looks_again_at_once(both: Both) -> None:
    await start(both.a, "known", "new", "v", "w", "x")
    on_known, on_new = (Suspension(4e9, AWAITING, waits=[Wait(each)]) for each in ("known", "new"))
    assert await write(both.a, of="v", end=on_known)
    await both.refuse("known", "new")
    assert await write(both.a, of="w", end=on_known)
    assert await write(both.a, of="x", end=on_new)
    assert [each.workflow_id for each in await claim(both.b)] == ["x"], "it can't be noted that it waits"
    await both.refuse()
    assert await write(both.b, of="x", end=on_new, epoch=2, nonce=3)
    assert await claim(both.b) == []
    for each in ("known", "new"):
        assert await write(both.a, of=each, end=SUCCESS, nonce=4)
    assert sorted(each.workflow_id for each in await claim(both.b)) == ["v", "w", "x"]


async def test_who_refuses_to_be_woken_by_an_event_is_woken_later(both: Both) -> None:
    await start(both.a, "u", "w", "c")
    for each in "uw":
        wait = Suspension(4e9, '{"mail":0,"topics":[]}', waits=[Wait("c", "e", 0)])
        assert await write(both.a, of=each, end=wait)
    await both.refuse("u")
    published = StepRecord("1", "publish e", "1", None, 1, 1, "publish")
    assert await write(both.a, published, of="c", nonce=3)
    assert [each.workflow_id for each in await claim(both.b)] == ["w"]
    await both.refuse()
    assert (await both.b.messages.tell()).woken == 1
    assert [each.workflow_id for each in await claim(both.b)] == ["u"]


async def test_a_child_that_refuses_to_be_cancelled_is_cancelled_later(both: Both) -> None:
    await start(both.a, "w")
    await both.a.journal.commit(Batch(1, [new("u", parent="w"), new("v", parent="w")], []))
    await both.a.instances.release(dict.fromkeys("uvw", 1))
    await claim(both.a)
    await both.refuse("u")
    assert await both.b.workflows.cancel("w", "me")
    assert [await status_of(both.a, each) for each in "uvw"] == ["PENDING", "CANCELLED", "CANCELLED"]
    assert (await both.b.instances.claim(Room(["f"], 0, 0))).untold
    assert await both.b.messages.tell() == Delivered(0, False)
    await both.refuse()
    await both.b.messages.tell()
    assert await status_of(both.a, "u") is Status.CANCELLED
    assert not (await both.b.instances.claim(Room(["f"], 0, 0))).untold


async def test_a_row_that_refuses_takes_records_but_no_end(both: Both) -> None:
    await start(both.a, "u", "w")
    await both.refuse("u")
    assert await write(both.a, step("1"), of="u")
    both_ended = [FencedWrite(each, 1, [step("2")], SUCCESS) for each in "uw"]
    with pytest.raises(BadData):
        await both.a.journal.commit(Batch(3, [], both_ended))
    assert [await status_of(both.b, each) for each in "uw"] == ["PENDING", "PENDING"]
    assert set(await history(both.b, "u")) == {"1"}
    await both.refuse()
    assert (await both.a.journal.commit(Batch(3, [], both_ended))).accepted == {"u", "w"}


# --- queues ------------------------------------------------------------------------------------------------


async def queued(both: Both, *ids: str, key: str = "k", delay_s: float = 0.0, **options: Any) -> None:
    """These enter a queue, one after the other; `options` are its own, where it is new."""
    if options:
        await both.a.queues.declare([DeclaredQueue("q", {"key": "key", **options}, ("f",))])
    for each in ids:
        one = new(each, queue="q", queue_key=key, delay_s=delay_s)
        assert (await both.a.queues.enqueue([one], 1))[0].outcome == "started"


async def begin(store: Any, room: int = 10) -> tuple[list[str], list[str]]:
    """What a look at queues lets begin there, and what it tells of those that refuse it."""
    claims = await store.instances.claim_queued(Room(["f"], room, 10))
    assert claims.faults == {}
    return [each.workflow_id for each in claims.workflows], sorted(claims.refused)


@pytest.mark.parametrize(
    "limit",
    [{"concurrency": 1}, {"rate": {"n": 1, "per": 600}}, {"per_key": 1}, {"per_instance": 1}, {"weight": {}}],
    ids=str,
)
async def test_who_refuses_to_begin_takes_no_place_of_its_queue(both: Both, limit: Any) -> None:
    await queued(both, "u", "v", "w", "x", **limit)
    await both.refuse("u", "v")
    limited = "weight" not in limit
    begun = (["w"], ["u", "v"]) if limited else (["w", "x"], ["u", "v"])
    assert await begin(both.b) == begun
    assert await begin(both.b) == ([], []), "it is passed by for a while"
    await let_go(both)
    if "rate" not in limit:
        for each in begun[0]:
            assert await write(both.b, end=SUCCESS, of=each)
        assert (await begin(both.b))[0] == (["u"] if limited else ["u", "v"])


async def test_who_refuses_to_go_on_in_its_queue_is_passed_by(both: Both) -> None:
    await queued(both, "u", "v", concurrency=4)
    assert await begin(both.a) == (["u", "v"], [])
    for each in "uv":
        assert await write(both.a, end=Suspension(None), of=each)
    await both.refuse("u")
    assert await begin(both.b) == (["v"], ["u"])
    await let_go(both)
    assert await begin(both.b) == (["u"], [])


async def test_others_of_an_exclusive_key_keep_their_order(both: Both) -> None:
    await queued(both, "u", "v", exclusive=True)
    await queued(both, "w", key="other")
    await both.refuse("u")
    assert await begin(both.b) == (["w"], ["u"])
    assert await begin(both.b) == ([], [])
    await let_go(both)
    assert await begin(both.b) == (["u"], [])


async def test_batches_are_made_of_those_that_let_them(both: Both) -> None:
    await queued(both, *"uvwxyz", batch={"n": 2, "wait": 0})
    await both.refuse("u", "w", "x")
    claims = await both.b.instances.claim_queued(Room(["f"], 10, 10))
    assert [list(each.members) for each in claims.workflows] == [["v"], ["y", "z"]]
    assert sorted(claims.refused) == ["u", "w", "x"]
    assert [await status_of(both.a, each) for each in "uvwxyz"] == [
        "ENQUEUED", "PENDING", "ENQUEUED", "ENQUEUED", "PENDING", "PENDING"
    ]  # fmt: skip
    ended = Ending(Status.SUCCESS, output='["of y", "of z"]')
    assert await write(both.b, end=ended, of="y/batch")
    assert await begin(both.b, room=0) == ([], [])
    states = [(await both.a.workflows.states([each])).found[each] for each in "yz"]
    assert [each.output for each in states] == ['"of y"', '"of z"']
    await let_go(both)
    claims = await both.b.instances.claim_queued(Room(["f"], 10, 10))
    assert [list(each.members) for each in claims.workflows] == [["u", "w"], ["x"]]


async def test_a_batch_is_not_deleted_before_its_members_have_their_results(both: Both) -> None:
    await queued(both, "y", "z", batch={"n": 2, "wait": 0})
    assert await begin(both.b) == (["y/batch"], [])
    await both.refuse("z")
    assert await write(both.b, end=Ending(Status.SUCCESS, output='["of y", "of z"]'), of="y/batch")
    with pytest.raises(NotNow, match="a member of the batch has not got its result"):
        await both.a.workflows.act(DELETE, "y/batch", {}, "me")
    await let_go(both)
    await begin(both.b, room=0)
    assert (await both.a.workflows.states(["z"])).found["z"].output == '"of z"'
    assert await both.a.workflows.act(DELETE, "y/batch", {}, "me") == {"deleted": 1}


async def test_who_refuses_fills_no_batch(both: Both) -> None:
    await queued(both, "u", batch={"n": 2, "wait": 600})
    await both.refuse("u")
    assert await begin(both.b) == ([], [])
    await queued(both, "v")
    assert await begin(both.b) == ([], ["u"])
    assert await begin(both.b) == ([], []), "it waits for another one: the one that refuses is none"
    await queued(both, "w")
    assert await begin(both.b) == (["v/batch"], [])


async def test_who_refuses_to_expire_does_not_begin_either(both: Both) -> None:
    await queued(both, "u", "v", start_within=0.01)
    await asyncio.sleep(0.02)  # real time: it is what they wait by
    await both.refuse("u")
    assert await begin(both.b) == ([], ["u"])
    assert [await status_of(both.a, each) for each in "uv"] == ["ENQUEUED", "CANCELLED"]
    await let_go(both)
    assert await begin(both.b) == ([], [])
    assert await status_of(both.a, "u") == "CANCELLED"


async def test_who_refuses_the_place_that_is_free_under_a_limit_keeps_it_from_nobody(both: Both) -> None:
    a, one = both.a.queues, {"concurrency": 2}
    waiting = "wxyz"
    await start(both.a, "u", "v", *waiting)
    uses = [LimitUse("l", each, 1, "1") for each in "uv"]
    assert [await a.take_limit(use, one) for use in uses] == [None, None]
    for each in waiting:
        assert await a.take_limit(LimitUse("l", each, 1, "1"), one) is not None
        assert await write(both.a, of=each, end=Suspension(4e9, '{"mail":0,"topics":[],"limits":["l"]}'))
    await both.refuse("w", "y")
    assert await a.free_limits("a", uses, ["l"]) == LimitsFreed([], True)
    assert sorted(each.workflow_id for each in await claim(both.b)) == ["x", "z"]


@pytest.mark.parametrize(
    "rule", [{"exclusive": True, "on_busy": "replace"}, {"debounce": {"quiet": 600, "at_most": 900}}], ids=str
)
async def test_a_call_that_needs_a_row_that_refuses_is_told_so_and_leaves_nothing(
    both: Both, rule: Any
) -> None:
    await queued(both, "u", **rule)
    await both.refuse("u")
    with pytest.raises(BadData):
        await both.b.queues.enqueue([new("v", queue="q", queue_key="k")], 2)
    assert not (await both.a.workflows.states(["v"])).found
    assert await status_of(both.a, "u") == "ENQUEUED"
    await both.refuse()
    ((entered),) = await both.b.queues.enqueue([new("v", queue="q", queue_key="k")], 3)
    assert entered.outcome == ("started" if "exclusive" in rule else "attached")


# --- verbs -------------------------------------------------------------------------------------------------


async def drawn_in(both: Both, verb: Verb) -> dict[str, Any]:
    """Workflow `u`, with child `c`, as `verb` takes it; and with which arguments."""
    await start(both.a, "u")
    await both.a.journal.commit(Batch(2, [new("c", parent="u")], []))
    if verb in (RESUME, SETTLE):
        await both.a.workflows.act(PAUSE, "u", {}, "me")
    elif verb in (RETRY, REWIND, DELETE):
        assert await write(both.a, step("1"), end=Ending(Status.ERROR, error='{"code":"x"}'), of="u")
        assert await write(both.a, end=SUCCESS, of="c")
    given: dict[Verb, dict[str, Any]] = {
        SETTLE: {"step": "1", "name": "s", "output": 1},
        REWIND: {"to": "1"},
        SET_WORKFLOW: {"attributes": {"a": "b"}},
    }
    return given.get(verb, {})


async def seen_of(both: Both, *ids: str) -> list[Any]:
    return [
        {name: str(value) for name, value in (row or {}).items() if name not in ("waiting_on", "due_at")}
        for row in [await both.a.workflows.show(each) for each in ids]
    ]


@pytest.mark.parametrize(
    "verb", [PAUSE, RESUME, SETTLE, SET_WORKFLOW, RETRY, REWIND, DELETE], ids=lambda verb: verb.name
)
async def test_a_verb_says_that_a_row_refuses_it_and_leaves_all_as_it_was(both: Both, verb: Verb) -> None:
    given = await drawn_in(both, verb)
    before = await seen_of(both, "u", "c"), await history(both.a, "u"), await acts(both)
    await both.refuse("u")
    with pytest.raises(NotNow, match="refuses"):
        await both.a.workflows.act(verb, "u", given, "me")
    assert (await seen_of(both, "u", "c"), await history(both.a, "u"), await acts(both)) == before
    await both.refuse()
    await both.a.workflows.act(verb, "u", given, "me")
    assert await acts(both) == [*before[2], (verb.name, "u")]


async def acts(both: Both) -> list[tuple[str, str]]:
    rows, _ = await both.a.workflows.listing(ACTS, {})
    return [(row["verb"], row["name"]) for row in reversed(rows)]


async def test_a_cancel_says_that_a_row_refuses_it(both: Both) -> None:
    await start(both.a, "u")
    await both.refuse("u")
    with pytest.raises(NotNow, match="refuses"):
        await both.a.workflows.cancel("u", "me")
    assert (await status_of(both.a, "u"), await acts(both)) == ("PENDING", [])
    await both.refuse()
    assert await both.a.workflows.cancel("u", "me") == "CANCELLED"


async def test_a_child_that_refuses_its_parents_new_time_keeps_it_from_no_retry(both: Both) -> None:
    """It has the time that it had, and its parent goes on."""
    times = {"deadline_s": 2e9, "timeout_s": 3e9}
    for each, above in (("p", None), ("c", "p"), ("d", "p")):
        assert (await both.a.journal.commit(Batch(1, [new(each, parent=above, **times)], []))).started == {
            each
        }
    assert await write(both.a, end=Ending(Status.ERROR, error='{"code":"workflow_error"}'), of="p")
    await both.refuse("c")
    assert (await both.a.workflows.act(RETRY, "p", {}, "me"))["status"] == Status.ENQUEUED


async def test_a_retry_says_that_what_was_cancelled_with_it_refuses(both: Both) -> None:
    await drawn_in(both, PAUSE)
    await both.a.workflows.cancel("u", "me")
    await both.a.messages.tell()
    await both.refuse("c")
    with pytest.raises(NotNow, match="refuses"):
        await both.a.workflows.act(RETRY, "u", {}, "me")
    assert [await status_of(both.a, each) for each in "uc"] == ["CANCELLED", "CANCELLED"]
    await both.refuse()
    await both.a.workflows.act(RETRY, "u", {}, "me")
    assert [await status_of(both.a, each) for each in "uc"] == ["ENQUEUED", "ENQUEUED"]


async def test_a_row_that_refuses_is_forked(both: Both) -> None:
    await drawn_in(both, RETRY)
    await both.refuse("u")
    fork = (await both.a.workflows.act(FORK, "u", {"from": "1"}, "me"))["fork"]
    assert await status_of(both.a, fork) == "ENQUEUED"


async def test_a_drain_says_how_many_it_cancelled_and_leaves_what_refuses(both: Both) -> None:
    await queued(both, "u", "v", "w", concurrency=1)
    await both.refuse("v")
    assert await both.a.workflows.act(DRAIN_QUEUE, "q", {}, "me") == {"cancelled": 2, "more": False}
    assert [await status_of(both.a, each) for each in "uvw"] == ["CANCELLED", "ENQUEUED", "CANCELLED"]
    await both.refuse()
    assert await both.a.workflows.act(DRAIN_QUEUE, "q", {}, "me") == {"cancelled": 1, "more": False}


# --- bulks -------------------------------------------------------------------------------------------------


async def bulk_of(both: Both, verb: str, prefix: str) -> str:
    given = {"verb": verb, "filter": {"prefix": prefix}, "rate": 1000}
    return str((await both.a.workflows.act(BULK, None, given, "me"))["workflow_id"])


async def run_bulks(both: Both) -> None:
    """Until there is nothing to do for a while."""
    async with asyncio.timeout(10):
        while (ran := await both.a.workflows.run_bulk()).next_s is not None and ran.next_s < 1.0:
            await asyncio.sleep(ran.next_s)


@pytest.mark.parametrize("verb", ["pause", "cancel"])
async def test_a_bulk_tells_of_what_refuses_and_does_the_others(both: Both, verb: str) -> None:
    await start(both.a, *(f"w{number}" for number in range(5)))
    await both.refuse("w2")
    bulk_id = await bulk_of(both, verb, "w")
    await run_bulks(both)
    rows, _ = await both.a.workflows.listing(BULK_ITEMS, {"bulk_id": bulk_id})
    assert [row["outcome"] for row in rows] == ["done", "done", "failed", "done", "done"]
    assert {row["workflow_id"] for row in rows if row["outcome"] == "failed"} == {"w2"}
    assert await status_of(both.a, bulk_id) == "SUCCESS"


async def test_a_bulk_whose_row_refuses_its_end_keeps_no_other(both: Both) -> None:
    await start(both.a, "u", "v")
    one = await bulk_of(both, "pause", "u")
    await both.refuse(one)
    other = await bulk_of(both, "pause", "v")
    await run_bulks(both)
    assert [await status_of(both.a, each) for each in (one, other)] == ["PENDING", "SUCCESS"]
    for each in "uv":
        assert (await both.a.workflows.show(each))["held"] is not None
