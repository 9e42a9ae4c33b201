"""Ticks that are refused: each is told, none is doubled, and later ones come."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest

from outlast.core.records import DeclaredQueue, Entered
from outlast.core.schedules import Catchup, Declared, Overlap, Policies, Schedule
from outlast.core.status import LIVE
from outlast.core.timetables import Every
from outlast.engine.instances.setbacks import Setbacks
from outlast.testing.statements import schedules
from outlast.testing.statements.queues import QueueStatements
from outlast.testing.statements.schedules import ScheduleStatements
from tests.simulation.network import Weather
from tests.simulation.plans import Plan, Refusal
from tests.simulation.ticking import RUNS, Drawn

CHUNK = 5


@pytest.mark.parametrize(
    "first", [pytest.param(n * CHUNK, marks=pytest.mark.slow if n else ()) for n in range(10)]
)
def test_each_time_is_accounted_for_once(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert RUNS.play(seed) == [], seed


@pytest.mark.slow
def test_there_is_something_to_see() -> None:
    seen = RUNS.sights(range(60, 100))
    reasons = {"queue_full", "rate_limited", "key_missing", "attached", "queue_busy"}
    assert reasons | {"skipped", "missed", "row refuses", "kill"} <= seen.keys()


def beside_one_that_fails() -> Drawn:
    """A schedule can't replace what runs of it, whose row refuses that; another one ticks each second."""

    def schedule(name: str, overlap: Overlap, length_s: float) -> Declared:
        policies = Policies(Catchup.LAST, overlap, None, None, 0.0)
        given = json.dumps({"length_s": length_s})
        return Declared(name, "job", "v1", Schedule(Every(1), policies, name, given))

    plan = Plan("0:ticks", 0, 1, [], Weather(), refusals=[Refusal(2.5, 20.0, 0.0, running=True)])
    declared = (schedule("bad", Overlap.CANCEL, 7.0), schedule("good", Overlap.ALLOW, 0.0))
    return Drawn(plan, declared, DeclaredQueue("q", {"concurrency": 50}, ("job",)), ())


def test_a_schedule_that_fails_slows_no_other() -> None:
    assert RUNS.run(beside_one_that_fails()).violations == []


def test_one_that_slows_others_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(_: Any, name: str, error: Exception | None) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(Setbacks, "note", stops)
    assert "late, beside" in str(RUNS.run(beside_one_that_fails()).violations)


note, in_place = ScheduleStatements._note, ScheduleStatements._start_in_place


def in_silence(self: Any, name: str, nominal: Any, outcome: str, count: int) -> None:
    """As if nobody need know of what was skipped."""
    if outcome != "skipped":
        note(self, name, nominal, outcome, count)


def for_good(self: Any, name: str, row: Any, nominal: Any, running: Any) -> Any:
    """Those that run are cancelled though nothing comes in their place."""
    result = in_place(self, name, row, nominal, running)
    for each in running:
        if self._db.workflows[each].status in LIVE:
            self._db.cancel(self._db.workflows[each], "too soon")
    return result


MISTAKES: dict[str, tuple[Any, str, Any, str]] = {
    "silence": (ScheduleStatements, "_note", in_silence, "told 0 times"),
    "open door": (QueueStatements, "_pass_door", lambda *_: None, "is to be refused"),
    "closed door": (QueueStatements, "enter", lambda *_: Entered("queue_full"), "are reasons"),
    "cancelled for nothing": (ScheduleStatements, "_start_in_place", for_good, "were cancelled for it"),
    "half done": (schedules, "_all_or_nothing", nullcontext, ""),
}


@pytest.mark.parametrize(
    "mistake", [pytest.param(each, marks=() if each == "silence" else pytest.mark.slow) for each in MISTAKES]
)
def test_a_mistake_is_noticed(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    of, name, instead, word = MISTAKES[mistake]
    monkeypatch.setattr(of, name, instead)
    assert RUNS.notices(word, range(120))
