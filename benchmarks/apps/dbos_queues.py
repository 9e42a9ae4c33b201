"""DBOS's queues: `python dbos_queues.py URL COUNT`. Workflows are enqueued, then run by this process."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS, DBOSClient, DBOSConfig  # type: ignore[import-not-found]

URL, COUNT, LONE = sys.argv[1], int(sys.argv[2]), 40
POLLING_S = 0.02
"""Its default is a second. Shorter ones made nothing quicker."""

config: DBOSConfig = {
    "name": "bench",
    "system_database_url": URL,
    "run_admin_server": False,
    "log_level": "ERROR",
}
DBOS(config=config)
began: list[float] = []


@DBOS.step()
def one(number: int) -> str:
    return str(number)


@DBOS.workflow()
def queued(number: int) -> str:
    began.append(time.time())
    return one(number)


def drain(name: str) -> float:
    """Workflows a second of a queue that is full at first."""
    client = DBOSClient(system_database_url=URL)
    options = {"workflow_name": "queued", "queue_name": name}
    with ThreadPoolExecutor(16) as threads:
        handles = list(threads.map(lambda number: client.enqueue(options, number), range(COUNT)))
    first = time.time()
    limit = {"global_concurrency": 100} if name == "limited" else {}
    DBOS.register_queue(name, polling_interval_sec=POLLING_S, **limit)
    for handle in handles:
        handle.get_result()
    client.destroy()
    return COUNT / (max(began) - first)


DBOS.launch()
per_s = {name: drain(name) for name in ("free", "limited")}
waited_ms = []
for _ in range(LONE):
    began.clear()
    called = time.time()
    DBOS.enqueue_workflow("free", queued, 1).get_result()
    waited_ms.append((began[0] - called) * 1000)
    time.sleep(0.05)
print(json.dumps({"per_s": per_s, "waited_ms": sorted(waited_ms)}))
DBOS.destroy()
