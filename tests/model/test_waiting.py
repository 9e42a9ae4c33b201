"""Ends and waits in every order: nobody sleeps on, and no two commits wait for each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.model.checker import UNREACHABLE_END, check
from tests.model.waiting import Waiting

GUARDS = (
    "notes_under_the_lock",
    "looks_again",
    "tells_by_a_fresh_snapshot",
    "keeps_the_locked",
    "notes_last",
)


@pytest.mark.slow
def test_no_wake_up_is_lost_and_nothing_stands_still() -> None:
    verdict = check(Waiting(), 2_000_000)
    assert verdict.broken is None, "\n".join(verdict.trace)
    assert verdict.complete
    assert verdict.states > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_somebody_waits_for_ever(guard: str) -> None:
    less: dict[str, Any] = {guard: False}
    assert check(replace(Waiting(cuts=0), **less), 2_000_000).broken == UNREACHABLE_END
