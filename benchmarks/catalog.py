"""All there is to measure, and all who take part."""

from __future__ import annotations

from types import ModuleType

from benchmarks.contenders.contender import Contender
from benchmarks.contenders.dbos import Dbos
from benchmarks.contenders.outlast import Outlast
from benchmarks.contenders.plain import Plain
from benchmarks.contenders.restate import Restate
from benchmarks.workloads import (
    accepting,
    cold_start,
    engine_alone,
    growth,
    memory,
    payloads,
    recovery,
    sleepers,
    sql_cost,
    steps,
    throughput,
)

_CONTENDERS: tuple[Contender, ...] = (
    Outlast(),
    Outlast(workers=2),
    Plain(),
    Dbos("sync"),
    Dbos("async"),
    Dbos("sync", pinned=True),
    Dbos("async", pinned=True),
    Restate(),
)
CONTENDERS: dict[str, Contender] = {each.name: each for each in _CONTENDERS}

WORKLOADS: dict[str, ModuleType] = {
    "throughput": throughput,
    "steps": steps,
    "sql_cost": sql_cost,
    "cold_start": cold_start,
    "memory": memory,
    "accepting": accepting,
    "recovery": recovery,
    "sleepers": sleepers,
    "growth": growth,
    "payloads": payloads,
    "engine_alone": engine_alone,
}
"""In the order of the report."""
