"""Retention beside everything else: nothing that is needed is removed, and in the end everything is."""

from __future__ import annotations

import pytest

from tests.simulation.cleaning import play

SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_goes_that_is_needed_and_all_goes_in_the_end(seed: int) -> None:
    outcome, removed = play(seed)
    assert outcome.violations == []
    assert removed > 0
