"""Hosts with little memory: what is due together is loaded bit by bit, and a poison ends alone."""

from __future__ import annotations

import contextlib
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.crash.conftest import Confine, Query
from tests.hosts import SECRET, Hosts, until
from tests.memory import LIMIT_MIB, MIB, high_water_mib

pytestmark = pytest.mark.slow

DUE = """
select outlast.start('proof/weighs', json_build_object('text', repeat('a', %s))) from generate_series(1, %s)
"""
ENDED = "select status, count(*) as count from outlast.workflow_status group by 1"


def test_what_wakes_together_is_loaded_as_there_is_memory_for_it(
    hosts: Hosts, query: Query, confine: Confine
) -> None:
    """18 calls of 9.9 MiB: loaded at once they take 360 MB, and each host that started died of it."""
    query(DUE, int(9.9 * MIB), 18)
    host = hosts.launch(memory_max_mb=LIMIT_MIB)
    confine(host)
    host.until_ready(60)
    until(lambda: query(ENDED) == [{"status": "SUCCESS", "count": 18}], "all of them", 120)
    assert high_water_mib(host) < LIMIT_MIB
    assert "lease" not in host.said()


def test_a_poison_ends_exhausted_and_alone(hosts: Hosts, query: Query, confine: Confine) -> None:
    """What no host has the memory to load kills each that tries; all else goes on."""
    query(DUE, 100_000, 20)
    query(
        "insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)"
        " values ('proof/weighs:poison', 'proof/weighs', 'PENDING', '{\"text\": \"\"}', now())"
    )
    query(
        "insert into outlast.operation_outputs (workflow_id, step_id, name, output, completion_order)"
        " select 'proof/weighs:poison', n::text, 'first', to_json(repeat('a', %s)), n"
        " from generate_series(1, 24) n",
        10 * MIB,
    )
    options: dict[str, Any] = {
        "memory_max_mb": LIMIT_MIB, "lease_ttl_s": 2.0, "suspect_after": 1, "recovery_attempts_max": 2,
        "recovery_backoff_s": 0.05, "recovery_backoff_max_s": 0.1,
    }  # fmt: skip
    deaths = 0

    def settled() -> bool:
        return not query("select 1 from outlast.workflow_status where status in ('ENQUEUED', 'PENDING')")

    while not settled() and deaths < 8:
        host = hosts.launch(**options)
        confine(host)
        until(lambda host=host: settled() or host.process.poll() is not None, "an end", 60)  # type: ignore[misc]
        deaths += host.process.poll() is not None
        host.close()
    if not deaths:
        pytest.skip("SKIPPED LOUDLY: no cgroup can be made here, so that nothing is killed for its memory")
    assert sorted((each["status"], each["count"]) for each in query(ENDED)) == [
        ("EXHAUSTED", 1),
        ("SUCCESS", 20),
    ]


LONG = 100_000
RECORDED = """
insert into outlast.operation_outputs
  (workflow_id, step_id, name, output, attempts, completion_order, kind, at)
select 'proof/ticks:long', n::text, 'tick', to_json(n), 1, n, 'step', now() from generate_series(1, %s) n
"""


def test_a_history_of_100_000_steps_is_replayed_within_the_limit(
    hosts: Hosts, query: Query, confine: Confine
) -> None:
    """Its instance was lost, with ten more steps to go; who asks for its steps gets them in pages."""
    query(
        "insert into outlast.workflow_status (workflow_id, function, status, input, owner, epoch)"
        " values ('proof/ticks:long', 'proof/ticks', 'PENDING', json_build_object('steps', %s::int),"
        " 'lost', 1)",
        LONG + 10,
    )
    query(RECORDED, LONG)
    query("insert into outlast.instances (instance_id, lease_until) values ('lost', '-infinity')")
    host = hosts.launch(memory_max_mb=LIMIT_MIB)
    confine(host)
    host.until_ready(60)
    until(lambda: query(ENDED) == [{"status": "SUCCESS", "count": 1}], "its end", 60)
    # Recorded were 1 to LONG, in place of 0 to LONG - 1.
    (ended,) = query("select output::text, recovery_attempts from outlast.workflow_status")
    assert int(ended["output"]) == sum(range(LONG + 10)) + LONG
    seen, path = 0, "proof%2Fticks%3Along/steps?limit=1000"
    while path:
        page = host.manage("GET", path)
        assert 0 < len(page.json()["steps"]) <= 1000
        seen += len(page.json()["steps"])
        path = page.links.get("next", {}).get("url", "").removeprefix("/workflows/v1/")
    assert seen == LONG + 10
    assert high_water_mib(host) < LIMIT_MIB
    assert "lease" not in host.said()


UNREAD = 30
LARGE_MIB = 9


def test_answers_that_nobody_reads_are_bounded_together(hosts: Hosts, query: Query, confine: Confine) -> None:
    """30 connections ask for a result of 9 MiB each and don't read it: in memory at once it was all of it."""
    host = hosts.launch(memory_max_mb=LIMIT_MIB)
    confine(host)
    host.until_ready(60)
    query(
        "insert into outlast.workflow_status (workflow_id, function, status, input, output, completed_at)"
        " select 'proof/large:' || n, 'proof/large', 'SUCCESS', '{}', to_json(repeat('a', %s)), now()"
        " from generate_series(1, %s) n",
        LARGE_MIB * MIB, UNREAD,
    )  # fmt: skip
    address = (urlsplit(host.url).hostname, urlsplit(host.url).port)
    with contextlib.ExitStack() as stack:
        wires = []
        for number in range(1, UNREAD + 1):
            wire = stack.enter_context(socket.socket())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # the kernel would hold it all
            wire.settimeout(30)
            wire.connect(address)
            path = f"/workflows/v1/proof%2Flarge:{number}?wait=1"
            wire.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\napikey: {SECRET}\r\n\r\n".encode())
            wires.append(wire)
        # Those that found no room say so in time; the others wait for their readers.
        refused = sum(_status(wire) == 503 for wire in wires)
        assert 0 < refused < UNREAD
        assert host.asked("/readyz") == 200
        assert high_water_mib(host) < LIMIT_MIB
    answer = host.manage("GET", f"proof%2Flarge:{UNREAD}")
    assert len(answer.json()["output"]) == LARGE_MIB * MIB


def _status(wire: socket.socket) -> int:
    return int(wire.recv(20).split()[1])
