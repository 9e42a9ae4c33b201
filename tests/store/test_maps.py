"""Maps: begun by their parent's owner, block after block, ended by their last item. On both stores."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.core.claims import Room
from outlast.core.maps import MapState, NewMap
from outlast.core.ports import Fence, HeldUp
from outlast.core.records import Batch, Ending, NewWorkflow
from outlast.core.status import LIVE, Status
from outlast.core.verbs import RETRY
from tests.store.alike import (
    SUCCESS,
    Both,
    claim,
    history,
    start,
    status_of,
    write,
)
from tests.store.harness import rows, store_of

MINE = Fence("w", 1, "1", 7)
FAILED = Ending(Status.ERROR, error='{"code": "workflow_error"}')


def a_map(**options: Any) -> NewMap:
    given: dict[str, Any] = {
        "concurrency": 5,
        "tolerate": 0,
        "on_fail": "drain",
        "fingerprint": "x",
    } | options
    return NewMap("w/map.1", "w", "f", None, None, None, **given)


def items(*keys: object) -> list[NewWorkflow]:
    return [NewWorkflow(f"w/map.1/{key}", "f", "{}", parent="w/map.1", queue="w/map.1") for key in keys]


async def opened(store: Any, total: int, **options: Any) -> None:
    await start(store, "w")
    assert await store.maps.open(MINE, a_map(**options), total) == MapState(Status.PENDING, total, 0, False)


async def begun(store: Any, room: int = 10) -> list[str]:
    claims = await store.instances.claim_queued(Room(["f"], room, 10))
    return sorted(each.workflow_id for each in claims.workflows)


async def test_a_map_begins_under_its_parents_fence(both: Both) -> None:
    await start(both.a, "w")
    assert await both.a.maps.open(Fence("w", 2, "1", 7), a_map(), 3) is None
    assert await both.b.maps.open(MINE, a_map(), 3) is None
    assert await both.a.maps.look("w/map.1") is None


async def test_of_the_maps_of_one_place_one_is_found(both: Both) -> None:
    await opened(both.a, 2)
    assert await write(both.a, end=FAILED)
    await both.a.workflows.act(RETRY, "w", {}, "me")
    (claimed,) = await claim(both.a)
    mine = Fence("w", claimed.epoch, "1", 7)
    ids = ["w/map.1", "w/map.1.again-2", "w/map.1.again-3"]

    async def found(generation: int, **given: Any) -> str | None:
        of: str | None = await both.a.maps.find(mine, a_map()._replace(**given), ids[:generation])
        return of

    assert await both.a.maps.find(Fence("w", 1, "1", 7), a_map(), ids[:2]) is None
    assert await both.a.maps.find(mine, a_map(), ["w/map.7", "w/map.7.again-2"]) == "w/map.7"
    assert await found(2) == ids[0]
    assert not (await both.a.maps.look(ids[0])).stopped
    assert await found(2, function="g", former=("f",)) == ids[0]
    assert await found(2, function="g") == ids[1]
    assert (await both.a.maps.look(ids[0])).stopped
    assert await found(2, fingerprint="y") == ids[1]
    await both.a.maps.open(mine, a_map()._replace(map_id=ids[1], fingerprint="y"), 3)
    # This generation has its map, whatever the body says when it is run again.
    assert await found(2) == await found(2, fingerprint="z") == ids[1]
    assert await write(both.a, end=FAILED, epoch=claimed.epoch, nonce=3)
    await both.a.workflows.act(RETRY, "w", {}, "me")
    (claimed,) = await claim(both.a)
    mine = Fence("w", claimed.epoch, "1", 7)
    assert [await found(3), await found(3, fingerprint="y")] == ids[:2]
    assert await found(3, fingerprint="z") == ids[2]


async def test_a_block_starts_under_its_parents_fence(both: Both) -> None:
    await opened(both.a, 2)
    stale = Fence("w", 0, "1", 7)
    assert await both.a.maps.start_block(stale, "w/map.1", 0, items(0, 1), None) is None
    assert await both.b.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None) is None
    assert await begun(both.a) == []


async def test_items_are_kept_under_their_parents_fence_and_may_be_kept_anew(both: Both) -> None:
    await start(both.a, "w")
    assert await both.a.maps.open(MINE, a_map(tolerate=0.5), None) == MapState(Status.PENDING, None, 0, False)
    assert await both.a.maps.keep(MINE, "w/map.1", 0, ["1", "2", "3"])
    assert await both.a.maps.keep(MINE, "w/map.1", 0, ["4", "5"])
    assert not await both.a.maps.keep(Fence("w", 0, "1", 7), "w/map.1", 2, ["6"])
    assert not await both.b.maps.kept(MINE, "w/map.1", 3, 1)
    assert await both.a.maps.kept(MINE, "w/map.1", 2, 1)
    assert await both.a.maps.look("w/map.1") == MapState(Status.PENDING, 2, 0, False)
    assert await both.a.maps.source("w/map.1", 0, 10) == ["4", "5"]


async def test_places_are_beyond_what_small_numbers_hold(both: Both) -> None:
    """The driver sends 32,000 as a smallint, and two of these make none."""
    await opened(both.a, 2)
    assert await both.a.maps.keep(MINE, "w/map.1", 0, ["1"])
    for place in (32_000, 999_999):
        assert await both.a.maps.source("w/map.1", place, 1_000) == []
        assert both.a.maps.ends("w/map.1", [], place, 1_000) == []
    state = MapState(Status.PENDING, 2, 0, False)
    assert await both.a.maps.start_block(MINE, "w/map.1", 32_000, items(*range(1_000)), None) == state
    assert await both.a.maps.kept(MINE, "w/map.1", 999_999, 500_000)


async def test_the_planner_gets_to_know_of_a_large_map(database: str) -> None:
    known = "select greatest(reltuples, 0)::int from pg_class where oid = 'outlast.workflow_status'::regclass"
    async with store_of(database, "a") as store:
        await opened(store, 6_000)
        for first, last in ((0, 4_000), (4_000, 4_900)):
            await store.maps.start_block(MINE, "w/map.1", first, items(*range(first, last)), None)
            assert await rows(database, known) == [(0,)]
        await store.maps.start_block(MINE, "w/map.1", 4_900, items(*range(4_900, 5_000)), None)
        assert (await rows(database, known))[0][0] >= 5_000


async def test_results_of_a_query_are_read_from_any_place(database: str) -> None:
    async with store_of(database, "a") as store:
        await opened(store, 2)
        assert store.maps.ends("w/map.1", None, 32_000, 1_000) == []
        assert store.maps.failures("w/map.1", "", 32_767) == []


async def test_a_block_starts_once_and_in_its_place(both: Both) -> None:
    await opened(both.a, 4)
    first = await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None)
    assert first == MapState(Status.PENDING, 4, 2, False)
    # As after a lost answer; and a block that somebody takes for the next one.
    assert await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None) == first
    assert await both.a.maps.start_block(MINE, "w/map.1", 0, items(7, 8), None) == first
    assert await both.a.maps.start_block(MINE, "w/map.1", 3, items(3), None) == first
    assert await begun(both.a) == ["w/map.1/0", "w/map.1/1"]


async def test_the_last_item_ends_the_map_and_its_queue(both: Both) -> None:
    await opened(both.a, 2)
    await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None)
    assert await begun(both.b) == ["w/map.1/0", "w/map.1/1"]
    assert await write(both.b, end=SUCCESS, of="w/map.1/0")
    assert await status_of(both.a, "w/map.1") is Status.PENDING
    assert await write(both.b, end=SUCCESS, of="w/map.1/1")
    assert await status_of(both.a, "w/map.1") is Status.SUCCESS
    assert await both.a.maps.counts("w/map.1") == (2, 2, 0)


async def test_it_is_not_over_before_all_have_been_started(both: Both) -> None:
    await opened(both.a, 2)
    await both.a.maps.start_block(MINE, "w/map.1", 0, items(0), None)
    assert await begun(both.b) == ["w/map.1/0"]
    assert await write(both.b, end=SUCCESS, of="w/map.1/0")
    assert await both.a.maps.look("w/map.1") == MapState(Status.PENDING, 2, 1, False)


async def test_a_map_that_has_failed_starts_nothing_more(both: Both) -> None:
    await opened(both.a, 6, concurrency=2)
    await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1, 2, 3), None)
    first, second = await begun(both.b)
    assert await write(both.b, end=FAILED, of=first)
    stopped = MapState(Status.PENDING, 6, 4, True)
    assert await both.a.maps.look("w/map.1") == stopped
    assert await both.a.maps.start_block(MINE, "w/map.1", 4, items(4, 5), None) == stopped
    assert await begun(both.b) == []
    assert await write(both.b, end=SUCCESS, of=second)
    assert await status_of(both.a, "w/map.1") is Status.ERROR
    assert await both.a.maps.counts("w/map.1") == (6, 1, 1)
    assert [each.workflow_id for each in await both.a.maps.failed("w/map.1", "", 10)] == [first]


async def test_progress_is_told_by_others_only_while_nobody_owns_the_parent(both: Both) -> None:
    await opened(both.a, 2)
    await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None)
    await begun(both.b)
    assert await write(both.b, end=SUCCESS, of="w/map.1/0")
    assert "map.1" not in await history(both.a)
    await both.a.maps.tell("w/map.1", 5)
    told = (await history(both.a))["map.1"]
    assert (told.completion_order, told.kind, told.name) == (5, "publish", "publish map.1")


async def test_the_queue_of_a_map_that_is_cancelled_before_its_first_item_goes(both: Both) -> None:
    await opened(both.a, 3)
    assert await both.a.workflows.cancel("w", "me")
    assert (await both.a.instances.claim(Room(["f"], 10, 1))).queued
    assert await begun(both.a) == []
    await both.a.messages.tell()
    assert not (await both.a.instances.claim(Room(["f"], 10, 1))).queued


@pytest.mark.parametrize("late", ["w/map.1", "w/map.1/1"])
async def test_items_of_a_cancelled_workflow_are_cancelled_and_not_removed(both: Both, late: str) -> None:
    """Whoever comes first: who tells of the cancel, or who stops maps that go on for nobody."""
    await opened(both.a, 3, concurrency=1)
    assert await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1, 2), None)
    assert await begun(both.a) == ["w/map.1/0"]
    await both.refuse(late)
    assert await both.a.workflows.cancel("w", "me")
    await both.refuse()
    assert await status_of(both.a, late) in LIVE
    assert await begun(both.b) == []
    await both.a.messages.tell()
    ended = [await status_of(both.a, f"w/map.1{item}") for item in ("", "/0", "/1", "/2")]
    assert ended == [Status.CANCELLED] * 4
    await begun(both.b)
    assert not (await both.a.instances.claim(Room(["f"], 10, 1))).queued


async def test_who_maps_waits_for_a_map_whose_row_refuses(both: Both) -> None:
    await start(both.a, "w")
    assert await both.a.maps.open(MINE, a_map(), None) == MapState(Status.PENDING, None, 0, False)
    await both.refuse("w/map.1")
    with pytest.raises(HeldUp):
        await both.a.maps.kept(MINE, "w/map.1", 2, 0)
    await both.refuse()
    assert await both.a.maps.kept(MINE, "w/map.1", 2, 0)
    await both.refuse("w/map.1")
    with pytest.raises(HeldUp):
        await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None)
    await both.refuse()
    assert await both.a.maps.look("w/map.1") == MapState(Status.PENDING, 2, 0, False)
    began = await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None)
    assert began == MapState(Status.PENDING, 2, 2, False)


async def test_a_map_that_is_stopped_keeps_only_the_item_that_refuses(both: Both) -> None:
    await opened(both.a, 4, concurrency=1)
    assert await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1, 2, 3), None)
    assert await begun(both.a) == ["w/map.1/0"]
    await both.refuse("w/map.1/2")
    assert await write(both.a, end=FAILED, of="w/map.1/0")
    assert await begun(both.b) == []
    left = [await both.a.workflows.states([f"w/map.1/{item}"]) for item in range(4)]
    assert [bool(each.found) for each in left] == [True, False, True, False]
    assert await status_of(both.a, "w/map.1/2") is Status.ENQUEUED
    assert await status_of(both.a, "w/map.1") is Status.PENDING
    await both.refuse()
    assert await begun(both.b) == []
    assert await status_of(both.a, "w/map.1") is Status.ERROR
    assert not (await both.a.instances.claim(Room(["f"], 10, 1))).queued


async def test_a_map_that_refuses_to_be_stopped_keeps_its_items(both: Both) -> None:
    await opened(both.a, 2, concurrency=1)
    assert await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None)
    assert await begun(both.a) == ["w/map.1/0"]
    await both.refuse("w/map.1")
    assert await both.a.workflows.cancel("w", "me")
    assert await begun(both.b) == []
    assert [await status_of(both.a, f"w/map.1{item}") for item in ("", "/0", "/1")] == [
        "PENDING", "PENDING", "ENQUEUED"
    ]  # fmt: skip


async def retried(both: Both) -> Fence:
    """The workflow has failed with a child and an item of its map, and goes on: under which fence."""
    await opened(both.a, 2)
    assert await both.a.maps.start_block(MINE, "w/map.1", 0, items(0, 1), None)
    await both.a.journal.commit(Batch(9, [NewWorkflow("c", "f", "{}", parent="w")], []))
    assert await begun(both.a) == ["w/map.1/0", "w/map.1/1"]
    for each in ("w/map.1/0", "w/map.1/1", "c"):
        assert await write(both.a, end=FAILED, of=each)
    await both.a.messages.tell()
    assert await status_of(both.a, "w/map.1") is Status.ERROR
    assert await write(both.a, end=FAILED, of="w")
    await both.a.workflows.act(RETRY, "w", {}, "me")
    (claimed,) = (await both.a.instances.claim(Room(["f"], 10, 10))).workflows
    return Fence("w", claimed.epoch, "1", 8)


@pytest.mark.parametrize("refusing", ["w/map.1", "w/map.1/0"])
async def test_a_retry_waits_for_what_refuses_of_its_map(both: Both, refusing: str) -> None:
    fence = await retried(both)
    await both.refuse(refusing)
    with pytest.raises(HeldUp):
        await both.a.maps.reopen(fence, a_map(), 3)
    assert [await status_of(both.a, f"w/map.1{item}") for item in ("", "/0", "/1")] == [Status.ERROR] * 3
    await both.refuse()
    while (state := await both.a.maps.reopen(fence, a_map(), 3)).reopening:
        pass
    assert state == MapState(Status.PENDING, 2, 2, False)
    assert await begun(both.a) == ["w/map.1/0", "w/map.1/1"]


async def test_a_retry_waits_for_a_child_that_refuses(both: Both) -> None:
    fence = await retried(both)
    await both.refuse("c")
    with pytest.raises(HeldUp):
        await both.a.maps.retry_child(fence, "c")
    assert await status_of(both.a, "c") is Status.ERROR
    await both.refuse()
    assert await both.a.maps.retry_child(fence, "c")
    assert await status_of(both.a, "c") is Status.ENQUEUED
