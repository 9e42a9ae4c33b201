"""`outlast serve` as everybody starts it: one worker, and a parent that outlives what functions do to it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import make_conninfo

from tests.crash.conftest import Query
from tests.crash.test_stopping import block, pending
from tests.crash.test_workers import family_of, runs, start_on
from tests.embedded.hosts import postmaster
from tests.hostile.conftest import FUNCTIONS as HOSTILE
from tests.hosts import SECRET, Host, Hosts, ask, until

pytestmark = pytest.mark.slow

ONE = ("--workers", "1")


def end_by(host: Host, how: str) -> None:
    """Have a handler end its process. The caller's connection ends with it."""
    with pytest.raises(httpx.TransportError):
        ask(
            "GET", f"{host.url}/functions/v1/ending/handling", params={"how": how}, timeout=20,
            headers={"apikey": SECRET},
        )  # fmt: skip


def calm(host: Host, n: int) -> int:
    """The answer of a function that does no harm."""
    answer: int = host.post("calm", f"calm-{n}", {"n": n}).json()
    return answer


def test_what_a_function_ends_is_not_the_service(tmp_path: Path, database: str) -> None:
    """Whoever calls meanwhile waits for the next worker: the port is the parent's."""
    hosts = Hosts(tmp_path, HOSTILE, database)
    try:
        host = hosts.start(*ONE, import_s_max=0.3)
        for n, (how, told) in enumerate((("exit", "3 (status 3)"), ("kill", "-9 (SIGKILL)"))):
            before = host.worker_pid()
            assert before != host.pid
            end_by(host, how)
            assert calm(host, n) == 2 * n
            assert f"worker {before} ended with {told}; starting another" in host.said()
        assert "a function ends the process by os._exit(3), at functions/ending.py:" in host.said()
        host.signal(signal.SIGTERM)
        assert host.ended() == 0
    finally:
        hosts.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_end(hosts: Hosts, query: Query, number: signal.Signals) -> None:
    host = hosts.start(*ONE)
    host.begin("paying", "k", gate="gate")
    until(lambda: hosts.witnessed("paying k"), "the transaction")
    family = family_of(host.pid)
    host.signal(number)
    hosts.open_gate("gate")
    assert host.ended() == 0
    assert not [each for each in family if runs(each)]
    (row,) = query("select status, recovery_attempts from outlast.workflow_status")
    assert (row["status"], row["recovery_attempts"]) == ("SUCCESS", 0)


def test_ctrl_c_reaches_parent_and_worker_and_counts_once(hosts: Hosts, query: Query) -> None:
    host = hosts.start(*ONE)
    host.begin("paying", "k", gate="gate")
    until(lambda: hosts.witnessed("paying k"), "the transaction")
    os.killpg(host.pid, signal.SIGINT)
    hosts.open_gate("gate")
    assert host.ended() == 0
    assert query("select status from outlast.workflow_status") == [{"status": "SUCCESS"}]


def test_the_second_signal_ends_a_blocked_worker(tmp_path: Path, database: str) -> None:
    hosts = Hosts(tmp_path, HOSTILE, database)
    try:
        host = hosts.start(*ONE, import_s_max=0.3, lease_ttl_s=1)
        block(host, "sleeps_until_freed", {})
        host.signal(signal.SIGTERM)
        until(lambda: not pending(host.pid, signal.SIGTERM), "the first signal to be taken")
        assert "is killed" not in host.said(), "one alone may be blocked for as long as it likes"
        host.signal(signal.SIGTERM)
        assert host.ended() == 128 + signal.SIGTERM
        assert host.said().count("SIGTERM for the second time") == 1
    finally:
        hosts.close()


def test_a_killed_parent_takes_its_worker_along_and_frees_the_port(hosts: Hosts) -> None:
    host = hosts.start(*ONE, drain_s=60)
    host.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    worker = host.worker_pid()
    host.signal(signal.SIGKILL)
    assert host.ended() == -signal.SIGKILL
    new = until(lambda: start_on(hosts, host.url.rpartition(":")[2]), "the port")
    hosts.open_gate("gate")
    until(lambda: not runs(worker), "the end of the old worker")
    assert isinstance(new.call("holding", "k", gate="gate").json(), int)
    assert hosts.witnessed("last k") == 1


def test_the_embedded_database_outlives_a_worker(tmp_path: Path) -> None:
    hosts = Hosts(tmp_path, HOSTILE)
    try:
        host = hosts.start(*ONE, "--reload", import_s_max=0.3)
        assert calm(host, 1) == 2
        server = postmaster(tmp_path / ".outlast")
        end_by(host, "exit")
        assert host.post("calm", "calm-1", {"n": 1}).headers["idempotency-replayed"] == "true"
        assert postmaster(tmp_path / ".outlast") == server
        host.signal(signal.SIGTERM)
        assert host.ended() == 0
        log = tmp_path / ".outlast" / "postgres" / "server.log"
        until(lambda: "database system is shut down" in log.read_text(), "the end of Postgres")
    finally:
        hosts.close()


def test_a_refused_start_ends_it_in_one_line(hosts: Hosts, database: str, query: Query) -> None:
    """No worker would fare better, and whoever started it must see that it failed."""
    role = f"guest_{os.getpid()}"
    query(f"drop schema outlast cascade; create role {role} login")
    try:
        host = hosts.launch(*ONE, database=make_conninfo(database, user=role))
        assert host.ended() == 1
        assert host.said().count("error: ") == 1, host.said()
        assert "Traceback" not in host.said()
        assert "os._exit" not in host.said(), "no function did"
    finally:
        query(f"drop role {role}")
