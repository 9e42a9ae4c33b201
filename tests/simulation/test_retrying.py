"""Retry and rewind under kills, freezes, lost connections and cancels: see retrying.py for what is held."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.testing.database import Database
from outlast.testing.statements import retrying
from outlast.testing.statements.retrying import Retrying
from tests.simulation.retrying import CALLED, FAULTS, RUNS

CHUNK = 10


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(9)]
)
def test_what_failed_succeeds_in_the_end_and_nothing_else_changes(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_goes_wrong(seed: int) -> None:
    assert RUNS.calm(seed) == []


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(40))
    functions = {function for seed in range(40) for _, function, _ in RUNS.draw(seed).calls}
    assert functions == {each.definition.name for each in CALLED}
    assert set(FAULTS) <= seen.keys()
    assert seen["retry"] > 40
    assert seen["rewind"] > 4
    assert {"cancelled in a saga", "undo killed", "undo dies", "undo fails"} <= seen.keys()


def test_a_success_that_changes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: Any, verb: Any, workflow_id: str, row: Any) -> None:
        pass

    monkeypatch.setattr(Retrying, "_check", check)
    assert RUNS.notices("the success of", range(10))


def test_a_failure_that_is_forgotten_without_a_retry_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Retrying.go_on

    def same(self: Any, workflow_id: str, row: Any, *given: Any) -> Any:
        dropped = go_on(self, workflow_id, row, *given)
        row.epoch -= 1
        return dropped

    monkeypatch.setattr(Retrying, "go_on", same)
    assert RUNS.notices("though nobody retried it", range(3))


def test_what_counts_as_done_though_it_may_have_been_undone_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrying, "with_undone", lambda _, steps: steps)
    assert RUNS.notices("is undone", (6, 75, 82))


@pytest.mark.slow
@pytest.mark.parametrize("check", ["check_writable", "wait_for_writable"])
def test_what_a_retry_does_to_rows_that_refuse_is_noticed(
    monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    monkeypatch.setattr(Database, check, lambda *_: None)
    assert RUNS.notices("refuses, and was written", range(200))


def test_a_map_that_goes_on_ends_though_all_its_items_have_before_its_last_block() -> None:
    assert RUNS.play(889000000) == []
