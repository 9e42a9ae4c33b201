"""`python -m tests.simulation`: as many schedules as fit into a time, all cores at work."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import sys
import time
from collections import Counter

from tests.simulation.campaign import OTHERS, explore, other

SHOWN_MAX = 20


def main() -> int:
    """Exit status 0: no violation; 1: some; 2: usage."""
    options = _options()
    if options.package:
        sys.path.insert(0, options.package)
    if options.replay:
        return _replay(options.replay)
    print(f"seed {options.seed}, {options.seconds} s on {options.jobs} processes")  # noqa: T201
    begun = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        work = [
            (options.package, options.seed + number * 1_000_000, options.seconds)
            for number in range(options.jobs)
        ]
        totals: Counter[str] = Counter()
        violations: list[tuple[str, str]] = []
        for total, found in pool.imap_unordered(explore, work):
            totals += total
            violations += found
    seconds = time.monotonic() - begun
    for name, what in violations[:SHOWN_MAX]:
        print(f"VIOLATION  {what[:1000]}\n  again: python -m tests.simulation --replay '{name}'")  # noqa: T201
    text = _figures(totals, len(violations), seconds)
    print(text)  # noqa: T201
    if options.publish:
        from tests.figures import publish

        publish("simulation", text)
    return 1 if violations else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000) * 10_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--replay", metavar="NAME", help="run one schedule again, and show all that happens")
    parser.add_argument("--package", metavar="DIR", help="the folder to import `outlast` from")
    parser.add_argument("--publish", action="store_true", help="write the figures to docs/reliability.md")
    return parser.parse_args()


def _replay(name: str) -> int:
    from tests.simulation.plans import plan_of
    from tests.simulation.scenario import simulate

    seed, _, kind = name.partition(":")
    if kind in OTHERS:
        return _replay_other(kind, int(seed))
    plan = plan_of(name)
    print("\n".join(str(each) for each in [*plan.programs, plan.weather, plan.faults]))  # noqa: T201
    outcome = simulate(plan, print)
    for each in outcome.violations:
        print(f"VIOLATION  {each}")  # noqa: T201
    return 1 if outcome.violations else 0


def _replay_other(kind: str, seed: int) -> int:
    runs = other(kind)
    drawn = runs.draw(seed)
    print("\n".join(f"{name}: {value}" for name, value in vars(drawn).items()))  # noqa: T201
    violations = runs.run(drawn, print).violations
    for each in violations:
        print(f"VIOLATION  {each}")  # noqa: T201
    return 1 if violations else 0


def _figures(totals: Counter[str], violations: int, seconds: float) -> str:
    faults = {key.removeprefix("fault "): n for key, n in totals.items() if key.startswith("fault ")}
    schedules = totals["schedules"]
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| schedules | {schedules:,} ({schedules / seconds * 60:,.0f} a minute) |",
            f"| of them one fault at each cycle or statement of a program | {totals['sweeps']:,} |",
            f"| violations | {violations} |",
            f"| workflows; steps run | {totals['workflows']:,}; {totals['steps run']:,} |",
            f"| cycles of event loops | {totals['cycles']:,} |",
            f"| simulated time | {totals['milliseconds'] / 3.6e6:,.1f} h |",
            *(f"| fault: {kind} | {number:,} |" for kind, number in sorted(faults.items())),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
