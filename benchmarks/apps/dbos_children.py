"""DBOS's children: `python dbos_children.py URL COUNT`. A parent starts so many and waits for each."""

from __future__ import annotations

import json
import sys
import time

from dbos import DBOS, DBOSConfig  # type: ignore[import-not-found]

URL, COUNT = sys.argv[1], int(sys.argv[2])
config: DBOSConfig = {
    "name": "bench",
    "system_database_url": URL,
    "run_admin_server": False,
    "log_level": "ERROR",
}
DBOS(config=config)


@DBOS.step()
def one(number: int) -> str:
    return str(number)


@DBOS.workflow()
def child(number: int) -> str:
    return one(number)


@DBOS.workflow()
def children(count: int) -> int:
    handles = [DBOS.start_workflow(child, number) for number in range(count)]
    return len([each.get_result() for each in handles])


DBOS.launch()
children(10)
began = time.perf_counter()
assert children(COUNT) == COUNT
print(json.dumps({"per_s": COUNT / (time.perf_counter() - began)}))
DBOS.destroy()
