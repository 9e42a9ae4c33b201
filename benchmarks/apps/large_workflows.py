"""One workflow with many steps, without HTTP: `python large_workflows.py URL WHAT COUNT SECONDS`.

Prints one JSON object. `gather`: a workflow gathers so many steps that do nothing, for `SECONDS`, again and
again. `replay`: a workflow has recorded so many steps, one after another, and is claimed; other calls are
made all the while, one after another.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from statistics import median
from time import perf_counter, process_time
from typing import Any

import psycopg
import uvloop

from benchmarks.apps.alone import engine_at
from outlast import step, workflow

replay_began = replay_ended = replay_cpu_s = 0.0


@step
async def one(number: int) -> int:
    return number


@workflow
async def short() -> int:
    return await one(1)


@workflow
async def wide(count: int) -> int:
    return len(await asyncio.gather(*(one(number) for number in range(count))))


@workflow
async def long(count: int) -> int:
    global replay_began, replay_ended, replay_cpu_s
    replay_began, began_cpu = perf_counter(), process_time()
    total = sum([await one(number) for number in range(count)])
    replay_ended, replay_cpu_s = perf_counter(), process_time() - began_cpu
    return total


async def gather(url: str, count: int, seconds: float) -> dict[str, Any]:
    """Steps per second, the start and the end of the workflow included; and how many commits one took."""
    async with engine_at(url, wide) as engine:
        await engine.host.result(await engine.host.start(wide.definition, (100,), {}, None))
        rounds, workflow_id, began, began_cpu = 0, "", perf_counter(), process_time()
        while rounds == 0 or perf_counter() - began < seconds:
            workflow_id = await engine.host.start(wide.definition, (count,), {}, None)
            await engine.host.result(workflow_id)
            rounds += 1
        elapsed_s, cpu_s = perf_counter() - began, process_time() - began_cpu
        commits = await _commits(url, workflow_id)
    steps = rounds * count
    return {"per_s": steps / elapsed_s, "cpu_us": cpu_s / steps * 1e6, "commits": commits}


async def _commits(url: str, workflow_id: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        query = "select count(distinct xmin::text) from outlast.operation_outputs where workflow_id = %s"
        ((count,),) = await (await connection.execute(query, [workflow_id])).fetchall()
        return int(count)


_HISTORY = """
insert into outlast.operation_outputs
  (workflow_id, step_id, name, output, attempts, completion_order, kind, at)
select %s, n::text, 'one', to_json(n - 1), 1, n, 'step', now() from generate_series(1, %s) n
"""
_PENDING = """
insert into outlast.workflow_status (workflow_id, function, status, input)
values (%s, 'long', 'PENDING', %s)
"""
_DUE = "update outlast.workflow_status set claimable_at = now() where workflow_id = %s"


async def replay(url: str, count: int, seconds: float) -> dict[str, Any]:
    """Steps per second of the replay alone, of all from the claim on, and what others waited meanwhile."""
    async with engine_at(url, long, short) as engine:

        async def call() -> float:
            began = perf_counter()
            await engine.host.result(await engine.host.start(short.definition, (), {}, None))
            return (perf_counter() - began) * 1000

        idle_ms = [await call() for _ in range(100)]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            workflow_id = f"long-{perf_counter()}"
            await connection.execute(_PENDING, [workflow_id, json.dumps({"count": count})])
            await connection.execute(_HISTORY, [workflow_id, count])
            await connection.execute("analyze outlast.operation_outputs")
            await connection.execute(_DUE, [workflow_id])
        due, waits_ms = perf_counter(), list[float]()
        result = asyncio.ensure_future(engine.host.result(workflow_id))
        while not result.done():
            waited_ms = await call()
            if replay_began and not replay_ended:
                waits_ms.append(waited_ms)
        if await result != count * (count - 1) // 2:
            raise SystemExit("another result on replay")
        ended = perf_counter()
    return {
        "per_s": count / (replay_ended - replay_began),
        "cpu_us": replay_cpu_s / count * 1e6,
        "per_s_from_claim": count / (ended - due),
        "idle_ms": median(idle_ms),
        "calls": len(waits_ms),
        "p50_ms": median(waits_ms) if waits_ms else 0.0,
        "most_ms": max(waits_ms, default=(replay_ended - replay_began) * 1000),
    }


WHAT: dict[str, Callable[[str, int, float], Coroutine[Any, Any, dict[str, Any]]]] = {
    "gather": gather,
    "replay": replay,
}

if __name__ == "__main__":
    url, what, count, seconds = sys.argv[1:]
    sys.stdout.write(json.dumps(uvloop.run(WHAT[what](url, int(count), float(seconds)))))
