"""Maps under kills, freezes, lost connections and cancels: items once each, no orphan, the parent woken."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.testing import maps as in_memory
from outlast.testing.database import Database
from outlast.testing.maps import Maps
from outlast.testing.statements.maps import MapStatements
from tests.simulation.mapping import FAULTS, RUNS

CHUNK = 10


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(6)]
)
def test_items_once_each_and_the_parent_is_woken(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_goes_wrong(seed: int) -> None:
    assert RUNS.calm(seed) == []


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    functions = {function for seed in range(30) for _, function, _ in RUNS.draw(seed).calls}
    assert functions == {"mapper", "outer", "fan"}
    assert {*FAULTS, "row refuses"} <= RUNS.sights(range(30)).keys()


@pytest.mark.slow
def test_a_map_that_nobody_ends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Maps, "end", lambda self, ended: None)
    assert RUNS.notices("live", range(10))


@pytest.mark.slow
def test_a_parent_that_is_not_woken_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "_is_over", lambda self, target: "/map." not in target)
    assert RUNS.notices("live", range(10))


@pytest.mark.slow
def test_a_block_that_is_skipped_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    start_block = MapStatements.start_block

    def skips(self: Any, fence: Any, map_id: str, first: int, news: Any, keys: Any) -> Any:
        return start_block(self, fence, map_id, first, news if first != 3 else news[:-1], keys)

    monkeypatch.setattr(MapStatements, "start_block", skips)
    assert RUNS.notices("", range(20))


@pytest.mark.slow
def test_failures_that_nobody_counts_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_memory, "FAILED", ())
    assert RUNS.notices("failed as", range(40))


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["map", "item"])
def test_what_is_written_though_it_refuses_is_noticed(monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    if whose == "map":
        monkeypatch.setattr(Database, "wait_for_writable", lambda *_: None)
    else:
        monkeypatch.setattr(Database, "refuses", lambda *_: False)
    assert RUNS.notices("refuses, and was written", range(200))
