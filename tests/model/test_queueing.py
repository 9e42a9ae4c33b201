"""A queue's decisions in every order: its concurrency is never passed, and nobody waits for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.model.checker import UNREACHABLE_END, check
from tests.model.queueing import PASSED, STOLEN, Queueing

QUEUES = {
    "one at a time": Queueing(),
    "two at a time": Queueing(workflows=3, concurrency=2),
    "three instances": Queueing(workflows=2, instances=3),
}
WITHOUT = {
    "one_decides": PASSED,
    "counts_under_the_lock": PASSED,
    "counts_all": PASSED,
    "fence": STOLEN,
    "places_of_the_lost_are_free": UNREACHABLE_END,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUEUES)
def test_no_limit_is_passed_and_all_can_end(name: str) -> None:
    verdict = check(QUEUES[name], 500_000)
    assert verdict.broken is None, "\n".join(verdict.trace)
    assert verdict.complete
    assert verdict.states > 500


@pytest.mark.slow
@pytest.mark.parametrize("guard", WITHOUT)
def test_without_a_guard_a_rule_breaks(guard: str) -> None:
    less: dict[str, Any] = {guard: False}
    assert check(replace(QUEUES["one at a time"], **less), 500_000).broken == WITHOUT[guard]
