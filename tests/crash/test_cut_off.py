"""A live instance whose connections are cut is back before anybody takes it for dead, and keeps its work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from outlast.host.embedded import EmbeddedPostgres
from outlast.store.connections import Database
from outlast.store.migrations import migrate
from tests.crash.conftest import FUNCTIONS, Query, query_on
from tests.crash.proxy import Proxy
from tests.embedded.hosts import postmaster
from tests.hosts import Host, Hosts, until

pytestmark = pytest.mark.slow

SESSION = """
select i.backend_pid from outlast.instances i join pg_stat_activity a on a.pid = i.backend_pid
where i.instance_id = %s
"""
LIVE = """
select a.pid from outlast.instances i
join pg_stat_activity a on a.pid = i.backend_pid and a.backend_start = i.backend_started
"""
SERVER = "select backend_start from pg_stat_activity where backend_type = 'checkpointer'"
TERMINATE_ALL = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s"
CUTS = 30


class Severing(Proxy):
    """A proxy that can cut all connections there are at once."""

    def __init__(self, path: str) -> None:
        self._clients: list[socket.socket] = []
        super().__init__(path)

    def sever(self) -> None:
        """Cut them; new ones are let through."""
        clients, self._clients = self._clients, []
        for each in clients:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _forward(self, client: socket.socket) -> None:
        self._clients.append(client)
        super()._forward(client)


@pytest.fixture
def severing(database: str) -> Iterator[Severing]:
    at = conninfo_to_dict(database)
    proxy = Severing(f"{at['host']}/.s.PGSQL.{at['port']}")
    yield proxy
    proxy.close()


def test_an_instance_that_lost_only_its_connection_keeps_its_work(hosts: Hosts, query: Query) -> None:
    first = hosts.start()
    first.begin("holding", "k", gate="gate")
    until(lambda: hosts.witnessed("hold k"), "the step")
    other = hosts.start()
    (before,) = query(
        "select backend_pid from outlast.instances i join outlast.workflow_status on owner = instance_id"
    )
    query("select pg_terminate_backend(%s)", before["backend_pid"])
    renewed = "select 1 from outlast.instances where backend_pid = %s"
    until(lambda: not query(renewed, before["backend_pid"]), "its return")
    assert other.call("single", "meanwhile").json() == "a"
    hosts.open_gate("gate")
    assert other.call("holding", "k", gate="gate").json() == first.pid
    (row,) = query(
        "select epoch, recovery_attempts from outlast.workflow_status where function = 'proof/holding'"
    )
    assert row == {"epoch": 1, "recovery_attempts": 0}


def _keeps_its_work(
    cut_off: Host, other: Host, hosts: Hosts, query: Query, cut: Callable[[str], object]
) -> None:
    """Cut all its connections each time that it is back, while steps of it are held and `other` looks."""
    for n in range(3):
        cut_off.begin("holding", f"h{n}", gate="gate")
    until(lambda: sum(each.startswith("hold h") for each in hosts.testimony()) == 3, "the steps")
    (instance_id,) = {row["owner"] for row in query("select owner from outlast.workflow_status")}
    until(lambda: query(SESSION, instance_id), "its session")
    for _ in range(CUTS):
        before = query(SESSION, instance_id)
        cut(instance_id)
        until(lambda before=before: query(SESSION, instance_id) not in ([], before), "its return")  # type: ignore[misc]
    assert other.call("single", "meanwhile").json() == "a"
    hosts.open_gate("gate")
    assert [other.call("holding", f"h{n}", gate="gate").json() for n in range(3)] == [cut_off.pid] * 3
    assert [hosts.witnessed(f"{body} h{n}") for body in ("hold", "last") for n in range(3)] == [1] * 6
    lost = "select * from outlast.workflow_status where recovery_attempts <> 0 or epoch <> 1"
    assert not query(lost)


def test_an_instance_whose_sessions_are_ended_again_and_again_keeps_its_work(
    hosts: Hosts, query: Query
) -> None:
    def terminate(instance_id: str) -> None:
        query(TERMINATE_ALL, f"outlast/{instance_id}"[:63])

    _keeps_its_work(hosts.start(), hosts.start(), hosts, query, terminate)


def test_an_instance_whose_connections_are_cut_again_and_again_keeps_its_work(
    hosts: Hosts, query: Query, database: str, severing: Severing
) -> None:
    through = make_conninfo(database, host="127.0.0.1", port=severing.port, sslmode="disable")
    cut_off = hosts.start(database=through)
    _keeps_its_work(cut_off, hosts.start(), hosts, query, lambda _: severing.sever())


def _seen(query: Query, text: str) -> list[dict[str, Any]]:
    """What a query gives; nothing while there is no server."""
    try:
        return query(text)
    except psycopg.OperationalError:
        return []


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, that it may kill."""
    with EmbeddedPostgres.start(tmp_path / "own", durable=True) as server:
        asyncio.run(migrate(Database.at(server.url, "tests")))
        yield server


@pytest.mark.parametrize("killed", ["server", "backend"])
def test_an_outage_of_postgres_takes_nobodys_work(
    tmp_path: Path, own_postgres: EmbeddedPostgres, killed: str
) -> None:
    """All sessions end at once. Whoever is back first must wait for the others, which retry at their pace.

    A killed backend takes all others with it: the server starts them anew, itself it goes on.
    """
    query = query_on(own_postgres.url)
    hosts = Hosts(tmp_path, FUNCTIONS, own_postgres.url)
    try:
        pair = [hosts.launch(lease_ttl_s=60) for _ in range(4)]
        for each in pair:
            each.until_ready().begin("holding", f"k{each.pid}", gate="gate")
        until(lambda: sum(each.startswith("hold k") for each in hosts.testimony()) == len(pair), "the steps")
        until(lambda: len(query(LIVE)) == len(pair), "all of them")
        for _ in range(3):
            began, sessions = query(SERVER), query(LIVE)
            os.kill(
                postmaster(tmp_path / "own") if killed == "server" else sessions[0]["pid"], signal.SIGKILL
            )
            until(lambda began=began: _seen(query, SERVER) not in ([], began), "the server")  # type: ignore[misc]
            until(lambda: len(_seen(query, LIVE)) == len(pair), "their return")
        hosts.open_gate("gate")
        assert [each.call("holding", f"k{each.pid}", gate="gate").json() for each in pair] == [
            each.pid for each in pair
        ]
        assert not query("select * from outlast.workflow_status where recovery_attempts <> 0 or epoch <> 1")
    finally:
        hosts.close()
