"""What the dashboard's views ask for reads indexes, however many workflows there are, and sorts little."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from outlast.core.resources import CATALOG, HELD, INSTANCES, Resource
from outlast.store.queries import load

ROWS = 60_000
QUERIES = load("workflows.sql") | load("resources.sql")
FILL = """
insert into outlast.workflow_status
  (workflow_id, function, status, queue, claimable_at, created_at, started_at, completed_at)
select 'w' || i, 'shop' || i % 5, case when i % 50 = 0 then 'ENQUEUED' else 'SUCCESS' end,
  case when i % 50 = 0 then 'mail' end, case when i % 50 = 0 then now() end, now() - i * interval '1 s',
  now() - i * interval '1 s', case when i % 50 > 0 then now() end
from generate_series(1, 60000) i
"""
ONE = """
insert into outlast.workflow_status (workflow_id, function, status, created_at, started_at, completed_at)
select 'w' || i, 'shop', case when i <= 10 then 'ERROR' else 'SUCCESS' end, now() - i * interval '1 min',
  now() - i * interval '1 min', now() - i * interval '1 min' + i * interval '1 s'
from generate_series(1, 500) i
"""
ASKED: tuple[tuple[Resource, dict[str, Any]], ...] = (
    (CATALOG, {}),
    (CATALOG, {"function": "shop3"}),
    (INSTANCES, {}),
    (HELD, {}),
    (HELD, {"function": "shop3"}),
)


@pytest.mark.parametrize("size", [0, ROWS])
def test_views_read_indexes_and_sort_little(database: str, size: int) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        if size:
            connection.execute(FILL.encode())
            connection.execute("analyze outlast.workflow_status")
        for resource, given in ASKED:
            text = QUERIES[resource.name].as_string(None)
            parameters = {**dict.fromkeys(re.findall(r"%\((\w+)\)s", text)), "limit": 101, **given}
            asked = b"explain (analyze, format json) " + text.encode()
            ((found,),) = connection.execute(asked, parameters).fetchall()
            nodes = list(flat(found[0]["Plan"]))
            if size:
                scans = [node for node in nodes if node.get("Relation Name") == "workflow_status"]
                assert {node["Node Type"] for node in scans}.isdisjoint({"Seq Scan"}), resource.name
            read = max(node["Actual Rows"] for node in nodes)
            assert read <= 5_000, (resource.name, read)
            sorted_rows = [node["Actual Rows"] for node in nodes if node["Node Type"] == "Sort"]
            assert max(sorted_rows, default=0) <= 1_000, resource.name


def flat(node: dict[str, Any]) -> Any:
    """A plan's node and all below it."""
    yield node
    for each in node.get("Plans", ()):
        yield from flat(each)


def test_a_functions_figures_are_of_its_newest_runs(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(ONE.encode())
        text = QUERIES[CATALOG.name].as_string(None)
        parameters = {**dict.fromkeys(re.findall(r"%\((\w+)\)s", text)), "limit": 10}
        cursor = connection.execute(text.encode(), parameters)
        assert cursor.description is not None
        names = [each.name for each in cursor.description]
        (row,) = [dict(zip(names, found, strict=True)) for found in cursor]
    assert (row["function"], row["served"], row["ended"], row["failed"]) == ("shop", False, 200, 10)
    assert (row["p50_s"], round(row["p95_s"])) == (100.5, 190)
    assert 58 <= row["started_hour"] <= 60
