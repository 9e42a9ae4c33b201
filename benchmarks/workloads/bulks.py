"""Bulks: verbs done to 100,000 workflows, as fast as may be asked for."""

from __future__ import annotations

import time

from benchmarks.harness.database import run, select
from benchmarks.harness.lab import Lab
from benchmarks.harness.processes import BenchmarkError
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Section, Table

LIMIT_S = 600.0
RATE = 10_000
_FILL = """
insert into outlast.workflow_status (
  workflow_id, function, status, input, error, created_at, started_at, completed_at, untold
)
select 'nobody:' || g.name || n, 'nobody', g.status, '{"n": 1}',
  case when g.status = 'ERROR' then '{"code": "workflow_error", "message": "boom", "steps": ["3"]}'::json end,
  now() - interval '1 hour' + n * interval '1 ms', now() - interval '1 hour',
  case when g.status = 'ERROR' then now() - interval '1 hour' end, false
from (select %s::text as name, %s::text as status, %s::int as count) g, generate_series(1, g.count) n
"""
_STEPS = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, error, completion_order, called_after, kind, completed_at
)
select w.workflow_id, s::text, 'step', case when s < 3 or w.error is null then '"done"'::json end,
  case when s = 3 and w.error is not null then '{"type": "ValueError", "message": "boom"}'::json end,
  s, s - 1, 'step', now() - interval '1 hour'
from outlast.workflow_status w cross join generate_series(1, 3) s
where starts_with(w.workflow_id, 'nobody:' || %s)
"""
_BEGIN = """
select workflow_id, count from outlast.bulk(
  %s, jsonb_build_object('prefix', 'nobody:' || %s), rate => 10000, why => 'measured')
"""
_STANDS = """
select w.status, b.done from outlast.bulks b join outlast.workflow_status w on w.workflow_id = b.bulk_id
where b.bulk_id = %s
"""
VERBS = {"retry": "ERROR", "cancel": "PENDING", "pause": "PENDING"}
"""Each with how its workflows stand before."""


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "bulks",
        "Bulks",
        f"A verb is done to many workflows of three recorded steps each, {RATE:,} a second at most, by one "
        "instance, which serves none of them. From the call to the bulk's end.",
    )
    count = 5_000 if lab.quick else 100_000
    rows = []
    url = lab.database("bulks")
    with lab.serving("outlast", database=url):
        for verb, status in VERBS.items():
            rates = []
            for number in range(1 if lab.quick else 2):
                name = f"{verb}{number}-"
                run(url, _FILL, name, status, count)
                run(url, _STEPS, name)
                run(url, "analyze outlast.workflow_status")
                rates.append(count / _run(url, verb, name, count))
            rate = Spread.of(rates)
            section.figures[f"{verb}_per_s"] = rate.record()
            rows.append([f"`{verb}` of {count:,}", rate.text()])
            lab.say(" | ".join(rows[-1]))
    section.tables.append(Table("One instance", ["", "workflows/s"], rows))
    section.ratios.append(f"A bulk of {count:,}: " + ", ".join(f"{row[0]} {row[1]}/s" for row in rows) + ".")
    return section


def _run(url: str, verb: str, name: str, count: int) -> float:
    """Seconds from the call to the end."""
    began = time.perf_counter()
    ((bulk_id, found),) = select(url, _BEGIN, verb, name)
    if found != count:
        raise BenchmarkError(f"{found} workflows are found, and there are {count}")
    while (stands := select(url, _STANDS, bulk_id)[0])[0] == "PENDING":
        if time.perf_counter() - began > LIMIT_S:
            raise BenchmarkError(f"a bulk of {count} has not ended in {LIMIT_S:.0f} s")
        time.sleep(0.1)
    if stands != ("SUCCESS", count):
        raise BenchmarkError(f"a bulk of {count} ended as {stands}")
    return time.perf_counter() - began
