"""Rows that refuse: whatever else happens, they stop nobody, and lose nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from outlast.store import refusals
from outlast.store.refusals import Refusals
from tests.simulation.refusing import FAULTS, RUNS

CHUNK = 25


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(10)]
)
def test_who_refuses_stops_nobody_else_and_goes_on_once_it_is_let_go(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


def test_without_faults_all_is_well_too() -> None:
    for seed in range(20):
        assert RUNS.calm(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(60))
    assert set(FAULTS) <= seen.keys()
    assert {"due", "lost", "undelivered", "unwoken", "put aside", "told"} <= seen.keys()


def test_a_seed_gives_the_same_run_again() -> None:
    assert [RUNS.sights([seed]) for seed in range(5)] == [RUNS.sights([seed]) for seed in range(5)]


@pytest.mark.slow
def test_it_notices_who_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages to those that refuse use up what one delivery takes."""
    monkeypatch.setattr(Refusals, "now", lambda _: [])
    assert RUNS.notices("is undelivered since", range(60))


@pytest.mark.slow
def test_it_notices_who_is_left_out_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    note = Refusals.note

    def for_long(known: Refusals, refused: Iterable[str]) -> None:
        refused = list(refused)
        note(known, refused)
        known._known |= dict.fromkeys(refused, (known._known[refused[0]][0] + 1e6, 1.0)) if refused else {}

    monkeypatch.setattr(Refusals, "note", for_long)
    assert RUNS.notices("since", range(20))


def test_it_notices_pauses_that_grow_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "PAUSE_S", 100.0)
    assert RUNS.notices("since", range(20))
