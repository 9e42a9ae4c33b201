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
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

import psycopg
import uvloop

from outlast import step, workflow
from outlast.engine.engine import Engine, EngineOptions
from outlast.host.collector import collect_seldom
from outlast.sdk.definitions import WorkflowDefinition
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore

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


class Functions:
    """A catalog of the one workflow."""

    def workflow(self, function: str) -> WorkflowDefinition | None:
        """See core.ports.Catalog."""
        return chain.definition

    def version(self, function: str) -> str | None:
        """See core.ports.Catalog."""
        return "1"

    def name_of(self, definition: WorkflowDefinition) -> str | None:
        """See core.ports.Catalog."""
        return "chain"

    def workflow_names(self) -> Sequence[str]:
        """See core.ports.Catalog."""
        return ["chain"]

    def queues(self) -> dict[str, list[str]]:
        """See core.ports.Catalog."""
        return {}


async def steps(url: str, seconds: float) -> dict[str, Any]:
    """Recorded steps per second of `WRITERS` workflows at a time."""
    store = PostgresStore(Database.at(url, "benchmarks"), "alone", "0", 4, RecoveryLimits())
    stores = (store.workflows, store.messages, store.queues)
    parts = (store.journal, store.transactions, store.instances, *stores)
    engine = Engine("alone", *parts, Functions(), lambda _: None, EngineOptions())
    await engine.open()
    collect_seldom(loaded_stays=True)  # as `outlast serve` does
    over = False

    async def writer() -> None:
        while not over:
            await engine.result(await engine.start(chain.definition, (STEPS,), {}, None))

    writers = asyncio.gather(*(writer() for _ in range(WRITERS)))
    await asyncio.sleep(seconds / 3)
    before, began = begun, perf_counter()
    await asyncio.sleep(seconds)
    rows, elapsed_s = begun - before, perf_counter() - began
    over = True
    await writers
    await engine.close()
    await store.close()
    return {"per_s": rows / elapsed_s, "rows": rows}


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
    commits = await connection.execute("select count(distinct xmin::text) from outlast.operation_outputs")
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
