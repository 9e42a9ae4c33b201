"""Suspects, families and memory in every order: nobody waits for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.model.checker import UNREACHABLE_END, check
from tests.model.claiming import LARGE, Claiming

FAMILIES = {
    "a parent, its child and a stranger": Claiming((1, None, None), (1, 1, 1)),
    "three generations and a stranger": Claiming((1, 2, None, None), (1, 1, 1, 1)),
    "two families": Claiming((1, None, 3, None), (1, 1, 1, 1)),
    "families that fill the memory": Claiming((1, None, 3, None), (2, 2, 2, 2)),
    "a giant child of a giant": Claiming((1, None, None), (LARGE, LARGE, 1)),
    "a giant among small ones": Claiming((None, None, None, 4, None), (LARGE, 1, 1, 1, 2), crashes=3),
}
WITHOUT = {
    "waiting_suspect_lets_next_run": "a parent, its child and a stranger",
    "waiting_parent_takes_no_memory": "families that fill the memory",
    "large_runs_alone": "a giant among small ones",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_from_every_state_all_can_end(name: str) -> None:
    verdict = check(FAMILIES[name], 100_000)
    assert verdict.broken is None, "\n".join(verdict.trace)
    assert verdict.complete
    assert verdict.states > 50


@pytest.mark.slow
@pytest.mark.parametrize("guard", WITHOUT)
def test_without_a_guard_somebody_waits_for_ever(guard: str) -> None:
    less: dict[str, Any] = {guard: False}
    assert check(replace(FAMILIES[WITHOUT[guard]], **less), 100_000).broken == UNREACHABLE_END
