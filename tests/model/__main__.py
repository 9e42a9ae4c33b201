"""`python -m tests.model [--deep] [--publish]`: check the protocol and its mutants."""

from __future__ import annotations

import sys

import click

from tests.figures import publish
from tests.model.catalog import (
    DEEP,
    MUTANTS,
    SCENARIOS,
    STATES_MAX,
    STATES_MAX_DEEP,
    Mutant,
    explore,
    scenario_named,
)
from tests.model.report import Checked, Killed, mutants_table, scenarios_table, trace_of

PROSE = """\
All orders in which the statements of `store/*.sql` and the functions of `engine/` behind the lease, the fence
and writes in doubt can happen, searched by `python -m tests.model{option}`. Nothing was drawn by lot: within
these bounds the rules of `tests/model/rules.py` hold in every state, and from every state the workflow's end
can be reached without a further fault. One workflow, its instances, its callers; the faults of a scenario
come at any moment, as often as it says. Below, the same protocol with a guard less: what breaks, how soon."""


@click.command()
@click.option("--deep", is_flag=True, help="Larger bounds too: some minutes and gigabytes.")
@click.option("--publish", "to_publish", is_flag=True, help="Write the figures to docs/reliability.md.")
@click.option("--trace", is_flag=True, help="Print each mutant's shortest trace.")
def main(deep: bool, to_publish: bool, trace: bool) -> None:
    """Check the protocol exhaustively; status 1 if a rule breaks or a mutant isn't told apart."""
    checks, wrong = [], False
    for scenario in (*SCENARIOS, *(DEEP if deep else ())):
        verdict = explore(scenario, states_max=STATES_MAX_DEEP if deep else STATES_MAX)
        checks.append(Checked(scenario, verdict))
        click.echo(f"{scenario.name}: {verdict.states:,} states, {verdict.seconds:.1f} s", err=True)
        if verdict.broken is not None:
            wrong = True
            click.echo(trace_of(verdict), err=True)
    killed = []
    for mutant in MUTANTS:
        killed.append(_try(mutant))
        told_apart = killed[-1].verdict.broken is not None
        wrong = wrong or told_apart is bool(mutant.spared)
        if trace and told_apart:
            click.echo(f"\n{mutant.name}: {trace_of(killed[-1].verdict)}")
    tables = f"{scenarios_table(checks)}\n\n{mutants_table(killed)}"
    click.echo(tables)
    if to_publish:
        publish("model", f"{PROSE.format(option=' --deep' if deep else '')}\n\n{tables}")
    sys.exit(1 if wrong else 0)


def _try(mutant: Mutant) -> Killed:
    """The scenario that shows it; all of them where it is said to break nothing."""
    scenarios = [scenario_named(mutant.scenario)] if mutant.scenario else list(SCENARIOS)
    verdicts = ((each.name, explore(each, mutant.guards)) for each in scenarios)
    for name, verdict in verdicts:
        if verdict.broken is not None:
            return Killed(mutant, name, verdict)
    return Killed(mutant, name, verdict)


if __name__ == "__main__":
    main()
