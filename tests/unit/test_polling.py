"""How often workflows that run elsewhere are looked at."""

from __future__ import annotations

import pytest

from outlast.engine.waits.ends import LATE_MAX, LOOK_MAX_S, LOOK_MIN_S, Looks


def looks_until(looks: Looks, ids: list[str], now: float, ends: float) -> list[tuple[float, list[str]]]:
    """When there was a look, and for whom."""
    made = []
    while now < ends:
        made.append((now, looks.take_due(ids, now)))
        now += max(1e-6, looks.pause_s(ids, now))
    return made


def test_who_begins_to_wait_is_looked_at_at_once() -> None:
    looks = Looks()
    looks.begin("a", 100.0)
    assert looks.pause_s(["a"], 100.0) == 0.0
    assert looks.take_due(["a"], 100.0) == ["a"]
    assert looks.take_due(["a"], 100.0) == []
    assert looks.pause_s(["a"], 100.0) == pytest.approx(LOOK_MIN_S)


@pytest.mark.parametrize("after_s", [0.1, 1.0, 5.0, 30.0, 300.0])
def test_an_end_is_seen_late_by_a_part_of_the_wait_and_within_bounds(after_s: float) -> None:
    looks = Looks()
    looks.begin("a", 0.0)
    last = [at for at, _ in looks_until(looks, ["a"], 0.0, after_s)][-1]
    late_s = last + looks.pause_s(["a"], last) - after_s
    assert late_s <= min(LOOK_MAX_S, max(LOOK_MIN_S, after_s * LATE_MAX)) + 1e-6


def test_long_waits_cost_few_looks_and_share_them() -> None:
    looks, ids = Looks(), [f"w{number}" for number in range(90)]
    for number, each in enumerate(ids):
        looks.begin(each, number / 90)
    looks_until(looks, ids, 1.0, 60.0)
    made = looks_until(looks, ids, 60.0, 120.0)
    assert len(made) <= 60 / LOOK_MAX_S * 2
    assert sum(len(due) for _, due in made) <= 90 * 60 / LOOK_MAX_S * 2


def test_a_wait_that_has_just_begun_makes_others_looked_at_no_more_often_than_twice() -> None:
    looks = Looks()
    looks.begin("old", 0.0)
    looks_until(looks, ["old"], 0.0, 100.0)
    looks.begin("new", 100.0)
    made = looks_until(looks, ["old", "new"], 100.0, 110.0)
    assert sum("new" in due for _, due in made) > 20
    assert sum("old" in due for _, due in made) <= 10 / LOOK_MAX_S * 2 + 1


def test_what_left_this_instance_begins_anew_and_what_nobody_waits_for_is_forgotten() -> None:
    looks = Looks()
    looks.begin("a", 0.0)
    looks_until(looks, ["a"], 0.0, 100.0)
    for now in (100.0, 100.001):
        looks.begin("a", now)
        assert looks.take_due(["a"], now) == ["a"]
    looks.forget("a")
    assert (looks._began, looks._looked) == ({}, {})
