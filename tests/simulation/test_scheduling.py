"""Schedules under kills, freezes, lost connections and clocks that jump: no tick doubled, none lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from outlast.core import schedules
from outlast.core.schedules import DueSchedule, Order, Ticked
from outlast.engine.instances import ticking
from outlast.testing.statements.schedules import ScheduleStatements
from tests.simulation.scheduling import RUNS

SEEDS = range(30)


@pytest.mark.parametrize(
    "seed", [pytest.param(each, marks=pytest.mark.slow if each >= 20 else ()) for each in SEEDS]
)
def test_each_time_is_accounted_for_once(seed: int) -> None:
    assert RUNS.play(seed) == []


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_where_nothing_goes_wrong_nothing_is_missed(seed: int) -> None:
    assert RUNS.calm(seed) == []


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    """Ticks are run, skipped, missed and late, and faults happen."""
    seen = RUNS.sights(SEEDS)
    assert {"skipped", "missed", "late", "kill", "freeze", "jump"} <= seen.keys()
    assert seen["started"] > 100


def test_a_decision_by_an_older_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    tick = ScheduleStatements.tick

    def by_any_row(statements: ScheduleStatements, orders: Sequence[Order], *_: float) -> list[Ticked]:
        rows = statements._db.schedules
        return tick(statements, [replace(each, revision=rows[each.name].revision) for each in orders])

    monkeypatch.setattr(ScheduleStatements, "tick", by_any_row)
    assert RUNS.notices("", SEEDS)


@pytest.mark.slow
def test_times_that_are_passed_over_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(schedule: DueSchedule) -> Order:
        order = schedules.decide(schedule)
        return replace(order, missed=(), missed_count=0)

    monkeypatch.setattr(ticking, "decide", forgetful)
    assert RUNS.notices("", SEEDS)


def test_an_overlap_that_is_not_seen_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    live = ScheduleStatements._live
    calls = [0]

    def blind(statements: ScheduleStatements, name: str) -> list[str]:
        calls[0] += 1
        return [] if calls[0] % 5 else live(statements, name)

    monkeypatch.setattr(ScheduleStatements, "_live", blind)
    assert RUNS.notices("", SEEDS)
