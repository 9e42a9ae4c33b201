"""Versions and wrong code in deploys under faults: see versioning.py for what is held."""

from __future__ import annotations

from typing import Any

import pytest

from outlast.engine.execution import versions
from outlast.engine.executor import Executor
from tests.simulation.versioning import CODES, FAULTS, RUNS

CHUNK = 10


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(6)]
)
def test_nothing_fails_and_all_end_once_the_right_code_is_there(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(40))
    held = {"non_determinism", "function_missing"}
    assert seen.keys() == held | {*FAULTS} | {f"{each} code" for each in CODES}


def test_another_version_that_runs_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Executor.launch

    def any_version(self: Any, *given: Any, unserved: bool = False, **others: Any) -> None:
        launch(self, *given, **others)

    monkeypatch.setattr(Executor, "launch", any_version)
    assert RUNS.notices("ran as", range(10))


def test_what_begins_without_a_version_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(versions, "_pin", nothing)
    assert RUNS.notices("ran as", range(10)) or RUNS.notices("bears the version", range(10))
