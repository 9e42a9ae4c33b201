"""After `kill -9` of a host with thousands of pending workflows: how soon the next one has ended them all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from benchmarks.contenders.dbos import Dbos
from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.database import value
from benchmarks.harness.driving import Call, drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import BenchmarkError, Server, first_answer, stopping
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Chart, Section, Table

LIMIT_S = 300.0
HOLD = {"BENCH_HOLD": "1"}
# DBOS puts what it recovers back into a queue: what is not pending has not yet ended.
_LEFT = {
    schema: f"select count(*) from {schema}.workflow_status where status <> 'SUCCESS'"
    for schema in ("outlast", "dbos")
}
_STEPS = {schema: f"select count(*) from {schema}.operation_outputs" for schema in _LEFT}


@dataclass(frozen=True)
class Recovered:
    """How long it took, from the start of the new process."""

    workflows: int
    answer_s: float
    ended_s: float

    @property
    def per_s(self) -> float:
        """Workflows a second, the start of the process included."""
        return self.workflows / self.ended_s


def measure(lab: Lab) -> Section:
    """Run it."""
    count, peers, tried = (1_000, 200, 100) if lab.quick else (10_000, 5_000, 500)
    section = Section(
        "recovery",
        "Recovery",
        f"{count:,} workflows of three steps have recorded their first step and hang in the second when "
        "their host is killed with SIGKILL. A new host is started at once, with default settings; time runs "
        "from the start of its process to the last end. It serves other calls meanwhile. DBOS is tried in "
        f"each of its ways with {tried:,} workflows, and the fastest gets {peers:,}, lest it take minutes; "
        "the ratio is one of workflows a second.",
    )
    ours = [_outlast(lab, count) for _ in range(1 if lab.quick else 3)]
    ways = [Dbos(kind, pinned=pinned) for kind in ("sync", "async") for pinned in (False, True)]
    tries = {way.title: _dbos(lab, way, tried) for way in ways if lab.present(way.name)}
    rows = {"Outlast": ours} | {f"{title}, tried": [one] for title, one in tries.items()}
    if tries:
        fastest = max(ways, key=lambda way: tries[way.title].per_s if way.title in tries else 0.0)
        theirs = _dbos(lab, fastest, peers)
        rows[fastest.title] = [theirs]
        against = Spread.of([each.per_s / theirs.per_s for each in ours])
        section.figures["to_dbos"] = against.record()
        section.ratios.append(f"{against.text()}× the workflows/s of {fastest.title}.")
        section.charts.append(
            Chart(
                "recovery.svg",
                "Workflows recovered per second, the process's start included",
                "workflows/s",
                ["Outlast", "DBOS"],
                {
                    "Outlast": [Spread.of([each.per_s for each in ours]).median, None],
                    "DBOS, its fastest way": [None, theirs.per_s],
                },
            )
        )
    section.tables.append(_table(rows))
    section.raw = {title: [asdict(each) for each in found] for title, found in rows.items()}
    return section


def _table(rows: dict[str, list[Recovered]]) -> Table:
    table = Table("", ["", "workflows", "first answer s", "all ended s", "workflows/s"], [])
    for title, found in rows.items():
        spreads = [
            Spread.of([getattr(each, name) for each in found]) for name in ("answer_s", "ended_s", "per_s")
        ]
        table.rows.append([title, f"{found[0].workflows:,}", *(spread.text() for spread in spreads)])
    return table


def _outlast(lab: Lab, count: int) -> Recovered:
    outlast, url = Outlast(), lab.database("recovery")

    def launch(*, hold: bool) -> Server:
        # All of them at once are more than an instance takes by default.
        return outlast.launch(lab, url, {**HOLD, "OUTLAST_WORKFLOWS_MAX": str(2 * count)} if hold else None)

    return _recover(
        lab, launch, outlast.call(0), outlast.call_async("steps", {"n": 3}), count, url, "outlast"
    )


def _dbos(lab: Lab, way: Dbos, count: int) -> Recovered:
    url = lab.database("recovery_dbos", migrated=False)

    def launch(*, hold: bool) -> Server:
        return way.launch(lab, url, HOLD if hold else None)

    return _recover(lab, launch, way.call(0), way.call_async({"n": 3}), count, url, "dbos")


def _recover(
    lab: Lab, launch: Callable[..., Server], probe: Call, call: Call, count: int, url: str, schema: str
) -> Recovered:
    left = _LEFT[schema]
    with stopping(launch(hold=True)) as server:
        first_answer(server, probe.request())
        drive(server, call, 16, requests=count)
        _until(
            lambda: value(url, _STEPS[schema]) >= count,
            f"{server.name}: first steps were not recorded in time",
        )
        server.kill()
    if (pending := value(url, left)) != count:
        raise BenchmarkError(f"{server.name}: {pending} of {count} workflows are pending")
    began = time.perf_counter()
    with stopping(launch(hold=False)) as server:
        answered = first_answer(server, probe.request())
        _until(lambda: value(url, left) == 0, f"{server.name}: not all had ended after {LIMIT_S:.0f} s")
        found = Recovered(count, answered - began, time.perf_counter() - began)
    lab.say(f"{server.name}: {count:,} in {found.ended_s:.1f} s, first answer {found.answer_s:.2f} s")
    return found


def _until(condition: Callable[[], bool], failure: str) -> None:
    deadline = time.perf_counter() + LIMIT_S
    while not condition():
        if time.perf_counter() > deadline:
            raise BenchmarkError(failure)
        time.sleep(0.1)
