"""When a failed attempt is tried again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlast import UsageError, step
from outlast.core.retry import BACKOFF_MAX_S, RetryPolicy


@given(
    attempt=st.integers(1, 10**6),
    backoff=st.floats(0, 1e9),
    factor=st.floats(1, 1e9),
    most=st.floats(0, 1e9),
    seed=st.integers(),
)
def test_waits_are_bounded_whatever_is_asked(
    attempt: int, backoff: float, factor: float, most: float, seed: int
) -> None:
    policy = RetryPolicy(5, backoff, factor, most)
    wait = policy.wait_s(attempt, random.Random(seed).uniform)
    assert 0 <= wait <= min(most, BACKOFF_MAX_S)


def test_waits_grow_by_the_factor_with_jitter_in_the_upper_half() -> None:
    policy = RetryPolicy(9, backoff_s=1.0, backoff_factor=3.0, backoff_max_s=20.0)
    bounds: list[tuple[float, float]] = []
    for attempt in (1, 2, 3, 4):
        policy.wait_s(attempt, lambda low, high: bounds.append((low, high)) or low)  # type: ignore[func-returns-value]
    assert bounds == [(0.5, 1.0), (1.5, 3.0), (4.5, 9.0), (10.0, 20.0)]


def test_by_default_nothing_is_tried_again() -> None:
    assert not RetryPolicy().retries(ValueError(), 1)


def test_classes_and_predicates_choose() -> None:
    by_class = RetryPolicy(3, retry_on=(OSError,))
    assert by_class.retries(FileNotFoundError(), 2)
    assert not by_class.retries(FileNotFoundError(), 3)
    assert not by_class.retries(ValueError(), 1)
    by_word = RetryPolicy(3, retry_on=lambda error: "again" in str(error))
    assert by_word.retries(ValueError("again"), 1)
    assert not by_word.retries(ValueError("no"), 1)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": True},
        {"max_attempts": 2.5},
        {"backoff": "1"},
        {"backoff": float("nan")},
        {"backoff_factor": 0.5},
        {"backoff_factor": float("nan")},
        {"backoff_factor": "2"},
        {"retry_on": BaseException},
        {"retry_on": (ValueError, "x")},
        {"retry_on": 5},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "soon"},
    ],
)
def test_options_that_cant_work_are_refused_when_decorating(options) -> None:
    with pytest.raises(UsageError, match=r"step\("):
        step(**options)
