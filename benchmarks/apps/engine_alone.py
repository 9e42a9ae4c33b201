"""The engine without HTTP, and the driver without the engine: `python engine_alone.py URL WHAT SECONDS`.

Prints one JSON object. `steps`: many workflows record steps one after another. `executemany` and `json`: the
driver inserts the same rows in batches of as many, one commit a batch, and does nothing else; with its own
batching (a pipeline), and as one JSON document a batch.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter, process_time
from typing import Any

import psycopg
import uvloop

from benchmarks.apps.alone import engine_at
from outlast import step, workflow

WRITERS = 256
STEPS = 40


begun = 0


@step
async def one(number: int) -> int:
    global begun
    begun += 1  # a step begins when the one before it is durable
    return number


@workflow
async def chain(length: int) -> int:
    return sum([await one(number) for number in range(length)])


async def steps(url: str, seconds: float) -> dict[str, Any]:
    """Recorded steps per second of `WRITERS` workflows at a time."""
    async with engine_at(url, chain) as engine:
        over = False

        async def writer() -> None:
            while not over:
                await engine.host.result(await engine.host.start(chain.definition, (STEPS,), {}, None))

        writers = asyncio.gather(*(writer() for _ in range(WRITERS)))
        await asyncio.sleep(seconds / 3)
        before, began, began_cpu = begun, perf_counter(), process_time()
        await asyncio.sleep(seconds)
        rows, elapsed_s, cpu_s = begun - before, perf_counter() - began, process_time() - began_cpu
        over = True
        await writers
    return {"per_s": rows / elapsed_s, "rows": rows, "cpu_us": cpu_s / rows * 1e6}


_WORKFLOWS = """
insert into outlast.workflow_status (workflow_id, function, status, input)
select %s || number, 'chain', 'PENDING', '{}' from generate_series(0, %s) as number
"""
_EXECUTEMANY = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, attempts, completion_order, nonce, started_at
) values (%(workflow_id)s, %(step_id)s, %(name)s, %(output)s, 1, %(completion_order)s, 1, now())
"""
_JSON = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, attempts, completion_order, nonce, started_at
)
select workflow_id, step_id, name, output::json, 1, completion_order, 1, now()
from json_to_recordset(%s::json) as r (
  workflow_id text, step_id text, name text, output text, completion_order int
)
"""

_COMMITS = "select count(distinct xmin::text) from outlast.operation_outputs"

Connection = psycopg.AsyncConnection[Any]
Rows = list[dict[str, Any]]


async def by_executemany(connection: Connection, rows: Rows) -> None:
    # In autocommit the pipeline that psycopg makes is one transaction.
    await connection.cursor().executemany(_EXECUTEMANY, rows)


async def by_json(connection: Connection, rows: Rows) -> None:
    await connection.execute(_JSON, [json.dumps(rows)], prepare=True)


async def driver(
    url: str, seconds: float, insert: Callable[[Connection, Rows], Awaitable[None]]
) -> dict[str, Any]:
    """Rows per second of batches of `WRITERS`, one after the other; and how many rows a commit had."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    prefix, done, batch = secrets.token_hex(4), 0, 0
    await connection.execute(_WORKFLOWS, [prefix, WRITERS - 1])
    began = perf_counter()
    while perf_counter() - began < seconds:
        batch += 1
        rows = [
            {
                "workflow_id": f"{prefix}{number}",
                "step_id": str(batch),
                "name": "one",
                "output": "1",
                "completion_order": batch,
            }
            for number in range(WRITERS)
        ]
        await insert(connection, rows)
        done += WRITERS
    elapsed_s = perf_counter() - began
    commits = await connection.execute(_COMMITS)
    ((count,),) = await commits.fetchall()
    await connection.close()
    return {"per_s": done / elapsed_s, "rows": done, "commits": count}


WHAT: dict[str, Callable[[str, float], Coroutine[Any, Any, dict[str, Any]]]] = {
    "steps": steps,
    "executemany": lambda url, seconds: driver(url, seconds, by_executemany),
    "json": lambda url, seconds: driver(url, seconds, by_json),
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(WHAT[sys.argv[2]](sys.argv[1], float(sys.argv[3])))))
