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
    auth,
    bulks,
    calls,
    children,
    cold_start,
    dashboard,
    engine_alone,
    growth,
    large_workflows,
    maps,
    metrics,
    payloads,
    queues,
    recovery,
    retention,
    schedules,
    sleepers,
    sql_cost,
    testing_kit,
    waking,
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
    "calls": calls,
    "accepting": accepting,
    "auth": auth,
    "metrics": metrics,
    "dashboard": dashboard,
    "recovery": recovery,
    "sleepers": sleepers,
    "cold_start": cold_start,
    "payloads": payloads,
    "growth": growth,
    "engine_alone": engine_alone,
    "large_workflows": large_workflows,
    "sql_cost": sql_cost,
    "testing_kit": testing_kit,
    "waking": waking,
    "queues": queues,
    "schedules": schedules,
    "maps": maps,
    "children": children,
    "retention": retention,
    "bulks": bulks,
}
"""In the order of the report."""
