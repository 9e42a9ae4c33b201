"""Hosts that consume a queue: killed in the middle, behind a pooler, several at once."""

from __future__ import annotations

import signal
from collections import Counter

import psycopg
import pytest

from tests.hosts import Hosts, until
from tests.memory import high_water_mib
from tests.pooler import Pooler, program

STATUSES = "select workflow_id, status from outlast.workflow_status order by 1"


def send(url: str, count: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        batch = "array(select jsonb_build_object('sku', 's' || n) from generate_series(1, %s::int) n)"
        connection.execute(f"select pgmq.send_batch('orders', {batch})".encode(), [count])


def until_all_succeeded(url: str, count: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        expected = {(f"pgmq:orders:{n}", "SUCCESS") for n in range(1, count + 1)}
        until(lambda: set(connection.execute(STATUSES.encode()).fetchall()) == expected, "all to succeed")
        assert connection.execute("select count(*) from pgmq.q_orders").fetchone() == (0,)


@pytest.mark.parametrize("point", ["consume.after_commit", "step.after_run:3", "finish.before_commit"])
def test_a_killed_consumer_loses_nothing(hosts: Hosts, queue_database: str, point: str) -> None:
    send(queue_database, 20)
    killed = hosts.launch(crash_at=point)
    assert killed.ended() == -signal.SIGKILL
    host = hosts.start()
    until_all_succeeded(queue_database, 20)
    ran = Counter(hosts.testimony())
    assert set(ran) == {f"ship s{n}" for n in range(1, 21)}
    host.signal(15)
    assert host.ended() == 0


@pytest.mark.skipif(program() is None, reason="SKIPPED LOUDLY: there is no pgbouncer here")
def test_two_hosts_behind_a_transaction_pooler(hosts: Hosts, queue_database: str) -> None:
    pooler = Pooler(program() or "", queue_database, 6)
    pooler.start()
    try:
        for _ in range(2):
            hosts.start(database=pooler.url)
        send(queue_database, 200)
        until_all_succeeded(queue_database, 200)
        assert max(Counter(hosts.testimony()).values()) == 1
    finally:
        hosts.close()
        pooler.close()


def test_a_host_lists_its_queue_and_is_called_as_before(hosts: Hosts, queue_database: str) -> None:
    host = hosts.start()
    send(queue_database, 2)
    until_all_succeeded(queue_database, 2)
    listed = host.manage("GET", "?queue=pgmq:orders").json()["workflows"]
    assert {each["workflow_id"] for each in listed} == {"pgmq:orders:1", "pgmq:orders:2"}
    assert listed[0]["attributes"]["read_ct"] == 1
    answer = host.post("orders", "by-hand", {"sku": "w"})
    assert (answer.status_code, answer.headers["workflow-id"]) == (200, "orders:by-hand")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "size", "memory_max_mb"),
    [
        # Memory for one of them, and for none.
        (20, 5_000_000, 160),
        (3, 10_000_000, 160),
        pytest.param(40, 20_000_000, 512, marks=[pytest.mark.long, pytest.mark.timeout(400)]),
    ],
)
def test_large_messages_hold_up_no_small_one(
    hosts: Hosts, queue_database: str, count: int, size: int, memory_max_mb: int
) -> None:
    """Together they took longer than a look may, and so every look failed."""
    large = "select pgmq.send('orders', jsonb_build_object('sku', 's', 'note', repeat('a', %s)))"
    with psycopg.connect(queue_database, autocommit=True) as connection:
        for _ in range(count):
            connection.execute(large.encode(), [size])
        connection.execute("select pgmq.send('orders', '{\"sku\": \"small\"}')")
        host = hosts.start(memory_max_mb=memory_max_mb)
        over = "select count(*) from outlast.workflow_status where status = 'SUCCESS'"
        until(lambda: connection.execute(over.encode()).fetchone() == (count + 1,), "all to succeed", 300)
        assert connection.execute("select count(*) from pgmq.q_orders").fetchone() == (0,)
    assert "ship small" in hosts.testimony()
    assert "queue" not in host.said().lower().replace("queues", "")
    assert high_water_mib(host) < memory_max_mb
