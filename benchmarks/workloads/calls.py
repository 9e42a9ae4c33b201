"""Calls of 0, 1 and 10 steps: one client's latency and the throughput of many, beside peers and floors."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders import floor
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import Server
from benchmarks.harness.rounds import cells, interleaved, number, ratio, summary, tail
from benchmarks.harness.section import Chart, Section, Table

STEPS = {0: "no step", 1: "one step", 10: "ten steps"}
CONNECTIONS = (1, 16, 64, 256)
COMPARED = (1, 64)
"""Where the peers take part; elsewhere half the rounds are enough."""
ANSWERS_MIN = 1_000
"""Of one client in all rounds together, however long each takes."""
DBOS = ("dbos-sync", "dbos-async", "dbos-sync-pinned", "dbos-async-pinned")
PGBENCH = "pgbench"
SERIES = {
    "outlast": "Outlast",
    "outlast-2": "Outlast, 2 workers",
    "plain": "Plain Starlette",
    PGBENCH: "pgbench",
    "dbos": "DBOS, its fastest way",
    "restate": "Restate",
}
"""As charts call them."""

Cell = tuple[int, int]
Runs = dict[str, list[dict[str, Any]]]


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "calls",
        "Calls of 0, 1 and 10 steps, beside other engines and the floors",
        "The same workflow everywhere: `n` steps that do nothing, called by POST under a key of its own and "
        "answered when its end is durable. DBOS is behind FastAPI on uvicorn with `SetWorkflowID`; it is "
        "tried sync and async, on all cores and pinned to one; those that may be its fastest at a thing "
        "compete in it, and the fastest counts. Restate is its server, with a log of its own as its "
        "defaults have it, and its Python SDK behind hypercorn. *Plain Starlette* reads and answers the "
        "same JSON on the same server settings and keeps nothing. *pgbench* does a one-step call's two "
        "commits on one connection a caller, with no HTTP and no Python. All but Restate share one "
        "Postgres, each on a database of its own.",
    )
    ways = _ways_of_dbos(lab, section)
    names = [
        *lab.present("outlast", "outlast-2", "plain", "restate"),
        *sorted({way for few in ways.values() for way in few}),
    ]
    measured: dict[Cell, Runs] = {}
    with lab.all_serving(names) as servers:
        pgbench = lab.database("pgbench")
        floor.durable_calls(pgbench, 16, lab.seconds, lab.folder / "pgbench")
        for cell in [(steps, connections) for steps in STEPS for connections in CONNECTIONS]:

            def one(name: str, cell: Cell = cell) -> dict[str, Any]:
                if name == PGBENCH:
                    return floor.durable_calls(pgbench, cell[1], lab.seconds, lab.folder / "pgbench")
                return _drive(lab, name, servers[name], cell)

            measured[cell] = interleaved(_taking_part(lab, cell, ways), _rounds(lab, cell), one)
            for name, runs in measured[cell].items():
                per_s = summary(runs)["per_s"].text()
                lab.say(f"{STEPS[cell[0]]} @{cell[1]}, {_title(lab, name)}: {per_s}/s")
    section.tables.append(_table(lab, measured))
    compared = {cell: _fastest(runs, cell) for cell, runs in measured.items()}
    _compare(section, compared)
    section.charts += [
        _chart(compared, 64, "per_s", "Calls per second at 64 connections", "calls/s"),
        _chart(compared, 1, "p50_ms", "Median latency of one client", "ms"),
    ]
    section.raw = {
        f"{name}@{steps}@{connections}": runs
        for (steps, connections), each in measured.items()
        for name, runs in each.items()
    }
    return section


def _taking_part(lab: Lab, cell: Cell, ways: dict[Cell, list[str]]) -> list[str]:
    steps, connections = cell
    names = ["outlast", *(["outlast-2"] if connections > 1 else [])]
    if steps == 1:
        names += ["plain", *([PGBENCH] if connections <= floor.CONNECTIONS_MAX else [])]
    if connections in COMPARED:
        names += [*ways.get(cell, []), *lab.present("restate")]
    return names


def _rounds(lab: Lab, cell: Cell) -> int:
    return lab.rounds if cell[1] in COMPARED else lab.rounds_few


def _drive(lab: Lab, name: str, server: Server, cell: Cell, answers_min: int | None = None) -> dict[str, Any]:
    """Ten-step calls of the slower ones take a second each: they are given time to come into their stride."""
    steps, connections = cell
    seconds = lab.seconds * (2 if steps == 10 else 1)
    if answers_min is None:
        answers_min = (
            ANSWERS_MIN // _rounds(lab, cell) if connections == 1 and not lab.quick else 2 * connections
        )
    return drive(
        server,
        lab.contenders[name].call(steps),
        connections,
        seconds=seconds,
        warmup_s=seconds / 3,
        answers_min=answers_min,
    )


def _ways_of_dbos(lab: Lab, section: Section) -> dict[Cell, list[str]]:
    """For each comparison those of DBOS's ways, two at most, that may be its fastest by a single try."""
    compared = [(steps, connections) for connections in COMPARED for steps in STEPS]
    tries: dict[str, dict[Cell, dict[str, Any]]] = {}
    for name in lab.present(*DBOS):
        with lab.serving(name) as server:
            tries[name] = {cell: _drive(lab, name, server, cell, answers_min=30) for cell in compared}
        lab.say(f"{_title(lab, name)}: {tries[name][1, 64]['per_s']:.0f} one-step calls/s at 64 connections")
    columns = [
        f"{STEPS[steps]}, {'ms' if connections == 1 else 'calls/s'}" for steps, connections in compared
    ]
    table = Table(
        "DBOS's ways, tried once: median ms of one client, calls/s at 64 connections", ["", *columns], []
    )
    for name, runs in tries.items():
        figures = [runs[cell]["p50_ms" if cell[1] == 1 else "per_s"] for cell in compared]
        table.rows.append([_title(lab, name), *map(number, figures)])
    section.tables += [table] if tries else []
    found = {}
    for cell in compared:
        slowness = {name: _slowness([runs[cell]], cell) for name, runs in tries.items()}
        ordered = sorted(slowness, key=slowness.__getitem__)
        found[cell] = [name for name in ordered[:2] if slowness[name] < 1.5 * slowness[ordered[0]]]
    return found


