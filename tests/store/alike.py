"""Two instances on one database, on Postgres and in memory alike, and what tests of both do with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outlast.core.claims import ClaimedWorkflow, LostInstance, Room
from outlast.core.records import (
    Batch,
    Committed,
    Ending,
    FencedWrite,
    InboxQuery,
    NewWorkflow,
    StepRecord,
)
from outlast.core.status import Status

LIMITS: dict[str, Any] = {
    "attempts_max": 3,
    "suspect_after": 2,
    "batch": 2,
    "backoff_s": 50.0,
    "backoff_max_s": 60.0,
}
AWAITING = '{"mail":0,"topics":["t"]}'
SUCCESS = Ending(Status.SUCCESS, output='"done"')


@dataclass
class Both:
    """Two instances on one database, whichever it is."""

    a: Any
    b: Any
    effect: Callable[[Any], Any]
    effects: Callable[[], Any]
    refuse: Callable[..., Any]
    """From now on the rows of these workflows, and of no others, refuse to be written."""


def new(workflow_id: str = "w", **columns: Any) -> NewWorkflow:
    return NewWorkflow(workflow_id, "f", "{}", **columns)


def step(
    step_id: str, output: str | None = "1", order: int | None = 1, error: str | None = None
) -> StepRecord:
    return StepRecord(step_id, "s", output, error, 1, order)


async def start(store: Any, *ids: str) -> None:
    committed = await store.journal.commit(Batch(1, [new(each) for each in ids], []))
    assert committed == Committed(frozenset(ids), frozenset())


async def write(
    store: Any, *steps: StepRecord, end: Any = None, epoch: int = 1, nonce: int = 2, of: str = "w"
) -> bool:
    """Whether what was written of a workflow was accepted."""
    committed = await store.journal.commit(Batch(nonce, [], [FencedWrite(of, epoch, list(steps), end)]))
    return of in committed.accepted


async def claim(store: Any, room: int = 10, suspects: int = 10) -> list[ClaimedWorkflow]:
    return (await store.instances.claim(Room(["f"], room, suspects))).workflows


async def history(store: Any, workflow_id: str = "w") -> dict[str, StepRecord]:
    claimed = ClaimedWorkflow(workflow_id, "f", 1, None)
    assert [each async for each in store.workflows.load([claimed], lambda _: False)] == [claimed]
    return claimed.history.records


async def lose(both: Both, *, ttl_s: float = -1.0) -> LostInstance:
    """Let the lease of `a` be over; how `b` sees that."""
    await both.a.instances.beat(ttl_s)
    (lost,) = (await both.b.instances.claim(Room(["f"], 10, 10))).lost
    return lost


async def taken_over(both: Both, workflow_id: str = "w") -> ClaimedWorkflow:
    """Start a workflow on `a` and let `b` take it over."""
    await start(both.a, workflow_id)
    assert await both.b.instances.recover([await lose(both)]) == [(workflow_id, "PENDING")]
    (claimed,) = await claim(both.b)
    return claimed


async def status_of(store: Any, workflow_id: str = "w") -> Status:
    return (await store.workflows.states([workflow_id])).found[workflow_id].status


async def read(store: Any, *boxes: InboxQuery) -> dict[int, tuple[int, list[tuple[int, str]]]]:
    """What a look finds: by box the known number, and numbers and bodies."""
    found = await store.messages.read(boxes)
    return {place: (mail.seen, [(m.number, m.body) for m in mail.messages]) for place, mail in found.items()}
