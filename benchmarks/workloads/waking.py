"""How soon a workflow that SQL started runs, and what telling of it costs those who start."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg

from benchmarks.harness.database import run, select
from benchmarks.harness.lab import Lab
from benchmarks.harness.pgbench import pgbench
from benchmarks.harness.processes import BenchmarkError
from benchmarks.harness.rounds import Spread, cells, interleaved, ratio, summary
from benchmarks.harness.section import Section, Table

CLIENTS = 64
LIMIT_S = 60.0
_START = "select outlast.start('elsewhere', '{\"n\": 1}');\n"
_TELL = "create or replace function outlast.tell_due() returns void language sql as $$ select {} $$"
_WAYS = {
    "told": ("as it is: one transaction at a time notifies", None),
    "silent": ("without a notification", "null::void"),
    "each": ("a notification in each commit", "pg_notify('outlast_due', '')"),
}
_RUNNING = {
    "sessions": ("connected directly: told", {"OUTLAST_DB_SESSIONS": "true"}),
    "pooled": ("as over a transaction pooler: found by the next tick", {"OUTLAST_DB_SESSIONS": "false"}),
}
_WAITED = """
select extract(epoch from started_at - created_at) * 1000 as ms from outlast.workflow_status
where function = 'steps' and idempotency_key like 'waking-%'
order by ms
"""


def measure(lab: Lab) -> Section:
    """Run it."""
    section = Section(
        "waking",
        "Workflows that SQL starts",
        f"`outlast.start` is called by {CLIENTS} connections of pgbench, while a session listens and nothing "
        "runs beside; then by one connection, now and then: from the call to its claim by an instance.",
    )
    _rates(lab, section)
    _delays(lab, section)
    return section


def _rates(lab: Lab, section: Section) -> None:
    with ExitStack() as stack:
        urls = {name: lab.database(f"waking_{name}") for name in _WAYS}
        for name, url in urls.items():
            if (body := _WAYS[name][1]) is not None:
                run(url, _TELL.format(body))
            stack.enter_context(_listening(url))

        def one(name: str) -> dict[str, Any]:
            return pgbench(_START, urls[name], CLIENTS, lab.seconds, lab.folder / "pgbench")

        runs = interleaved(list(_WAYS), lab.rounds, one)
    table = Table(f"{CLIENTS} connections start workflows", ["", "starts/s", "p50 ms", "p99 ms"], [])
    for name, each in runs.items():
        table.rows.append([_WAYS[name][0], *cells(each)])
        lab.say(f"{_WAYS[name][0]}: {summary(each)['per_s'].text()}/s")
    kept, all_tell = ratio(runs, "told", "silent"), ratio(runs, "each", "silent")
    section.figures["rate_kept"] = kept.record()
    section.ratios.append(
        f"{CLIENTS} connections that start workflows by SQL keep {kept.text(2)} of their rate without "
        f"notifications; were each commit to notify, {all_tell.text(2)}."
    )
    section.tables.append(table)
    section.raw["rates"] = runs


@contextmanager
def _listening(url: str) -> Iterator[None]:
    """A session that hears of each notification, as an instance does."""
    over = threading.Event()

    def listen() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("listen outlast_due")
            while not over.is_set():
                for _ in connection.notifies(timeout=0.2):
                    pass

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _delays(lab: Lab, section: Section) -> None:
    count = 50 if lab.quick else 100
    table = Table("From SQL to running", ["", "p50 ms", "p99 ms"], [])
    for name, (title, env) in _RUNNING.items():
        url = lab.database(f"delay_{name}")
        with lab.serving("outlast", database=url, env=env):
            _start_now_and_then(url, count)
            waited = [float(ms) for (ms,) in select(url, _WAITED)]
        p50, p99 = waited[len(waited) // 2], waited[int(len(waited) * 0.99)]
        table.rows.append([title, f"{p50:.1f}", f"{p99:.1f}"])
        lab.say(f"{title}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        section.raw[f"delays_{name}"] = waited
        section.figures[f"{name}_p50_ms"] = Spread.of([p50]).record()
    told = section.figures["sessions_p50_ms"]["median"]
    section.ratios.append(f"A workflow that SQL starts runs after {told:.1f} ms (median).")
    section.tables.append(table)


def _start_now_and_then(url: str, count: int) -> None:
    ends = time.monotonic() + LIMIT_S + count
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(count):
            connection.execute(
                "select outlast.start('steps', '{\"n\": 0}', %s)", (f"waking-{number}",), prepare=True
            )
            while connection.execute(
                "select 1 from outlast.workflow_status where idempotency_key = %s and completed_at is null",
                (f"waking-{number}",),
            ).fetchone():
                if time.monotonic() > ends:
                    raise BenchmarkError("workflows that SQL started have not ended in time")
                time.sleep(0.02)
            time.sleep(0.003 * (number % 17))
