"""What counting costs: the same calls with metrics on and off, by turns, in one run."""

from __future__ import annotations

import contextlib
from typing import Any

from benchmarks.harness.driving import Call, drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.memory import cpu_s
from benchmarks.harness.rounds import Spread, cells, interleaved, ratio, summary
from benchmarks.harness.section import Section, Table

CONNECTIONS = 64
CALLS = 10_000
TITLES = {"on": "metrics on", "off": "`OUTLAST_METRICS=false`"}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "metrics",
        "Metrics, on and off",
        f"One-step calls at {CONNECTIONS} connections, {CALLS:,} a round, of two hosts that differ in "
        "nothing but OUTLAST_METRICS. The processor time is the host's own, by the kernel's count: where "
        "other things run beside, it tells more than the rate does.",
    )
    call = Call("/functions/v1/steps", {"n": 1})
    calls = CALLS // 10 if lab.quick else CALLS
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                lab.serving(
                    "outlast",
                    database=lab.database(f"metrics_{name}"),
                    env={"OUTLAST_METRICS": "true" if name == "on" else "false"},
                )
            )
            for name in TITLES
        }

        def one(name: str) -> dict[str, Any]:
            server = servers[name]
            before = cpu_s(server.pids())
            result = drive(server, call, CONNECTIONS, requests=calls)
            return {**result, "cpu_us": (cpu_s(server.pids()) - before) / calls * 1e6}

        runs = interleaved(list(TITLES), 2 * lab.rounds, one)
    table = Table("Calls per second", ["", "calls/s", "p50 ms", "p99 ms", "processor µs a call"], [])
    for name, each in runs.items():
        cpu = Spread.of([run["cpu_us"] for run in each])
        table.rows.append([TITLES[name], *cells(each), cpu.text()])
        lab.say(f"{TITLES[name]}: {summary(each)['per_s'].text()}/s, {cpu.text()} µs")
        section.raw[name] = each
    rate, cpu = ratio(runs, "on", "off"), ratio(runs, "on", "off", "cpu_us")
    section.ratios.append(
        f"With metrics a host answers {rate.text(3)}× the calls/s, and takes {cpu.text(3)}× the processor "
        "time."
    )
    section.figures = {"rate": rate.record(), "cpu": cpu.record()}
    section.tables.append(table)
    return section
