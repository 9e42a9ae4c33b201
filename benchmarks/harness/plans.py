"""What single statements of the store cost the database: EXPLAIN ANALYZE of them, rolled back."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

import psycopg
from psycopg.sql import SQL, Composed

from outlast.store.queries import load

_EXPLAIN = SQL("explain (analyze, buffers, wal, format json) ")
_INSTANCES = load("instances.sql")
_DEFAULTS: dict[str, Any] = {"instance": "benchmarks", "suspect_after": 3, "suspects": 1}


def execution_ms(url: str, query: str, rounds: int = 7, **parameters: Any) -> float:
    """Median execution time of one of `instances.sql`, without planning; nothing of it stays."""
    return median(
        float(explain(url, _EXPLAIN + _INSTANCES[query], {**_DEFAULTS, **parameters})["Execution Time"])
        for _ in range(rounds)
    )


def explain(url: str, statement: SQL | Composed, parameters: dict[str, Any]) -> dict[str, Any]:
    """The plan that was run, as EXPLAIN's JSON."""
    with psycopg.connect(url) as connection:
        row = connection.execute(statement, parameters).fetchone()
        connection.rollback()
    assert row is not None
    document = row[0] if not isinstance(row[0], str) else json.loads(row[0])
    plan: dict[str, Any] = document[0]
    return plan
