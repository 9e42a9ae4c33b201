"""Limits of steps in simulated time."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.engine.waits.limits import Limits
from outlast.testing.statements.queues import QueueStatements
from tests.simulation.limiting import FAULTS, RUNS


@pytest.mark.parametrize("block", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 3))])
def test_no_limit_is_passed_and_all_get_a_place(block: int) -> None:
    for seed in range(block * 10, block * 10 + 10):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(25))
    assert set(FAULTS) | {"given up"} <= seen.keys()


def test_a_place_too_many_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueueStatements, "_room", lambda *_: 1)
    assert RUNS.notices("hold places", range(20))
    assert RUNS.notices("began within", range(20))


def test_a_place_that_is_never_given_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(self: Any, use: Any) -> None: ...

    monkeypatch.setattr(Limits, "leave", leave)
    assert RUNS.notices("was given up", range(40))
