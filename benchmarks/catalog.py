"""All there is to measure, and all who take part."""

from __future__ import annotations

from types import ModuleType

from benchmarks.contenders.contender import Contender
from benchmarks.contenders.outlast import Outlast
from benchmarks.contenders.plain import Plain
from benchmarks.workloads import cold_start, memory, sql_cost, throughput

_CONTENDERS: tuple[Contender, ...] = (Outlast(), Outlast(workers=2), Plain())
CONTENDERS: dict[str, Contender] = {each.name: each for each in _CONTENDERS}

WORKLOADS: dict[str, ModuleType] = {
    "throughput": throughput,
    "sql_cost": sql_cost,
    "cold_start": cold_start,
    "memory": memory,
}
"""In the order of the report."""