def _slowness(runs: list[dict[str, Any]], cell: Cell) -> float:
    """What counts in a cell: the latency of one client, the throughput of many."""
    spread = summary(runs)
    return spread["p50_ms"].median if cell[1] == 1 else 1 / spread["per_s"].median


def _fastest(runs: Runs, cell: Cell) -> Runs:
    """The same, with none but the fastest of DBOS's ways, as `dbos`."""
    ways = sorted((name for name in runs if name in DBOS), key=lambda name: _slowness(runs[name], cell))
    others = {name: each for name, each in runs.items() if name not in DBOS}
    return others | ({"dbos": runs[ways[0]]} if ways else {})


def _compare(section: Section, compared: dict[Cell, Runs]) -> None:
    """The ratios of the report, and those that the targets ask for."""
    plain, pgbench = (ratio(compared[1, 64], "outlast", floor) for floor in ("plain", PGBENCH))
    slowest = tail(compared[1, 64]["outlast"])
    section.figures = {"one_step_to_plain": plain.record(), "tail": slowest.record()}
    section.ratios.append(
        f"One step at 64 connections: {plain.text(2)}× the plain endpoint's calls/s, {pgbench.text(2)}× "
        f"pgbench's; the 99th percentile is {slowest.text()}× the median latency."
    )
    for peer in ("dbos", "restate"):
        if peer not in compared[1, 64]:
            continue
        for steps, words in ((1, "one_step"), (10, "ten_steps")):
            rate = ratio(compared[steps, 64], "outlast", peer)
            latency = ratio(compared[steps, 1], "outlast", peer, "p50_ms")
            section.figures[f"{words}_to_{peer}"] = rate.record()
            section.figures[f"{words}_latency_to_{peer}"] = latency.record()
            section.ratios.append(
                f"Against {SERIES[peer]}, {STEPS[steps]}: {rate.text()}× the calls/s at 64 connections; a "
                f"single client's call takes {latency.text(2)}× its time."
            )


def _table(lab: Lab, measured: dict[Cell, Runs]) -> Table:
    return Table(
        "Median of the rounds (least–most)",
        ["steps", "connections", "", "calls/s", "p50 ms", "p99 ms"],
        [
            [str(steps), str(connections), _title(lab, name), *cells(runs)]
            for (steps, connections), each in measured.items()
            for name, runs in each.items()
        ],
    )


def _chart(compared: dict[Cell, Runs], connections: int, field: str, title: str, unit: str) -> Chart:
    """All contenders at so many connections."""
    cells = [compared[steps, connections] for steps in STEPS]
    series: dict[str, list[float | None]] = {
        label: [summary(each[name])[field].median if name in each else None for each in cells]
        for name, label in SERIES.items()
        if any(name in each for each in cells)
    }
    return Chart(f"calls_{field}.svg", title, unit, list(STEPS.values()), series, groups_scaled=True)


def _title(lab: Lab, name: str) -> str:
    return "pgbench, the same two commits" if name == PGBENCH else lab.contenders[name].title
