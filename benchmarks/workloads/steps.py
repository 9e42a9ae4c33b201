"""Calls of 0, 1 and 10 steps at several loads, beside other durable engines."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import Server
from benchmarks.harness.rounds import interleaved, ratio, summary
from benchmarks.harness.section import Chart, Section, Table

STEPS = (0, 1, 10)
CONNECTIONS = (1, 16, 64, 256)
PEER_CONNECTIONS_MAX = 64
DBOS = ("dbos-sync", "dbos-async", "dbos-sync-pinned", "dbos-async-pinned")

Runs = dict[str, list[dict[str, Any]]]


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "steps",
        "Calls of 0, 1 and 10 steps, and other engines",
        "The same workflow everywhere: `n` steps that do nothing, called over HTTP under a key of its "
        "own, answered "
        "when it has ended. DBOS is behind FastAPI on uvicorn with `SetWorkflowID`; the fastest of its "
        "four ways "
        "(sync or async, on all cores or pinned to one) counts. Restate is its server and its Python "
        "SDK behind "
        "hypercorn, keeping its own log as its defaults have it. All Postgres-based ones share one "
        "server, each has its database.",
    )
    fastest = _fastest_dbos(lab, section)
    names = [*lab.present("outlast", "outlast-2"), *([fastest] if fastest else []), *lab.present("restate")]
    titles = {name: lab.contenders[name].title for name in names}
    table = Table(
        "Median of the rounds (least–most)",
        ["steps", "connections", "", "workflows/s", "p50 ms", "p99 ms"],
        [],
    )
    cells: dict[tuple[int, int], Runs] = {}
    with lab.all_serving(names) as servers:
        for steps in STEPS:
            for connections in CONNECTIONS:
                runs = _cell(lab, names, servers, steps, connections)
                cells[steps, connections] = runs
                for name, each in runs.items():
                    spread = summary(each)
                    lab.say(
                        f"{steps} steps, {connections} connections, {titles[name]}: "
                        f"{spread['per_s'].text()}/s"
                    )
                    figures = [spread[field].text() for field in ("per_s", "p50_ms", "p99_ms")]
                    table.rows.append([str(steps), str(connections), titles[name], *figures])
                    section.raw[f"{name}@{steps}steps@{connections}"] = each
    section.tables.append(table)
    for peer in [name for name in names if not name.startswith("outlast")]:
        section.ratios.append(_against(cells, peer, titles[peer]))
    section.charts.append(
        _chart(cells, titles, "steps_throughput.svg", "Workflows per second", "per_s", "workflows/s")
    )
    section.charts.append(
        _chart(cells, titles, "steps_latency.svg", "Median latency of one client", "p50_ms", "ms")
    )
    return section


def _cell(lab: Lab, names: list[str], servers: dict[str, Server], steps: int, connections: int) -> Runs:
    def one(name: str) -> dict[str, Any]:
        call = lab.contenders[name].call(steps)
        return drive(servers[name], call, connections, seconds=lab.seconds, warmup_s=lab.seconds / 4)

    taking_part = [
        name
        for name in names
        if (connections <= PEER_CONNECTIONS_MAX or name.startswith("outlast"))
        and not (connections == 1 and name == "outlast-2")
    ]
    return interleaved(taking_part, max(2, lab.rounds // 2), one)


def _fastest_dbos(lab: Lab, section: Section) -> str | None:
    """The way of DBOS that does most one-step calls at 16 connections."""
    found: dict[str, float] = {}
    for name in lab.present(*DBOS):
        with lab.serving(name) as server:
            run = drive(
                server, lab.contenders[name].call(1), 16, seconds=lab.seconds * 2, warmup_s=lab.seconds / 2
            )
        found[name] = run["per_s"]
        lab.say(f"{lab.contenders[name].title}: {run['per_s']:.0f}/s")
    rows = [[lab.contenders[name].title, f"{per_s:.0f}"] for name, per_s in found.items()]
    if found:
        section.tables.append(Table("DBOS's ways, one step, 16 connections", ["", "workflows/s"], rows))
    section.raw["dbos_ways_per_s"] = found
    return max(found, key=found.__getitem__, default=None)


def _against(cells: dict[tuple[int, int], Runs], peer: str, title: str) -> str:
    latency = ratio(cells[1, 1], peer, "outlast", "p50_ms").median
    one, ten = (ratio(cells[steps, 64], "outlast", peer).median for steps in (1, 10))
    return (
        f"Against {title}: {one:.1f}× the one-step workflows/s at 64 connections, {ten:.1f}× the "
        f"ten-step ones; "
        f"a one-step call of a single client takes {1 / latency:.2f}× its time."
    )


def _chart(
    cells: dict[tuple[int, int], Runs], titles: dict[str, str], file: str, title: str, field: str, unit: str
) -> Chart:
    connections = (1,) if field == "p50_ms" else (16, 64)
    groups = [(steps, each) for steps in STEPS for each in connections]
    series: dict[str, list[float | None]] = {}
    for name, label in titles.items():
        values = [summary(cells[key][name])[field].median if name in cells[key] else None for key in groups]
        if any(value is not None for value in values):
            series[label] = values
    labels = [
        f"{steps} steps @{each}" if len(connections) > 1 else f"{steps} steps" for steps, each in groups
    ]
    return Chart(file, title, unit, labels, series, log=True)
