"""The engine without HTTP, and the driver without the engine: `python engine_alone.py URL WHAT SECONDS`.

Prints one JSON object. `steps`: many workflows record steps one after another. `driver`: the driver inserts
the same rows in batches of the same size, as JSON documents, nothing else.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import psycopg
import uvloop

from outlast import step, workflow
from outlast.engine.engine import Engine, EngineOptions
from outlast.sdk.definitions import WorkflowDefinition
from outlast.store.connections import Database
from outlast.store.instances import RecoveryLimits
from outlast.store.postgres import PostgresStore

WRITERS = 256
STEPS = 40


@step
async def one(number: int) -> int:
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


async def steps(url: str, seconds: float) -> dict[str, Any]:
    """Recorded steps per second of `WRITERS` workflows at a time."""
    store = PostgresStore(Database.at(url, "benchmarks"), "alone", "0", 4, RecoveryLimits())
    parts = (store.journal, store.transactions, store.instances, store.workflows)
    engine = Engine("alone", *parts, Functions(), lambda _: None, EngineOptions())
    await store.open()
    await engine.open()
    done = 0
    begins = perf_counter() + seconds / 4
    ends = begins + seconds

    async def writer() -> None:
        nonlocal done
        while (now := perf_counter()) < ends:
            await engine.result(await engine.start(chain.definition, (STEPS,), {}, None))
            done += STEPS if now >= begins else 0

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    elapsed_s = perf_counter() - begins
    await engine.close()
    await store.close()
    return {"per_s": done / elapsed_s, "rows": done}


_INSERT = """
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, attempts, completion_order, nonce, started_at
)
select workflow_id, step_id, name, output, 1, completion_order, 1, now()
from json_to_recordset(%s::json) as r (
  workflow_id text, step_id text, name text, output json, completion_order int
)
"""


async def driver(url: str, seconds: float) -> dict[str, Any]:
    """Rows per second of batches of `WRITERS`, one commit each, one after the other."""
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
                "output": 1,
                "completion_order": batch,
            }
            for number in range(WRITERS)
        ]
        await connection.execute(_INSERT, [json.dumps(rows)], prepare=True)
        done += WRITERS
    elapsed_s = perf_counter() - began
    await connection.close()
    return {"per_s": done / elapsed_s, "rows": done}


if __name__ == "__main__":
    what = {"steps": steps, "driver": driver}[sys.argv[2]]
    sys.stdout.write(json.dumps(uvloop.run(what(sys.argv[1], float(sys.argv[3])))))
