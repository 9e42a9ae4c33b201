"""The dashboard: how soon the first byte of each view comes, with a million workflows behind it."""

from __future__ import annotations

import time

import httpx
import psycopg

from benchmarks.harness.lab import Lab
from benchmarks.harness.rounds import Spread
from benchmarks.harness.section import Section, Table

SECRET = "sb_secret_of_the_benchmarks"
TIMES = 20
VIEWS = {
    "Runs": "",
    "Runs of a function": "?function=shop0",
    "Runs that failed": "?status=ERROR",
    "Errors of 7 days": "/errors",
    "Queues": "/queues",
    "Schedules": "/schedules",
    "Functions": "/functions",
    "One function": "/functions/shop0",
    "Instances": "/instances",
    "Held": "/held",
    "Acts": "/acts",
    "Bulks": "/bulks",
    "A run": "/workflows/w1",
}
_FILL = """
insert into outlast.workflow_status
  (workflow_id, function, status, input, output, error, untold, queue, claimable_at, created_at, started_at,
  completed_at)
select 'w' || i, 'shop' || mod(i, 5), s.status, '{"n": 1}', '{"n": 1}',
  case when s.status = 'ERROR' then
    json_build_object('code', 'workflow_error', 'message', 'declined ' || mod(i, 7)) end,
  false, case when s.status = 'ENQUEUED' then 'mail' end,
  case when s.status in ('PENDING', 'ENQUEUED') then a.at + interval '90 days' end,
  a.at, case when s.status <> 'ENQUEUED' then a.at end,
  case when s.status in ('SUCCESS', 'ERROR') then a.at + interval '2 s' end
from generate_series(1, %s) i
cross join lateral (select case when mod(i, 50) = 0 then 'ERROR' when mod(i, 100) = 1 then 'PENDING'
  when mod(i, 100) = 2 then 'ENQUEUED' else 'SUCCESS' end as status) s
cross join lateral (select now() - i * interval '1 s' as at) a
"""


def measure(lab: Lab) -> Section:
    """Run it."""
    count = 100_000 if lab.quick else 1_000_000
    section = Section(
        "dashboard",
        "The dashboard",
        f"A database with {count:,} workflows of five functions: 2 % have failed, 1 % sleep, 1 % wait in a "
        f"queue. Each view is asked for {TIMES} times, one after the other, over a connection that is open; "
        "the time is that until its first byte.",
    )
    url = lab.database("dashboard")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FILL, (count,))
        connection.execute("vacuum analyze outlast.workflow_status")
    table = Table("Milliseconds until the first byte", ["", "median", "slowest", "KiB"], [])
    slowest: list[float] = []
    env = {"SUPABASE_SECRET_KEY": SECRET}
    with lab.serving("outlast", database=url, env=env, warm=False) as server:
        headers = {"authorization": f"Bearer {SECRET}", "accept": "text/html"}
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=headers, timeout=60) as client:
            for name, path in VIEWS.items():
                took, size = _times(client, f"/dashboard{path}")
                slowest.append(sorted(took)[len(took) // 2])
                table.rows.append([name, f"{slowest[-1]:.0f}", f"{max(took):.0f}", f"{size / 1024:.0f}"])
                lab.say(f"{name}: {slowest[-1]:.0f} ms, {max(took):.0f} at most")
                section.raw[name] = took
    section.tables.append(table)
    section.figures = {"slowest_view_ms": Spread.of([max(slowest)]).record()}
    section.ratios.append(
        f"With {count:,} workflows the slowest view's first byte comes after {max(slowest):.0f} ms."
    )
    return section


def _times(client: httpx.Client, path: str) -> tuple[list[float], int]:
    """Milliseconds until the first byte of each answer, and the size of one."""
    took, size = [], 0
    for each in range(TIMES + 1):
        began = time.perf_counter()
        with client.stream("GET", path) as answer:
            first_ms = (time.perf_counter() - began) * 1000
            size = len(answer.read())
        assert answer.status_code == 200, (path, answer.status_code)
        if each:  # the first one compiles the template
            took.append(first_ms)
    return took, size
