"""A schedule that ticks each second while four instances look: how many workflows begin, and how late."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.harness.database import run, select
from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Section, Table

INSTANCES = 4
_SCHEDULE = """
select outlast.schedule('bench', 'steps', every => '1 second', input => '{"n": 0}', overlap => 'allow')
"""
_TICKS = """
select
  extract(epoch from w.created_at - (w.tick ->> 'nominal')::timestamptz)::float8 * 1000 as lag_ms,
  extract(epoch from (w.tick ->> 'nominal')::timestamptz)::bigint as nominal
from outlast.workflow_status w
where w.tick ->> 'schedule' = 'bench' and w.workflow_id like 'schedule:bench:20%'
order by nominal
"""


def measure(lab: Lab) -> Section:
    """Run it."""
    seconds = 15 if lab.quick else 60
    section = Section(
        "schedules",
        "A schedule that ticks each second",
        f"`outlast.schedule(…, every => '1 second')` for {seconds} s on {INSTANCES} instances, connected "
        "directly: each looks by itself. The lag is from the time that the schedule names to the commit that "
        "starts its workflow.",
    )
    url = lab.database("schedules")
    with ExitStack() as stack:
        for _ in range(INSTANCES):
            stack.enter_context(lab.serving("outlast", database=url))
        run(url, _SCHEDULE)
        time.sleep(seconds + 3)
        run(url, "select outlast.pause_schedule('bench')")
    rows = select(url, _TICKS)
    lags, times = [float(lag) for lag, _ in rows[:seconds]], [int(nominal) for _, nominal in rows[:seconds]]
    exact = times == list(range(times[0], times[0] + seconds))
    noted = select(url, "select outcome, sum(count)::int from outlast.ticks group by 1")
    lags.sort()
    p50, p99 = lags[len(lags) // 2], lags[int(len(lags) * 0.99)]
    table = Table(
        f"{seconds} seconds on {INSTANCES} instances",
        ["workflows", "each second once", "skipped, late, missed", "lag p50 ms", "p99 ms", "worst ms"],
        [
            [
                str(len(lags)),
                "yes" if exact else "**no**",
                str(dict(noted) or "none"),
                f"{p50:.1f}",
                f"{p99:.1f}",
                f"{lags[-1]:.1f}",
            ]
        ],
    )
    section.tables.append(table)
    section.ratios.append(
        f"Of {seconds} ticks {len(set(times))} workflows began, each second {'one' if exact else 'NOT one'}; "
        f"{p99:.1f} ms late at most (p99)."
    )
    section.figures["exact"] = Spread.of([float(exact)]).record()
    section.figures["lag_p99_ms"] = Spread.of([p99]).record()
    section.raw["lags_ms"] = lags
    lab.say(section.ratios[0])
    return section
