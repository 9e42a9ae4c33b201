"""The same calls beside 0, 1 and 10 million ended workflows."""

from __future__ import annotations

from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.database import run, value
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import Lab
from benchmarks.harness.plans import execution_ms
from benchmarks.harness.processes import first_answer, stopping
from benchmarks.harness.rounds import summary
from benchmarks.harness.section import Section, Table

_WORKFLOWS = """
insert into outlast.workflow_status (
  workflow_id, function, status, input, output, request, idempotency_key, fingerprint, version, epoch,
  nonce, created_at, started_at, completed_at
)
select 'steps:' || md5(n::text), 'steps', 'SUCCESS', '{"n": 1}', '{"n":1,"length":1}',
  '{"method":"POST","path":"","query":"","headers":[]}', n::text, md5(n::text), 'v1', 1, n,
  now() - interval '1 day' + n * interval '1 ms', now(), now()
from generate_series(%s::int, %s::int) n
"""
_STEPS = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, completion_order, nonce, started_at
)
select 'steps:' || md5(n::text), '1', 'one', '"0"', 1, n, now() from generate_series(%s::int, %s::int) n
"""


def measure(lab: Lab) -> Section:
    """Run it."""
    sizes = (0, 20_000) if lab.quick else (0, 1_000_000, 10_000_000)
    section = Section(
        "growth",
        "Growth",
        "One-step calls at 64 connections beside ended workflows of one step each, inserted by SQL and "
        "analyzed; "
        "and the statement that looks for work.",
    )
    table = Table(
        "", ["ended workflows", "calls/s", "p50 ms", "p99 ms", "looking for work ms", "tables GB"], []
    )
    outlast = Outlast()
    url = lab.database("growth")
    rates: dict[int, float] = {}
    filled = 0
    for size in sizes:
        if size > filled:
            for statement in (_WORKFLOWS, _STEPS):
                run(url, statement, filled + 1, size)
            filled = size
            run(url, "vacuum analyze")
        tick_ms = execution_ms(url, "claim", functions=["steps"], room=200)
        with stopping(outlast.launch(lab, url)) as server:
            first_answer(server, outlast.call(1).request())
            drive(server, outlast.call(1), 64, requests=2_000)
            runs = [
                drive(server, outlast.call(1), 64, seconds=lab.seconds, warmup_s=lab.seconds / 4)
                for _ in range(lab.rounds)
            ]
        spread = summary(runs)
        rates[size] = spread["per_s"].median
        disk = int(value(url, "select pg_database_size(current_database())")) / 1e9
        figures = [spread[field].text() for field in ("per_s", "p50_ms", "p99_ms")]
        table.rows.append([f"{size:,}", *figures, f"{tick_ms:.2f}", f"{disk:.1f}"])
        lab.say(
            f"{size:,} ended: {spread['per_s'].text()}/s, looking for work {tick_ms:.2f} ms, {disk:.1f} GB"
        )
        section.raw[str(size)] = {"runs": runs, "claim_none_ms": tick_ms, "bytes": disk * 1e9}
    section.tables.append(table)
    section.ratios.append(
        f"Beside {sizes[-1]:,} ended workflows: {rates[sizes[-1]] / rates[0]:.2f}× the calls/s of an "
        f"empty database."
    )
    return section
