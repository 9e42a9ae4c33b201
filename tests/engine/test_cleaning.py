"""An instance removes what was kept for long enough, says how many, and stops when it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from outlast import UsageError, workflow
from outlast.core.observations import Observation, WorkflowsRemoved
from outlast.core.ports import Place, Pruned
from outlast.engine.instances import cleaning
from outlast.engine.instances.cleaning import Cleaner
from outlast.functions.options import declared_retentions

TIMEOUT_S = 10.0


class Store:
    """Removes what it is told to, batch by batch."""

    def __init__(self, *batches: int) -> None:
        self.batches = list(batches)
        self.asked: list[Place] = []
        self.declared: list[tuple[Mapping[str, float | None], Sequence[str]]] = []
        self.done = asyncio.Event()

    async def declare(self, keeps: Mapping[str, float | None], served: Sequence[str]) -> None:
        self.declared.append((keeps, served))

    async def prune(self, keep_s: float, after: Place) -> Pruned:
        self.asked.append(after)
        if not self.batches:
            self.done.set()
            return Pruned(0, False, Place())
        return Pruned(self.batches.pop(0), True, Place(None, f"w{len(self.asked)}"))


class Functions:
    """A catalog, as far as it is asked."""

    def __init__(self, **keeps: float | None) -> None:
        self.keeps = keeps

    def retentions(self) -> dict[str, float | None]:
        return dict(self.keeps)

    def workflow_names(self) -> list[str]:
        return ["f"]


def cleaner(
    store: Store,
    told: list[Observation],
    keep_s: float = 60.0,
    *,
    leaving: bool = False,
    **keeps: float | None,
) -> Cleaner:
    functions: object = Functions(**keeps)
    return Cleaner(store, functions, keep_s, lambda: True, lambda: not leaving, told.append, 60.0)  # type: ignore[arg-type]


async def test_it_goes_on_batch_by_batch_and_says_how_many_went() -> None:
    store, told = Store(500, 0, 7), list[Observation]()
    each = cleaner(store, told, f=None)
    each.loop.open()
    await asyncio.wait_for(store.done.wait(), TIMEOUT_S)
    await each.loop.close(1.0)
    assert store.asked == [Place(), Place(None, "w1"), Place(None, "w2"), Place(None, "w3")]
    assert store.declared == [({"f": None}, ["f"])]
    assert told == [WorkflowsRemoved(507)]


async def test_one_that_leaves_removes_nothing() -> None:
    store = Store()
    assert await cleaner(store, [], leaving=True)._do_round() == cleaning.REST_S_MAX
    assert await cleaner(store, [], 0.0)._do_round() == 60.0, "all is kept"
    assert store.asked == []
    await cleaner(store, [], 0.0, f=60.0)._do_round()
    assert store.asked == [Place()]


def test_what_functions_say() -> None:
    @workflow(retention=3600)
    async def hour() -> None: ...

    @workflow(retention="forever")
    async def ever() -> None: ...

    @workflow
    async def plain() -> None: ...

    found = {each.definition.name: each.definition for each in (hour, ever, plain)}
    assert declared_retentions(found) == {"hour": 3600.0, "ever": None}
    wrongs: tuple[Any, ...] = (0, 59, -1, float("nan"), "for ever", True)
    for wrong in wrongs:
        with pytest.raises(UsageError, match="retention"):
            workflow(retention=wrong)
