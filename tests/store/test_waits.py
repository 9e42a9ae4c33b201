"""Who waits for an end is woken in its commit, whichever comes first; cancels pass down. On both stores."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from outlast.core.records import Batch, Ending, FencedWrite, Suspension, Wait
from outlast.core.status import Status
from tests.store.alike import (
    SUCCESS,
    Both,
    claim,
    new,
    start,
    status_of,
    write,
)

FAR_S = 1000.0


def waiting_for(*targets: str) -> Suspension:
    """Until something happens, for a long time."""
    awaits = json.dumps({"mail": 2**62, "topics": [], "ends": targets[:3], "of": len(targets)})
    return Suspension(time.time() + FAR_S, awaits, tuple(map(Wait, targets)))  # noqa: TID251


async def family(store: Any, *children: str, detached: bool = False) -> None:
    """A parent `w` and its children."""
    await start(store, "w")
    rows = [new(each, parent="w", detached=detached) for each in children]
    assert (await store.journal.commit(Batch(3, rows, []))).started == set(children)


async def woken(store: Any) -> list[str]:
    return [each.workflow_id for each in await claim(store)]


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.ERROR])
async def test_an_end_wakes_who_waits_for_it_and_says_so(both: Both, status: Status) -> None:
    await family(both.a, "c")
    assert await write(both.a, end=waiting_for("c"))
    assert await woken(both.b) == []
    committed = await both.a.journal.commit(
        Batch(4, [], [FencedWrite("c", 1, [], Ending(status, error="{}"))])
    )
    assert committed.accepted == {"c"}
    assert committed.woken
    assert await woken(both.b) == ["w"]


async def test_an_end_that_came_first_makes_the_suspension_due_at_once(both: Both) -> None:
    await family(both.a, "c", "d")
    assert await write(both.a, end=SUCCESS, of="c")
    committed = await both.a.journal.commit(Batch(5, [], [FencedWrite("w", 1, [], waiting_for("d", "c"))]))
    assert committed.woken
    assert await woken(both.b) == ["w"]


async def test_an_end_and_its_wait_may_be_of_one_commit(both: Both) -> None:
    await family(both.a, "c")
    writes = [FencedWrite("c", 1, [], SUCCESS), FencedWrite("w", 1, [], waiting_for("c"))]
    committed = await both.a.journal.commit(Batch(5, [], writes))
    assert committed.accepted == {"w", "c"}
    assert committed.woken
    assert await woken(both.b) == ["w"]


async def test_any_of_several_wakes_and_the_others_do_so_again(both: Both) -> None:
    await family(both.a, "c", "d", "e")
    assert await write(both.a, end=waiting_for("c", "d", "e"))
    for epoch, each in enumerate("cde", start=2):
        assert await write(both.a, end=SUCCESS, of=each)
        assert await woken(both.a) == ["w"]
        assert await woken(both.a) == []
        left = [other for other in "cde" if other > each]
        assert await write(both.a, end=waiting_for(*left) if left else SUCCESS, epoch=epoch)


async def test_who_did_not_start_it_may_wait_for_it_too(both: Both) -> None:
    await start(both.a, "c", "v", "w")
    for each in "vw":
        assert await write(both.a, end=waiting_for("c"), of=each)
    assert await write(both.b, end=SUCCESS, of="c") is False
    assert await woken(both.b) == []
    assert await write(both.a, end=SUCCESS, of="c")
    assert sorted(await woken(both.b)) == ["v", "w"]


async def test_a_wait_for_nothing_is_over_at_once(both: Both) -> None:
    await start(both.a, "w")
    assert await write(both.a, end=waiting_for("nothing"))
    assert await woken(both.b) == ["w"]


async def test_a_refused_suspension_waits_for_nothing(both: Both) -> None:
    await family(both.a, "c")
    assert not await write(both.a, end=waiting_for("c"), epoch=0)
    committed = await both.a.journal.commit(Batch(4, [], [FencedWrite("c", 1, [], SUCCESS)]))
    assert not committed.woken
    assert await woken(both.b) == []


async def test_who_sleeps_by_now_is_not_woken_by_an_end_it_waited_for_before(both: Both) -> None:
    await family(both.a, "c", "d")
    assert await write(both.a, end=waiting_for("c", "d"))
    assert await write(both.a, end=SUCCESS, of="c")
    assert await woken(both.a) == ["w"]
    assert await write(both.a, end=Suspension(time.time() + FAR_S), epoch=2)  # noqa: TID251
    assert await write(both.a, end=SUCCESS, of="d")
    assert await woken(both.a) == []


async def test_a_cancel_wakes_who_waits(both: Both) -> None:
    await family(both.a, "c")
    assert await write(both.a, end=waiting_for("c"))
    assert await both.b.workflows.cancel("c", "me")
    assert await woken(both.b) == ["w"]


# --- cancels pass down -------------------------------------------------------------------------------------


async def test_a_cancel_passes_down_all_generations_in_its_commit(both: Both) -> None:
    await family(both.a, "c")
    assert (await both.a.journal.commit(Batch(4, [new("g", parent="c")], []))).started == {"g"}
    assert await write(both.a, end=SUCCESS, of="g")
    assert (await both.a.journal.commit(Batch(4, [new("h", parent="c")], []))).started == {"h"}
    assert await both.b.workflows.cancel("w", "me")
    assert [await status_of(both.a, each) for each in "wcgh"] == [
        Status.CANCELLED, Status.CANCELLED, Status.SUCCESS, Status.CANCELLED,
    ]  # fmt: skip
    assert not await write(both.a, end=SUCCESS, of="h")


async def test_what_is_detached_goes_on(both: Both) -> None:
    await family(both.a, "c", detached=True)
    assert await both.b.workflows.cancel("w", "me")
    assert await status_of(both.a, "c") == Status.PENDING
    assert await write(both.a, end=SUCCESS, of="c")


async def test_an_end_by_itself_passes_nothing_down(both: Both) -> None:
    await family(both.a, "c")
    assert await write(both.a, end=SUCCESS)
    assert await status_of(both.a, "c") == Status.PENDING


@pytest.mark.parametrize("queue", [None, "q"])
async def test_a_cancelled_parent_starts_nothing_more(both: Both, queue: str | None) -> None:
    await start(both.a, "w")
    assert await both.b.workflows.cancel("w", "me")
    child = new("c", parent="w", queue=queue)
    assert (await both.a.journal.commit(Batch(4, [child], []))).started == set()
    assert (await both.b.workflows.states(["c"])).found == {}


async def test_nor_does_it_by_a_queues_door(both: Both) -> None:
    await start(both.a, "w")
    (entered,) = await both.a.queues.enqueue([new("c", parent="w", queue="q", detached=True)], 1)
    assert entered.outcome == "started"
    assert await both.b.workflows.cancel("w", "me")
    assert await status_of(both.a, "c") == Status.ENQUEUED
    assert (await both.a.queues.enqueue([new("d", parent="w", queue="q")], 2))[0].outcome == "exists"
    assert (await both.b.workflows.states(["d"])).found == {}
