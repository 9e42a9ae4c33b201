"""Workflows of many steps: gathers of up to 10,000, and a replay of 100,000 while others call."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.apps import run_app
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import Spread, interleaved, number
from benchmarks.harness.section import Section, Table

GATHERED = (100, 1_000, 10_000)
REPLAYED = 100_000

Runs = list[dict[str, Any]]


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "large_workflows",
        "Workflows of many steps",
        f"One process, no HTTP. One workflow gathers {GATHERED[0]:,} to {GATHERED[-1]:,} steps that do "
        f"nothing; its start and its end count. Another has {REPLAYED:,} recorded steps, one after another, "
        "and is claimed. While it is replayed one-step workflows are started, one after another, and the "
        "time of each is that until its end is durable. *Processor* is that of the process: noise of the "
        "machine's other work is less in it.",
    )
    gather_url, replay_url = lab.database("gather"), lab.database("replay")

    def one(name: str) -> dict[str, Any]:
        if name == "replay":
            return run_app("large_workflows", replay_url, "replay", str(REPLAYED), "0")
        return run_app("large_workflows", gather_url, "gather", name, str(lab.seconds))

    runs = interleaved([*map(str, GATHERED), "replay"], lab.rounds, one)
    section.raw = dict(runs)
    _tell_gathers(lab, section, {count: runs[str(count)] for count in GATHERED})
    _tell_replay(lab, section, runs["replay"])
    return section


def _tell_gathers(lab: Lab, section: Section, runs: dict[int, Runs]) -> None:
    table = Table(
        "Gathered steps", ["steps", "steps/s", "processor µs a step", "commits of their records"], []
    )
    for count, each in runs.items():
        rate, cpu = _spread(each, "per_s"), _spread(each, "cpu_us")
        table.rows.append([f"{count:,}", rate.text(), cpu.text(), number(each[-1]["commits"])])
        lab.say(f"gather of {count:,}: {rate.text()} steps/s")
    least, most = runs[min(runs)], runs[max(runs)]
    linear = Spread.of([b["cpu_us"] / a["cpu_us"] for a, b in zip(least, most, strict=True)])
    section.figures |= {"gathered_per_s": _spread(most, "per_s").record(), "linear": linear.record()}
    section.ratios.append(
        f"A step takes {linear.text(2)}× the processor time in a gather of {max(runs):,} that it takes in "
        f"one of {min(runs):,}."
    )
    section.tables.append(table)


def _tell_replay(lab: Lab, section: Section, runs: Runs) -> None:
    rate, slowest, idle = (_spread(runs, name) for name in ("per_s", "most_ms", "idle_ms"))
    section.figures |= {"replayed_per_s": rate.record(), "slowest_call_ms": slowest.record()}
    section.tables.append(
        Table(
            f"A replay of {REPLAYED:,} steps",
            [
                "steps/s",
                "the same, from the claim on",
                "processor µs a step",
                "others' calls ms: before",
                "p50",
                "slowest",
            ],
            [
                [
                    rate.text(),
                    *(_spread(runs, name).text() for name in ("per_s_from_claim", "cpu_us")),
                    *(_spread(runs, name).text() for name in ("idle_ms", "p50_ms", "most_ms")),
                ]
            ],
        )
    )
    lab.say(
        f"replay: {rate.text()} steps/s; others' calls {idle.text()} ms before it, "
        f"{slowest.text()} ms at most meanwhile"
    )


def _spread(runs: Runs, field: str) -> Spread:
    return Spread.of([run[field] for run in runs])
