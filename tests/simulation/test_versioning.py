"""Versions and wrong code in deploys under faults: see versioning.py for what is held."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from outlast.engine.execution import versions
from outlast.engine.executor import Executor
from tests.simulation.versioning import CODES, draw, play, run

CHUNK = 10


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(6)]
)
def test_nothing_fails_and_all_end_once_the_right_code_is_there(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    faults: set[str] = set()
    kinds: set[str] = set()
    held: Counter[str] = Counter()
    for seed in range(40):
        played = run(draw(seed))
        faults |= played.faults.keys()
        kinds |= played.kinds
        held += played.held
    assert kinds == set(CODES)
    assert {"kill", "freeze", "cut", "partition", "restart", "stop"} <= faults
    assert held.keys() == {"non_determinism", "function_missing"}


def noticed(word: str, seeds: int) -> bool:
    return any(word in each for seed in range(seeds) for each in play(seed))


def test_another_version_that_runs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Executor.launch

    def any_version(self: Any, *given: Any, unserved: bool = False, **others: Any) -> None:
        launch(self, *given, **others)

    monkeypatch.setattr(Executor, "launch", any_version)
    assert noticed("ran as", 10)


def test_what_begins_without_a_version_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(versions, "_pin", nothing)
    assert noticed("ran as", 10) or noticed("bears the version", 10)
