"""Operators at any moment of simulated schedules: a pause loses nothing, and forks have what they should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from outlast.core.records import StepRecord
from outlast.testing.database import Database
from outlast.testing.statements import claiming, workflow_verbs
from tests.simulation.network import Weather
from tests.simulation.operating import AT_CYCLES, operated_plan, simulate_operated
from tests.simulation.plans import Plan

CHUNK = 10
PROGRAM: Any = [
    "row", "r", [
        ["gather", "g", [["step", "a", [], 0], ["pay", "b", [], 0]], 0.4],
        ["step", "c", [], 0],
        ["child", "d", [["step", "e", [], 0]], 0],
    ], 0,
]  # fmt: skip


@pytest.mark.parametrize(
    "first",
    [pytest.param(each, marks=() if each == 0 else pytest.mark.slow) for each in range(0, 8 * CHUNK, CHUNK)],
)
def test_whatever_operators_do_all_is_well_in_the_end(first: int) -> None:
    for seed in range(first, first + CHUNK):
        outcome = simulate_operated(operated_plan(seed))
        assert not outcome.violations, f"schedule {outcome.plan.name}"


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.long), 101])
@pytest.mark.parametrize("kind", AT_CYCLES)
def test_one_act_at_each_cycle(kind: str, every: int) -> None:
    calm = Plan("calm", 1, 2, [PROGRAM], Weather(latency_s=0.0002, sessions=False))
    cycles = simulate_operated(calm).cycles
    for cycle in range(1, cycles, every):
        outcome = simulate_operated(replace(calm, at_cycle=(cycle, kind)))
        assert not outcome.violations, f"at cycle {cycle}"


def found(count: int = 150) -> bool:
    return any(simulate_operated(operated_plan(seed)).violations for seed in range(count))


@pytest.mark.slow
def test_it_finds_claims_of_what_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claiming.ClaimStatement.claim

    def all_of(self: Any, *args: Any, **options: Any) -> Any:
        held = {each: row.held for each, row in self._db.workflows.items()}
        for each in held:
            self._db.workflows[each].held = None
        claims = claim(self, *args, **options)
        for each, text in held.items():
            self._db.workflows[each].held = text
        return claims

    monkeypatch.setattr(claiming.ClaimStatement, "claim", all_of)
    assert found()


@pytest.mark.slow
def test_it_finds_forks_with_what_depends_on_what_they_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_but(records: dict[str, StepRecord], steps: list[str]) -> list[str]:
        return [each for each in records if each not in steps]

    monkeypatch.setattr(workflow_verbs, "records_kept", all_but)
    assert found()


@pytest.mark.slow
def test_what_verbs_do_to_rows_that_refuse_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "check_writable", lambda *_: None)
    found = [simulate_operated(operated_plan(seed)).violations for seed in range(60)]
    assert any("refuses, and was written" in each for some in found for each in some)
