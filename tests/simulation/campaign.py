"""One worker's share of schedules: random ones first, then one sweep after the other."""

from __future__ import annotations

import gc
import sys
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

SWEPT = 0.4
"""Part of the time that goes to sweeps."""

OTHERS = {
    "queues": "queueing",
    "messages": "consuming",
    "batches": "batching",
    "maps": "mapping",
    "schedules": "scheduling",
    "ticks": "ticking",
    "versions": "versioning",
    "retries": "retrying",
    "renewals": "renewing",
    "callbacks": "asking",
    "settlements": "settling",
    "bulks": "bulking",
    "attributes": "attributing",
    "limits": "limiting",
    "refusals": "refusing",
    "operated": "operating",
    "removals": "cleaning",
}
"""Runs that have more rules, and their modules."""

OTHER = 0.25
"""Part of the time that goes to them."""


def explore(work: tuple[str | None, int, float]) -> tuple[Counter[str], list[tuple[str, str]]]:
    """Run schedules from a seed on, for some seconds; what was counted, and violations by schedule.

    `work`: the folder to import `outlast` from, the seed, the seconds.
    """
    package, seed, seconds = work
    if package:
        sys.path.insert(0, package)
    from tests.simulation.scenario import simulate

    totals: Counter[str] = Counter()
    violations: list[tuple[str, str]] = []
    gc.collect()
    gc.freeze()  # each schedule ends with a collection: of what is its own
    ends = time.monotonic() + seconds
    _explore_others(seed, seconds * OTHER, totals, violations)
    for plan in _plans(seed, seconds * (1 - OTHER), simulate):
        outcome = simulate(plan)
        totals["schedules"] += 1
        totals["sweeps"] += "@" in plan.name
        totals["mail"] += ":mail" in plan.name
        totals["cycles"] += outcome.cycles
        totals["workflows"] += outcome.workflows
        totals["steps run"] += outcome.executed
        totals["milliseconds"] += round(outcome.seconds * 1000)
        for kind, number in outcome.faults.items():
            totals[f"fault {kind}"] += number
        violations += [(plan.name, each) for each in outcome.violations[:1]]
        if time.monotonic() > ends:
            break
    return totals, violations


def _explore_others(
    seed: int, seconds: float, totals: Counter[str], violations: list[tuple[str, str]]
) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for kind in OTHERS:
            runs = other(kind)
            played = runs.run(runs.draw(seed))
            totals["schedules"] += 1
            for fault, number in played.faults.items():
                totals[f"fault {fault}"] += number
            violations += [(f"{seed}:{kind}", each) for each in played.violations[:1]]
        seed += 1


def other(kind: str) -> Any:
    """The `Runs` of that kind."""
    return import_module(f"tests.simulation.{OTHERS[kind]}").RUNS


def _plans(seed: int, seconds: float, simulate: Any) -> Iterator[Any]:
    from tests.simulation.plans import calm_plan, event_plan, mail_plan, random_plan, saga_plan, sweep

    random_until = time.monotonic() + seconds * (1 - SWEPT)
    while time.monotonic() < random_until:
        yield {0: mail_plan, 1: event_plan, 2: saga_plan}.get(seed % 4, random_plan)(seed)
        seed += 1
    while True:
        calm = simulate(calm_plan(seed))
        yield from sweep(seed, calm.cycles, calm.statements)
        seed += 1
