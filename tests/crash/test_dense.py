"""A host with little memory, and JSON that takes far more of it than its text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.conftest import Confine, Query
from tests.crash.test_memory import ENDED
from tests.hosts import Host, Hosts, until
from tests.memory import LIMIT_MIB, high_water_mib

pytestmark = pytest.mark.slow

COUNT = 40
DENSE: list[Any] = [[]] * 100_000
AWAKE = """
with over as (update outlast.operation_outputs set output = '0' where completion_order is null)
update outlast.workflow_status set claimable_at = now() where status = 'PENDING'
"""


def all_end(host: Host, query: Query) -> None:
    until(lambda: query(ENDED) == [{"status": "SUCCESS", "count": COUNT}], "all of them", 120)
    assert high_water_mib(host) < LIMIT_MIB
    assert "lease" not in host.said()


def test_dense_calls_that_wake_together_are_loaded_as_there_is_memory_for_them(
    hosts: Hosts, query: Query, confine: Confine
) -> None:
    """300 kB of `[],` each: once read it takes thirty times as much."""
    host = hosts.start(body_values_max=300_000)
    for number in range(COUNT):
        host.begin("dozes", f"k{number}", data=DENSE, pause_s=3600)
    host.signal(15)
    host.ended()
    assert query("select min(load_bytes) as least from outlast.workflow_status")[0]["least"] > 5_000_000
    query(AWAKE)
    host = hosts.launch(memory_max_mb=LIMIT_MIB)
    confine(host)
    host.until_ready(60)
    all_end(host, query)


def test_dense_inputs_by_sql_are_loaded_as_there_is_memory_for_them(
    hosts: Hosts, query: Query, confine: Confine
) -> None:
    query(
        "select outlast.start('proof/dozes', json_build_object('key', 'k', 'pause_s', 0.01, 'data',"
        " ('[' || repeat('[],', 99999) || '[]]')::json)) from generate_series(1, %s)",
        COUNT,
    )
    host = hosts.launch(memory_max_mb=LIMIT_MIB)
    confine(host)
    host.until_ready(60)
    all_end(host, query)
