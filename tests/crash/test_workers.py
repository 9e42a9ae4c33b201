"""`--workers 2`: processes that share a port, replaced when they die, gone when their parent is."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.crash.conftest import Query
from tests.hosts import Host, Hosts, until

pytestmark = pytest.mark.slow

ALIVE = "select backend_pid from outlast.instances where lease_until > clock_timestamp()"


def family_of(pid: int) -> set[int]:
    """The processes that descend from `pid`."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return set()
    return {int(each) for each in children} | {one for each in children for one in family_of(int(each))}


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def start_on(hosts: Hosts, port: str) -> Host | None:
    """A new host on `port`; None while that is still taken."""
    host = hosts.launch("--workers", "2", "--port", port)
    try:
        return host.until_ready()
    except AssertionError:
        assert "can't listen" in host.said(), host.said()
        return None


def test_a_killed_worker_is_replaced_and_its_work_goes_on(hosts: Hosts, query: Query) -> None:
    host = hosts.start("--workers", "2")
    until(lambda: len(query(ALIVE)) == 2, "both workers")
    host.begin("holding", "k", gate="gate")
    lost = int(until(hosts.testimony)[0].split()[-1])
    os.kill(lost, signal.SIGKILL)
    until(lambda: hosts.witnessed("hold k") == 2, "the step again")
    hosts.open_gate("gate")
    other = host.call("holding", "k", gate="gate").json()
    assert other != lost
    until(lambda: f"worker {lost} ended with -9" in host.said())
    until(lambda: len(query(ALIVE)) >= 2, "the new worker")
    assert [host.call("single", f"s{n}").json() for n in range(10)] == ["a"] * 10


def test_told_to_end_the_parent_ends_all(hosts: Hosts, query: Query) -> None:
    host = hosts.start("--workers", "2")
    until(lambda: len(query(ALIVE)) == 2, "both workers")
    workflow_ids = [host.begin("paying", f"k{n}", gate="gate") for n in range(2)]
    until(lambda: len(hosts.testimony()) == 2, "the transactions")
    family = family_of(host.pid)
    host.signal(signal.SIGTERM)
    hosts.open_gate("gate")
    assert host.ended() == 0
    until(lambda: not [each for each in family if runs(each)], "the end of all", 5)
    ended = "select 1 from outlast.workflow_status where status = 'SUCCESS' and recovery_attempts = 0"
    assert len(query(ended)) == len(workflow_ids)
    assert not query(ALIVE)


def test_a_killed_parent_takes_its_workers_along_and_frees_the_port(hosts: Hosts, query: Query) -> None:
    host = hosts.start("--workers", "2", drain_s=60)
    until(lambda: len(query(ALIVE)) == 2, "both workers")
    host.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    family = family_of(host.pid)
    host.signal(signal.SIGKILL)
    assert host.ended() == -signal.SIGKILL

    port = host.url.rpartition(":")[2]
    new = until(lambda: start_on(hosts, port), "the port")
    hosts.open_gate("gate")
    until(lambda: not [each for each in family if runs(each)], "the end of the old workers")
    assert isinstance(new.call("holding", "k", gate="gate").json(), int)
    assert hosts.witnessed("last k") == 1
