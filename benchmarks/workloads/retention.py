"""Retention: what calls lose while ended workflows are removed, and how fast an idle instance removes."""

from __future__ import annotations

import time

import psycopg

from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import Spread, interleaved
from benchmarks.harness.section import Section, Table

CALLERS = 64
IDLE_S = 15.0
_FILL = """
insert into outlast.workflow_status
  (workflow_id, function, status, input, output, untold, created_at, started_at, completed_at)
select 'old:' || i, 'steps', 'SUCCESS', '{"n": 1}', '{"n": 1}', false, now() - interval '60 days',
  now() - interval '60 days', now() - interval '50 days' + i * interval '1 s'
from generate_series(1, %s) i
"""
_RECORDS = """
insert into outlast.operation_outputs (workflow_id, step_id, name, kind, output, completion_order)
select 'old:' || i, '1', 'one', 'step', '1', 1 from generate_series(1, %s) i
"""
_LEFT = "select count(*) from outlast.workflow_status where workflow_id like 'old:%'"


def measure(lab: Lab) -> Section:
    """Run it."""
    count = 50_000 if lab.quick else 1_000_000
    seconds = 3.0 if lab.quick else 15.0
    section = Section(
        "retention",
        "Retention",
        f"A database with {count:,} workflows of one step, all of which were kept for long enough. The same "
        f"host with and without retention, taking turns, is called by {CALLERS} for {seconds:.0f} s each; "
        "then nobody calls it.",
    )
    outlast, url = Outlast(), lab.database("retention")
    removed: list[int] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FILL, (count,))
        connection.execute(_RECORDS, (count,))
        connection.execute("vacuum analyze outlast.workflow_status, outlast.operation_outputs")

        def left() -> int:
            row = connection.execute(_LEFT).fetchone()
            assert row is not None
            return int(row[0])

        def rate(name: str) -> float:
            before = left()
            env = {"OUTLAST_RETENTION_DAYS": "30" if name == "with" else "0"}
            with lab.serving("outlast", database=url, env=env) as server:
                drive(server, outlast.call(1), CALLERS, requests=2_000)
                time.sleep(6.0)  # by then it has begun to remove
                began = time.perf_counter()
                done = 0
                while (took := time.perf_counter() - began) < seconds:
                    drive(server, outlast.call(1), CALLERS, requests=2_000)
                    done += 2_000
            if name == "with":
                removed.append(before - left())
            return done / took

        runs = interleaved(["with", "without"], lab.rounds, rate)
        with lab.serving("outlast", database=url, env={"OUTLAST_RETENTION_DAYS": "30"}, warm=False):
            time.sleep(8.0)
            before = left()
            time.sleep(IDLE_S)
            idle = (before - left()) / IDLE_S
    kept = Spread.of([a / b for a, b in zip(runs["with"], runs["without"], strict=True)])
    table = Table("One-step calls/s", ["", "calls/s"], [])
    for name in ("without", "with"):
        table.rows.append([f"{name} removal", Spread.of(runs[name]).text()])
    section.tables.append(table)
    section.figures = {"kept": kept.record(), "idle_rows_per_s": Spread.of([idle]).record()}
    section.ratios.append(
        f"While ended workflows are removed a host keeps {kept.text(2)} of its calls; some "
        f"{sum(removed) // max(1, len(removed)):,} workflows went in each turn. An idle one removes "
        f"{idle:,.0f} a second."
    )
    lab.say(section.ratios[-1])
    section.raw = {"runs": runs, "removed": removed, "left": count}
    return section
