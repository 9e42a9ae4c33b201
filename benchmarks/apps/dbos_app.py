"""DBOS Transact behind FastAPI, as its documentation shows it: `python dbos_app.py PORT URL sync|async`."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Annotated, Any

import uvicorn
from dbos import DBOS, DBOSConfig, SetWorkflowID  # type: ignore[import-not-found]
from fastapi import FastAPI, Header  # type: ignore[import-not-found]

PORT, URL, KIND = int(sys.argv[1]), sys.argv[2], sys.argv[3]
HOLD = os.environ.get("BENCH_HOLD")

app = FastAPI()
config: DBOSConfig = {
    "name": "bench",
    "system_database_url": URL,
    "run_admin_server": False,
    "log_level": "ERROR",
}
DBOS(config=config)


@DBOS.step()
def one(number: int, size: int) -> str:
    if str(number) == HOLD:
        threading.Event().wait()
    return "x" * size if size else str(number)


@DBOS.workflow()
def steps(n: int, size: int) -> dict[str, int]:
    length = 0
    for number in range(n):
        length += len(one(number, size))
    return {"n": n, "length": length}


@DBOS.step()
async def one_async(number: int, size: int) -> str:
    if str(number) == HOLD:
        await asyncio.Event().wait()
    return "x" * size if size else str(number)


@DBOS.workflow()
async def steps_async(n: int, size: int) -> dict[str, int]:
    length = 0
    for number in range(n):
        length += len(await one_async(number, size))
    return {"n": n, "length": length}


Key = Annotated[str, Header()]

if KIND == "sync":

    @app.post("/steps")
    def call(body: dict[str, Any], idempotency_key: Key) -> dict[str, int]:
        with SetWorkflowID(idempotency_key):
            return steps(body["n"], body.get("size", 0))

    @app.post("/start", status_code=202)
    def start(body: dict[str, Any], idempotency_key: Key) -> dict[str, str]:
        with SetWorkflowID(idempotency_key):
            return {"workflow_id": DBOS.start_workflow(steps, body["n"], 0).workflow_id}

else:

    @app.post("/steps")
    async def call_async(body: dict[str, Any], idempotency_key: Key) -> dict[str, int]:
        with SetWorkflowID(idempotency_key):
            return await steps_async(body["n"], body.get("size", 0))

    @app.post("/start", status_code=202)
    async def start_async(body: dict[str, Any], idempotency_key: Key) -> dict[str, str]:
        with SetWorkflowID(idempotency_key):
            return {"workflow_id": (await DBOS.start_workflow_async(steps_async, body["n"], 0)).workflow_id}


if __name__ == "__main__":
    DBOS.launch()
    uvicorn.run(
        app, host="127.0.0.1", port=PORT, loop="uvloop", http="httptools", access_log=False, log_level="error"
    )
