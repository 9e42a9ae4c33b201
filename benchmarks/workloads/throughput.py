"""Durable one-step calls per second, beside the same endpoint without durability and the database's floor."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders import floor
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import interleaved, number, ratio, summary
from benchmarks.harness.section import Chart, Section, Table

CONNECTIONS = (1, 16, 64, 256)
TITLES = {
    "outlast": "Outlast, one step",
    "plain": "Plain Starlette",
    "pgbench": "pgbench, the same two commits",
}


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "throughput",
        "A durable one-step call",
        "Each call is a POST with an `Idempotency-Key` of its own and is answered when its end is "
        "committed. "
        "*Plain Starlette* does the same work on the same server and keeps nothing. *pgbench* does a "
        "durable "
        "call's two commits on one connection a caller, with no HTTP and no Python.",
    )
    table = Table(
        "Requests per second and latency in ms; median of the rounds (least–most)",
        ["connections", "", "requests/s", "p50 ms", "p99 ms"],
        [],
    )
    chart: dict[str, list[float | None]] = {title: [] for title in TITLES.values()}
    pgbench_url = lab.database("pgbench")
    floor.durable_calls(pgbench_url, 16, 2, lab.folder / "pgbench")
    with lab.all_serving(["outlast", "plain"]) as servers:
        for connections in CONNECTIONS:

            def one(name: str, connections: int = connections) -> dict[str, Any]:
                if name == "pgbench":
                    return floor.durable_calls(pgbench_url, connections, lab.seconds, lab.folder / "pgbench")
                call = lab.contenders[name].call(1)
                return drive(servers[name], call, connections, seconds=lab.seconds, warmup_s=lab.seconds / 4)

            names = ["outlast", "plain"] + (["pgbench"] if connections <= floor.CONNECTIONS_MAX else [])
            runs = interleaved(names, lab.rounds, one)
            for name, title in TITLES.items():
                if name not in runs:
                    chart[title].append(None)
                    continue
                spread = summary(runs[name])
                chart[title].append(spread["per_s"].median)
                table.rows.append(
                    [
                        str(connections),
                        title,
                        *(spread[field].text() for field in ("per_s", "p50_ms", "p99_ms")),
                    ]
                )
                lab.say(f"{connections} connections, {title}: {spread['per_s'].text()}/s")
                section.raw[f"{name}@{connections}"] = runs[name]
            share = ratio(runs, "outlast", "plain").median
            against = (
                f", {ratio(runs, 'outlast', 'pgbench').median:.2f}× pgbench's" if "pgbench" in runs else ""
            )
            added = summary(runs["outlast"])["p50_ms"].median - summary(runs["plain"])["p50_ms"].median
            section.ratios.append(
                f"{connections} connections: {share:.2f}× the plain endpoint's requests/s{against}; "
                f"durability adds {number(added)} ms to the median call."
            )
    section.tables.append(table)
    section.charts.append(
        Chart(
            "throughput.svg", "Calls per second", "calls/s", [f"{each} conn." for each in CONNECTIONS], chart
        )
    )
    return section
