"""Bulks under kills, freezes, lost connections, pauses and cancels: each once, and none left out."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.core.ports import Unreachable
from outlast.testing.database import Database
from outlast.testing.rows import BulkRow, Workflow
from outlast.testing.statements.bulks import BulkStatements
from tests.simulation.bulking import FAULTS, RUNS

CHUNK = 10


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(10)]
)
def test_each_once_and_none_left_out(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(40))
    verbs = {given["verb"] for seed in range(40) for _, given in RUNS.draw(seed).bulks}
    assert verbs == {"cancel", "pause", "set"}
    assert {*FAULTS, "row refuses"} <= seen.keys()
    assert seen["items"] > 100


@pytest.mark.slow
def test_an_item_that_is_skipped_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    do = BulkStatements._do

    def skips(self: BulkStatements, bulk: BulkRow) -> None:
        bulk.place += bulk.place == 3
        do(self, bulk)

    monkeypatch.setattr(BulkStatements, "_do", skips)
    assert RUNS.notices("None", range(20))


def test_a_block_that_is_done_again_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    do = BulkStatements._do

    def repeats(self: BulkStatements, bulk: BulkRow) -> None:
        first = bulk.place
        do(self, bulk)
        if first == 3:
            for item in bulk.items[first : bulk.place]:
                item.outcome = None
            bulk.place = first
            do(self, bulk)

    monkeypatch.setattr(BulkStatements, "_do", repeats)
    assert RUNS.notices("twice", range(30))


def test_what_is_fixed_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    fix = BulkStatements._fix

    def repeats(self: BulkStatements, bulk: BulkRow, row: Workflow) -> None:
        after: Any = bulk.after
        fix(self, bulk, row)
        if len(bulk.items) == 3:
            bulk.after = after

    monkeypatch.setattr(BulkStatements, "_fix", repeats)
    assert RUNS.notices("has", range(20))


@pytest.mark.slow
def test_a_bulk_that_keeps_others_as_it_refuses_its_end_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    block = BulkStatements._block

    def fails(self: BulkStatements, bulk_id: str, bulk: BulkRow, row: Workflow) -> None:
        if self._db.refuses(bulk_id) and bulk.fixed:
            raise Unreachable("as a block fails of which one row fails")
        block(self, bulk_id, bulk, row)

    monkeypatch.setattr(BulkStatements, "_block", fails)
    assert RUNS.notices("is due since", range(200))


def test_what_a_bulk_does_to_rows_that_refuse_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "check_writable", lambda *_: None)
    assert RUNS.notices("refuses, and was written", range(40))
