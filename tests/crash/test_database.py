"""The database goes away: at a commit, or altogether under load. Nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outlast.host.embedded import EmbeddedPostgres
from outlast.store.connections import Database
from outlast.store.migrations import migrate
from tests.crash.conftest import EFFECTS, FUNCTIONS, Query, query_on
from tests.crash.proxy import Lost, Proxy
from tests.embedded.alive import revive
from tests.embedded.hosts import postmaster
from tests.hosts import LIMIT_S, Host, Hosts, until

# What only that statement carries: a parameter of a lone row, behind its length, or COMMIT itself.
STATEMENTS = {
    "start": b"proof/story:",
    "record": b"\0\0\0\5first",
    "commit": b"COMMIT",
    "suspend": b"\0\0\0\7PENDING",
    "last record": b"\0\0\0\4last",
    "finish": b"\0\0\0\7SUCCESS",
}


def call_until_answered(
    host: Host, function: str, key: str, limit_s: float = 40.0
) -> tuple[httpx.Response, int]:
    """Call as a patient client does, the same key again after each 503; the answer, how many 503."""
    deadline = time.monotonic() + limit_s
    for refusals in range(1000):
        answer = host.call(function, key, timeout_s=limit_s)
        if answer.status_code != 503:
            return answer, refusals
        assert answer.json()["code"] == "database_unavailable", answer.text
        assert answer.json()["retryable"]
        assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    raise AssertionError("refused too often")


def story_of(key: str) -> dict[str, object]:
    return {"key": key, "parts": ["a", 7, "c"]}


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    at = conninfo_to_dict(database)
    proxy = Proxy(f"{at['host']}/.s.PGSQL.{at['port']}")
    yield proxy
    proxy.close()


@pytest.fixture
def proxied(hosts: Hosts, database: str, proxy: Proxy) -> Host:
    """A host that reaches the test's database through the proxy."""
    through = make_conninfo(database, host="127.0.0.1", port=proxy.port, sslmode="disable")
    return hosts.start(database=through, lease_ttl_s=1.5, drain_s=2)


@pytest.mark.slow
def test_a_connection_cut_at_any_commit_loses_and_doubles_nothing(
    proxied: Host, proxy: Proxy, hosts: Hosts, query: Query
) -> None:
    cases: list[tuple[str, Lost]] = [(name, lost) for name in STATEMENTS for lost in ("request", "answer")]
    for name, lost in cases:
        key = f"{name.replace(' ', '-')}-{lost}"
        cut = proxy.cut_at(STATEMENTS[name], lost)
        answer, _ = call_until_answered(proxied, "story", key)
        assert cut.done.wait(LIMIT_S), f"{key}: nothing was cut"
        assert (answer.status_code, answer.json()) == (200, story_of(key)), key
        # Its process lives, so that not even an unrecorded step ran twice.
        assert hosts.witnessed(f"first {key}") == hosts.witnessed(f"last {key}") == 1, key
        assert len(query("select * from effects where key = %s", key)) == 1, key
    # A claim whose answer is lost leaves a row that its owner doesn't know, until two beats have shown it.
    cut = proxy.cut_at(b'"key":"claimed"', "answer", by_server=True)
    answer, _ = call_until_answered(proxied, "story", "claimed")
    assert cut.done.is_set()
    assert (answer.status_code, answer.json()) == (200, story_of("claimed"))

    rows = query("select status, recovery_attempts from outlast.workflow_status")
    assert rows == [{"status": "SUCCESS", "recovery_attempts": 0}] * (len(cases) + 1)
    steps = "select workflow_id from outlast.operation_outputs group by 1 having count(*) <> 4"
    assert not query(steps)


def test_a_commit_on_its_way_while_its_instance_is_frozen_keeps_others_away(
    proxied: Host, proxy: Proxy, hosts: Hosts, query: Query
) -> None:
    """The record is written and its row locked: until that transaction ends nobody may take over."""
    hosts.open_gate("gate")
    cut = proxy.cut_at(b"COMMIT", "neither")
    proxied.begin("paying", "k", gate="gate")
    assert cut.done.wait(LIMIT_S)
    other = hosts.start(lease_ttl_s=1.5)
    proxied.signal(signal.SIGSTOP)
    over = "select 1 from outlast.instances where lease_until < clock_timestamp()"
    until(lambda: query(over), "the end of its lease")
    assert other.call("single", "meanwhile").json() == "a"
    until(lambda: "is gone" in other.said(), "a try to recover")
    cut.release.set()
    until(lambda: query("select 1 from outlast.operation_outputs where name = 'pay_slowly'"), "the commit")
    proxied.signal(signal.SIGCONT)
    assert other.call("paying", "k", gate="gate").json() == proxied.pid
    assert hosts.witnessed("paying k") == 1
    assert len(query("select * from effects")) == 1


