"""Children: how fast a parent has the results of many, and how soon one that sleeps goes on."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import psycopg

from benchmarks.contenders.dbos import sqlalchemy_url
from benchmarks.contenders.peers_venv import PYTHON, python_of_peers
from benchmarks.harness.apps import run_app
from benchmarks.harness.driving import Call, drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import BenchmarkError
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Section, Table

LIMIT_S = 300.0
_WAYS = {"children": "`start_all`", "children/one_by_one": "`gather` of `start`s"}
_TOOK = """
select extract(epoch from completed_at - created_at)::float8 from outlast.workflow_status
where function = %s and (input ->> 'count')::int = %s and status = 'SUCCESS'
"""
_ASLEEP = """
select c.workflow_id, c.parent from outlast.workflow_status c
join outlast.workflow_status p on p.workflow_id = c.parent
where c.function = 'children/late' and c.awaits is not null and p.awaits is not null
"""
_LAGS = """
select extract(epoch from r.completed_at - c.completed_at)::float8 * 1000
from outlast.workflow_status c
join outlast.operation_outputs r on r.workflow_id = c.parent and r.kind = 'result'
where c.function = 'children/late' order by 1
"""


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "children",
        "Children",
        "A parent starts children of one step each, and waits for all their results: from the commit that "
        "starts it to the one that ends it. Beside it DBOS's, started by `start_workflow` and waited for one "
        "after the other. Then parents that have left the memory: from their child's last commit to the "
        "moment at which they have its result.",
    )
    _measure_many(lab, section)
    _measure_lags(lab, section)
    return section


def _measure_many(lab: Lab, section: Section) -> None:
    counts = (100, 1_000) if lab.quick else (1_000, 10_000)
    peers = python_of_peers() is None
    runs: dict[tuple[str, int], list[float]] = {}
    theirs: dict[int, list[float]] = {}
    for _ in range(lab.rounds_few):
        for function in _WAYS:
            for count in counts:
                runs.setdefault((function, count), []).append(count / _took_s(lab, function, count))
        if peers:
            for count in counts:
                url = sqlalchemy_url(lab.database("dbos_children", migrated=False))
                rate = run_app("dbos_children", url, str(count // 10), python=PYTHON)["per_s"]
                theirs.setdefault(count, []).append(rate)
    table = Table("Children a second, to the parent's result", ["", *(f"{each:,}" for each in counts)], [])
    for function, title in _WAYS.items():
        table.rows.append([title, *(Spread.of(runs[function, each]).text() for each in counts)])
        lab.say(" | ".join(table.rows[-1]))
    for count, name in zip(counts, ("few", "many"), strict=True):
        section.figures[f"per_s_{name}"] = Spread.of(runs["children", count]).record()
        if peers:
            pairs = zip(runs["children", count], theirs[count], strict=True)
            section.figures[f"times_dbos_{name}"] = Spread.of([ours / its for ours, its in pairs]).record()
    if peers:
        table.rows.append(["DBOS, a tenth of them", *(Spread.of(theirs[each]).text() for each in counts)])
    else:
        section.ratios.append("DBOS was not measured: its environment is missing.")
    section.tables.append(table)
    section.raw["children"] = {f"{function} {count}": rates for (function, count), rates in runs.items()}


def _took_s(lab: Lab, function: str, count: int) -> float:
    url = lab.database("children")
    with lab.serving("outlast", database=url) as server, psycopg.connect(url, autocommit=True) as connection:
        call = Call(f"/functions/v1/{function}", {"count": count}, {"Prefer": "respond-async"}, status=202)
        drive(server, call, 1, requests=1)
        ((took_s,),) = _until(connection, _TOOK, (function, count), 1)
    return float(took_s)


def _measure_lags(lab: Lab, section: Section) -> None:
    count = 20 if lab.quick else 100
    table = Table("From a child's end to its parent's going on", ["", "p50 ms", "p99 ms"], [])
    for instances, name in ((1, "one instance"), (2, "two instances")):
        url = lab.database("children_lag")
        with ExitStack() as stack:
            servers = [
                stack.enter_context(lab.serving("outlast", database=url, env={"OUTLAST_DB_SESSIONS": "true"}))
                for _ in range(instances)
            ]
            connection = stack.enter_context(psycopg.connect(url, autocommit=True))
            call = Call("/functions/v1/children/patient", {}, {"Prefer": "respond-async"}, status=202)
            drive(servers[0], call, 4, requests=count)
            asleep = _until(connection, _ASLEEP, (), count)
            for number, (workflow_id, _) in enumerate(asleep):
                connection.execute("select outlast.send(%s, '1', 'go')", (workflow_id,))
                time.sleep(0.03 + 0.003 * (number % 17))
            lags = [float(ms) for (ms,) in _until(connection, _LAGS, (), count)]
        median = lags[len(lags) // 2]
        table.rows.append([name, f"{median:.1f}", f"{lags[int(len(lags) * 0.99)]:.1f}"])
        section.figures[f"lag_{instances}_ms"] = Spread.of([median]).record()
        lab.say(" | ".join(table.rows[-1]))
    section.tables.append(table)


def _until(
    connection: psycopg.Connection[Any], query: str, parameters: tuple[Any, ...], count: int
) -> list[Any]:
    """The rows of `query`, as soon as there are `count`."""
    ends = time.monotonic() + LIMIT_S
    while len(rows := connection.execute(query.encode(), parameters).fetchall()) < count:
        if time.monotonic() > ends:
            raise BenchmarkError(f"only {len(rows)} of {count} in {LIMIT_S:.0f} s: {query}")
        time.sleep(0.1)
    return rows
