"""The protocol of leases, fences and writes in doubt, in every order in which things can happen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import pytest

from tests.model.catalog import MUTANTS, SCENARIOS, Mutant, explore, scenario_named
from tests.model.checker import UNREACHABLE_END, Bound, Step, check
from tests.model.guards import Guards
from tests.model.report import trace_of
from tests.model.scenario import Scenario

QUICK = ("cancelled", "given up")
"""Where mutants that break nothing are looked at in every run; `python -m tests.model` looks everywhere."""


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
def test_every_rule_holds_in_every_state(scenario: Scenario) -> None:
    verdict = explore(scenario)
    assert verdict.broken is None, trace_of(verdict)
    assert verdict.complete
    assert verdict.states > 1_000, "the faults of this scenario never come"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [each for each in MUTANTS if not each.spared], ids=lambda each: each.name)
def test_a_protocol_without_a_guard_breaks_a_rule(mutant: Mutant) -> None:
    verdict = explore(scenario_named(mutant.scenario), mutant.guards)
    assert verdict.broken is not None, "the model is too weak, or nobody needs the guard"
    print(trace_of(verdict))  # noqa: T201 - captured; `-rP` shows it


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [each for each in MUTANTS if each.spared], ids=lambda each: each.name)
def test_what_is_said_to_break_nothing_breaks_nothing(mutant: Mutant) -> None:
    for name in filter(None, dict.fromkeys((*QUICK, mutant.scenario))):
        verdict = explore(scenario_named(name), mutant.guards)
        assert verdict.broken is None, trace_of(verdict)


def test_every_guard_has_a_mutant() -> None:
    removed = {name for mutant in MUTANTS for name in mutant.without}
    assert removed == {field.name for field in fields(Guards)}


@dataclass(frozen=True)
class Lift:
    """A model for the checker's own tests: it goes up from 0 to `top`, and may fall into the cellar."""

    top: int
    way_out: bool = True

    def start(self) -> int:
        return 0

    def steps(self, state: int) -> Iterable[Step[int]]:
        if 0 <= state < self.top:
            yield Step(f"to {state + 1}", state + 1)
            yield Step("falls", -1, fault=True)
        if state == -1 and self.way_out:
            yield Step("climbs out", 0)

    def broken(self, before: int, after: int) -> str | None:
        return "never above 5" if after > 5 else None

    def ended(self, state: int) -> bool:
        return state == self.top


def test_the_checker_visits_all_and_finds_the_shortest_trace() -> None:
    fine = check(Lift(3), 100)
    assert (fine.states, fine.transitions, fine.depth, fine.complete, fine.broken) == (5, 7, 3, True, None)
    high = check(Lift(9), 100)
    assert (high.broken, high.trace[-1], len(high.trace), high.complete) == (
        "never above 5",
        "to 6",
        6,
        False,
    )


def test_the_checker_finds_where_there_is_no_way_to_the_end() -> None:
    stuck = check(Lift(3, way_out=False), 100)
    assert (stuck.broken, stuck.trace) == (UNREACHABLE_END, ["falls"])


def test_no_way_to_the_end_may_need_a_fault() -> None:
    @dataclass(frozen=True)
    class Needs(Lift):
        def steps(self, state: int) -> Iterable[Step[int]]:
            return [Step("by luck", 1, fault=True)] if state == 0 else []

    assert check(Needs(1), 10).broken == UNREACHABLE_END


def test_the_checker_says_when_its_bound_is_too_small() -> None:
    with pytest.raises(Bound):
        check(Lift(5), 3)