@pytest.mark.slow
def test_told_to_end_without_a_database_it_ends_in_time(
    proxied: Host, proxy: Proxy, hosts: Hosts, query: Query
) -> None:
    leaving = proxied
    leaving.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    proxy.close()
    until(lambda: "can't be reached" in leaving.said(), "the outage")
    refused = leaving.call("single", "new", timeout_s=LIMIT_S)
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    leaving.signal(signal.SIGTERM)
    assert leaving.ended() == 0
    staying = hosts.start()
    hosts.open_gate("gate")
    assert staying.call("holding", "k", gate="gate").json() == staying.pid
    assert hosts.witnessed("last k") == 1


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, that it may kill."""
    with EmbeddedPostgres.start(tmp_path / "own", durable=True) as server:
        asyncio.run(migrate(Database.at(server.url, "tests")))
        query_on(server.url)(EFFECTS)
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_restart_of_postgres_under_load_loses_and_doubles_nothing(
    tmp_path: Path, own_postgres: EmbeddedPostgres, number: int
) -> None:
    hosts = Hosts(tmp_path, FUNCTIONS, own_postgres.url)
    try:
        pair = [hosts.launch(), hosts.launch()]
        for each in pair:
            each.until_ready()
        keys: list[str] = []
        enough = threading.Event()

        def client(name: int) -> None:
            number = 0
            while not enough.is_set() or number < 3:
                keys.append(key := f"c{name}-{number}")
                answer, _ = call_until_answered(pair[name % 2], "story", key)
                assert (answer.status_code, answer.json()) == (200, story_of(key)), answer.text
                number += 1

        with ThreadPoolExecutor(8) as threads:
            clients = [threads.submit(client, name) for name in range(8)]
            for _ in range(2):
                seen = len(hosts.testimony())
                until(lambda seen=seen: len(hosts.testimony()) > seen + 20, "load")  # type: ignore[misc]
                old = postmaster(tmp_path / "own")
                os.kill(old, number)
                revive(own_postgres)
                until(lambda old=old: postmaster(tmp_path / "own") != old)  # type: ignore[misc]
            enough.set()
            for running in clients:
                running.result(60)

        query = query_on(own_postgres.url)
        status = "select status, count(*) from outlast.workflow_status group by 1"
        assert query(status) == [{"status": "SUCCESS", "count": len(keys)}]
        assert query("select count(*), count(distinct key) as keys from effects") == [
            {"count": len(keys), "keys": len(keys)}
        ]
        for key in keys:
            assert call_until_answered(pair[0], "story", key)[0].json() == story_of(key)
    finally:
        hosts.close()


@pytest.mark.slow
def test_a_restart_under_an_open_transaction_runs_it_again(
    tmp_path: Path, own_postgres: EmbeddedPostgres
) -> None:
    hosts = Hosts(tmp_path, FUNCTIONS, own_postgres.url)
    try:
        host = hosts.start()
        workflow_id = host.begin("blocked", "k", gate="gate")
        until(lambda: hosts.witnessed("blocked k"), "the statement")
        os.kill(postmaster(tmp_path / "own"), signal.SIGINT)
        until(lambda: hosts.witnessed("blocked k") >= 2, "the second run")
        hosts.open_gate("gate")
        ended = host.manage("GET", f"{workflow_id.replace('/', '%2F')}?wait=20").json()
        assert (ended["status"], ended["output"]) == ("SUCCESS", host.pid), ended
        assert len(query_on(own_postgres.url)("select * from effects")) == 1
    finally:
        hosts.close()


@pytest.mark.slow
def test_an_instance_that_died_with_postgres_is_missed_before_its_lease_ends(
    tmp_path: Path, own_postgres: EmbeddedPostgres
) -> None:
    """A project's folder after a crash of the machine: host and server are both started anew."""
    hosts = Hosts(tmp_path, FUNCTIONS, own_postgres.url)
    try:
        lost = hosts.start(lease_ttl_s=120)
        lost.begin("holding", "k", gate="gate")
        until(lambda: hosts.witnessed("hold k"), "the step")
        lost.kill()
        os.kill(postmaster(tmp_path / "own"), signal.SIGINT)
        revive(own_postgres)
        other = hosts.start()
        until(lambda: hosts.witnessed(f"hold k {other.pid}"), "the takeover")
        hosts.open_gate("gate")
        assert other.call("holding", "k", gate="gate").json() == other.pid
    finally:
        hosts.close()
