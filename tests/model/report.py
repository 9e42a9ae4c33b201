"""What a run of the checker says, as text for people and for docs/reliability.md."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.model.catalog import Mutant
from tests.model.checker import Verdict
from tests.model.scenario import Scenario
from tests.model.state import World


@dataclass(frozen=True)
class Checked:
    """The protocol in one scenario."""

    scenario: Scenario
    verdict: Verdict[World]


@dataclass(frozen=True)
class Killed:
    """A mutant, the scenario that was told apart, and how it went."""

    mutant: Mutant
    scenario: str
    verdict: Verdict[World]


def scenarios_table(checks: Iterable[Checked]) -> str:
    """States, transitions, depth and seconds of each scenario, and their sums."""
    lines = [
        "| scenario | instances | states | transitions | depth | seconds | broken |",
        "|---|---|---|---|---|---|---|",
    ]
    states = transitions = 0
    seconds = 0.0
    for each in checks:
        verdict = each.verdict
        states, transitions = states + verdict.states, transitions + verdict.transitions
        seconds += verdict.seconds
        lines.append(
            f"| {each.scenario.name}: {each.scenario.about} | {each.scenario.instances} "
            f"| {verdict.states:,} | {verdict.transitions:,} | {verdict.depth} "
            f"| {verdict.seconds:.1f} | {verdict.broken or 'nothing'} |"
        )
    lines.append(f"| **all** | | **{states:,}** | **{transitions:,}** | | **{seconds:.1f}** | |")
    return "\n".join(lines)


def mutants_table(killed: Iterable[Killed]) -> str:
    """Which rule each mutant breaks, and in how many steps; or why it breaks none."""
    lines = ["| without | broken rule | steps of the shortest trace |", "|---|---|---|"]
    for each in killed:
        if each.verdict.broken is not None:
            length = f"{len(each.verdict.trace)} ({each.scenario})"
            lines.append(f"| {each.mutant.name} | {each.verdict.broken} | {length} |")
        else:
            lines.append(f"| {each.mutant.name} | none: {each.mutant.spared} | |")
    return "\n".join(lines)


def trace_of(verdict: Verdict[World]) -> str:
    """The shortest way to what is broken, a line each."""
    lines = [f"{verdict.broken}, after {len(verdict.trace)} steps:"]
    lines += [f"  {number:2}. {what}" for number, what in enumerate(verdict.trace, 1)]
    return "\n".join(lines)
