"""The same calls beside 0, 1 and 10 million ended workflows, with keys in order and with random ones."""

from __future__ import annotations

import contextlib
import secrets
from typing import Any

from benchmarks.contenders.outlast import Outlast
from benchmarks.harness.database import run, value
from benchmarks.harness.driving import drive
from benchmarks.harness.lab import WARM_CALLS, Lab
from benchmarks.harness.plans import execution_ms
from benchmarks.harness.processes import Server, first_answer
from benchmarks.harness.rounds import Spread, cells, interleaved, ratio, summary
from benchmarks.harness.section import Chart, Section, Table

# Rows as wide as those that a call leaves, under ids as random as a UUID.
_WORKFLOWS = """
insert into outlast.workflow_status (
  workflow_id, function, status, input, output, request, idempotency_key, fingerprint, version, epoch,
  nonce, created_at, started_at, completed_at
)
select 'steps:' || key, 'steps', 'SUCCESS', '{"n": 1}', '{"n":1,"length":1}',
  json_build_object('method', 'POST', 'path', '/', 'query', '', 'headers', json_build_array(
    json_build_array('host', '127.0.0.1:48573'), json_build_array('content-type', 'application/json'),
    json_build_array('content-length', '8'), json_build_array('idempotency-key', key))),
  key, encode(sha256(key::bytea), 'hex'), '58a0fbf8321c', 1, n::bigint << 32,
  now() - interval '1 day' + n * interval '1 ms', now(), now()
from generate_series(1, %s::int) n cross join lateral (select md5(n::text)::uuid::text as key) as keys
"""
_STEPS = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, completion_order, nonce, started_at
)
select 'steps:' || md5(n::text)::uuid, '1', 'one', '"0"', 1, n::bigint << 32, now()
from generate_series(1, %s::int) n
"""
_WAL_BYTES = "select pg_current_wal_insert_lsn() - '0/0'"

COUNTED, RANDOM = "keys in order", "random keys"
# At least as wide as the ended workflows' keys: narrower rows would fill the gap that the load leaves at the
# end of each of its pages, one page a call, until all are full. Rows that calls leave have no such gaps.
_KEY_BYTES = 16

Cell = tuple[int, str]
Runs = dict[str, list[dict[str, Any]]]


def measure(lab: Lab) -> Section:
    """Run it."""
    sizes = (0, 20_000) if lab.quick else (0, 1_000_000, 10_000_000)
    section = Section(
        "growth",
        "Growth",
        "One-step calls at 64 connections beside ended workflows of one step each, which were inserted by "
        "SQL, vacuumed, analyzed and written to disk by a checkpoint before the first call. One server and "
        "one database for each size, taking turns. *Keys in order* share a prefix and count up, so that "
        "neighbours in time are neighbours in the indexes. *Random keys* are UUIDv4: "
        "each call touches a page of its own in each of two indexes, which has to be read where "
        "memory doesn't hold the indexes, and is logged whole at its first change after a checkpoint.",
    )
    urls = {size: _filled(lab, size) for size in sizes}
    ticks_ms = {size: execution_ms(url, "claim", functions=["steps"], room=200) for size, url in urls.items()}
    with contextlib.ExitStack() as stack:
        servers = {size: _serving(lab, stack, url) for size, url in urls.items()}
        named = {_name((size, keys)): (size, keys) for keys in (COUNTED, RANDOM) for size in sizes}

        def call(name: str) -> dict[str, Any]:
            size, keys = named[name]
            timed = {"seconds": lab.seconds, "warmup_s": lab.seconds / 4}
            return {
                **_drive(servers[size], keys, **timed),
                "wal_kb": _wal_kb(urls[size], servers[size], keys),
            }

        runs = interleaved(list(named), lab.rounds, call)
    table = Table(
        "", ["ended workflows", "", "calls/s", "p50 ms", "p99 ms", "WAL KB a call", "tables GB"], []
    )
    for name, (size, keys) in named.items():
        written = Spread.of([each["wal_kb"] for each in runs[name]])
        gigabytes = int(value(urls[size], "select pg_database_size(current_database())")) / 1e9
        row = [*cells(runs[name]), written.text(), f"{gigabytes:.1f}"]
        table.rows.append([f"{size:,}", keys, *row])
        lab.say(f"{size:,} ended, {keys}: {summary(runs[name])['per_s'].text()}/s, WAL {written.text()} KB")
    section.tables.append(table)
    section.charts.append(
        Chart(
            "growth.svg",
            "Calls per second beside ended workflows",
            "calls/s",
            [f"{size:,}" for size in sizes],
            {
                keys: [summary(runs[_name((size, keys))])["per_s"].median for size in sizes]
                for keys in (COUNTED, RANDOM)
            },
        )
    )
    section.tables.append(_ticks(ticks_ms))
    _compare(section, runs, sizes)
    section.raw |= {**runs, "claim_none_ms": ticks_ms}
    return section


def _filled(lab: Lab, size: int) -> str:
    """The URL of a database with so many ended workflows, at rest."""
    url = lab.database("growth")
    if size:
        for statement in (_WORKFLOWS, _STEPS):
            run(url, statement, size)
        # What the load left to do is done before anything is measured: hint bits, statistics, dirty pages.
        run(url, "vacuum (analyze)")
    run(url, "checkpoint")
    lab.say(f"{size:,} ended workflows inserted")
    return url


def _serving(lab: Lab, stack: contextlib.ExitStack, url: str) -> Server:
    outlast = Outlast()
    server = stack.enter_context(outlast.serve(lab, database=url))
    first_answer(server, outlast.call(1).request())
    for keys in (COUNTED, RANDOM):
        _drive(server, keys, requests=WARM_CALLS)
    return server


def _drive(server: Server, keys: str, **bounds: Any) -> dict[str, Any]:
    call = Outlast().call(1)
    if keys == RANDOM:
        return drive(server, call, 64, key_prefix="", keys_random=True, **bounds)
    return drive(server, call, 64, key_prefix=f"{secrets.token_hex(_KEY_BYTES)}-", **bounds)


def _wal_kb(url: str, server: Server, keys: str) -> float:
    """Kilobytes of WAL a call, of calls that are counted, not timed."""
    before = int(value(url, _WAL_BYTES))
    _drive(server, keys, requests=WARM_CALLS)
    return (int(value(url, _WAL_BYTES)) - before) / WARM_CALLS / 1e3


def _ticks(ticks_ms: dict[int, float]) -> Table:
    rows = [[f"{size:,}", f"{spent:.2f}"] for size, spent in ticks_ms.items()]
    return Table("The statement that looks for work, finding none", ["ended workflows", "ms"], rows)


def _compare(section: Section, runs: Runs, sizes: tuple[int, ...]) -> None:
    most = sizes[-1]
    for keys, figure in ((COUNTED, "kept"), (RANDOM, "kept_random")):
        kept = ratio(runs, _name((most, keys)), _name((0, keys)))
        section.figures[figure] = kept.record()
        section.ratios.append(
            f"Beside {most:,} ended workflows, {keys}: {kept.text(2)}× the calls/s of an empty database."
        )


def _name(cell: Cell) -> str:
    return f"{cell[0]}, {cell[1]}"
