"""How many connections an instance has, how often it tries to get one, and what it says when it can't."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.crash.conftest import FUNCTIONS, Query, query_on
from tests.crash.door import Door
from tests.hosts import Host, Hosts, ask, until
from tests.pooler import Pooler, program

pytestmark = pytest.mark.slow

MOST = 4
OUTAGE_S = 6.0
TRIES_MAX = 20
"""At first all connections at once, then one attempt a second and soon half as many."""
REFUSED_TRIES_MAX = 4

OURS = """
    select pid from pg_stat_activity
    where datname = current_database() and application_name like 'outlast/%'
"""

needs_pooler = pytest.mark.skipif(program() is None, reason="SKIPPED LOUDLY: there is no pgbouncer here")


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="SKIPPED LOUDLY: there is no IPv6 loopback here")


class Load:
    """Threads that each do one thing to a host, again and again, until the end of the block."""

    def __init__(self, *does: Callable[[], object]) -> None:
        self._enough = threading.Event()
        self._threads = ThreadPoolExecutor(len(does))
        self._doing = [self._threads.submit(self._repeat, each) for each in does]

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for each in self._doing:
            each.result(60)
        self._threads.shutdown()

    def _repeat(self, do: Callable[[], object]) -> None:
        while not self._enough.is_set():
            do()


class Watch:
    """Looks at the server's list of sessions all the time, and keeps the longest of ours."""

    def __init__(self, database: str) -> None:
        self.most: set[int] = set()
        self.looks = 0
        self.ended: set[int] = set()
        """Told by the test to end: the list may show them for a moment after."""
        self._database = database
        self._connection = psycopg.connect(database, autocommit=True)
        self._load = Load(self._look)

    def end_all(self) -> None:
        """End all sessions of instances."""
        with psycopg.connect(self._database, autocommit=True) as connection:
            pids = [pid for (pid,) in connection.execute(OURS)]
            self.ended |= set(pids)
            connection.execute("select pg_terminate_backend(pid) from unnest(%s::int[]) pid", (pids,))

    def close(self) -> None:
        self._load.__exit__()
        self._connection.close()

    def _look(self) -> None:
        seen = {pid for (pid,) in self._connection.execute(OURS)} - self.ended
        self.most = max(self.most, seen, key=len)
        self.looks += 1


def calls(host: Host) -> list[Callable[[], object]]:
    """All that may want a connection."""
    numbers = itertools.count()
    story = [lambda: host.call("story", f"s{next(numbers)}", pause_s=0.01)] * 4
    probes = [lambda: host.asked("/readyz")] * 3
    pages = [lambda: host.manage("GET", ""), lambda: host.manage("GET", "story:s1/steps")]
    return [*story, *probes, *pages]


def until_more(hosts: Hosts) -> None:
    """Wait until more of the load's work has been done."""
    seen = hosts.witnessed("last")
    until(lambda: hosts.witnessed("last") > seen + 10, "work to go on")


@pytest.fixture
def watch(empty_database: str) -> Iterator[Watch]:
    watch = Watch(empty_database)
    yield watch
    watch.close()


def test_an_instance_never_has_more_than_four_connections(
    tmp_path: Path, empty_database: str, watch: Watch
) -> None:
    """From the migration to the end: under load, probes and pages, and when all of them are lost."""
    query_on(empty_database)("create table effects (id bigserial primary key, key text not null)")
    hosts = Hosts(tmp_path, FUNCTIONS, empty_database)
    try:
        host = hosts.start()
        held = [host.begin("paying", f"p{n}", gate="gate") for n in range(6)]
        until(lambda: hosts.witnessed("paying") == MOST - 2, "transactions that hold all that are shared")
        assert [host.asked("/readyz") for _ in range(5)] == [200] * 5, "a probe needs none of its own"
        hosts.open_gate("gate")
        with Load(*calls(host)):
            for _ in range(3):
                until_more(hosts)
                watch.end_all()
            until(lambda: host.asked("/readyz") == 200, "readiness")
        assert len(held) == 6
        host.signal(15)
        assert host.ended() == 0
    finally:
        hosts.close()
    assert watch.looks > 100
    assert MOST - 1 <= len(watch.most) <= MOST


@pytest.fixture
def door(database: str) -> Iterator[Door]:
    door = Door(database)
    yield door
    door.close()


def test_an_outage_is_met_with_patience_and_is_over_when_it_ends(
    hosts: Hosts, door: Door, query: Query
) -> None:
    host = hosts.start(database=door.url, database_wait_s=0.2)
    with Load(*calls(host)):
        until_more(hosts)
        before = door.comers
        door.shut()
        ends = time.monotonic() + OUTAGE_S
        until(lambda: time.monotonic() > ends, "the outage", 2 * OUTAGE_S)
        tries = door.comers - before
        door.reopen()
        until(lambda: host.asked("/readyz") == 200, "the database to be back")
        until_more(hosts)
    assert 3 <= tries <= TRIES_MAX
    assert door.comers - before - tries <= 2 * MOST


def assert_told_once(host: Host, *words: str) -> None:
    said = [line for line in host.said().splitlines() if "remedy" in line]
    assert len(said) == 1, said
    for word in words:
        assert word in said[0]


def ask_for(host: Host, duration_s: float) -> None:
    """Want the database all the time, for so long."""
    until(host.listening, "a sign of life")
    until(lambda: host.asked("/healthz") == 200, "life")
    with Load(lambda: host.asked("/readyz"), lambda: host.manage("GET", "")):
        ends = time.monotonic() + duration_s
        until(lambda: time.monotonic() > ends, "the time", 2 * duration_s)


def test_a_database_that_is_not_there_is_asked_for_seldom(hosts: Hosts, door: Door) -> None:
    host = hosts.launch(database=make_conninfo(door.url, dbname="nosuch"))
    ask_for(host, OUTAGE_S)
    assert 2 <= door.comers <= REFUSED_TRIES_MAX
    assert_told_once(host, 'database "nosuch" does not exist', "SUPABASE_DB_URL")


PASSWORD = 'p@ss:w/o rd%#?&=[é]"'


@pytest.fixture
def guarded(database: str) -> Iterator[tuple[Door, str]]:
    """The way to a database behind a password; its URL without."""
    binary = program()
    assert binary is not None
    pooler = Pooler(binary, database, 3, password=PASSWORD)
    pooler.start()
    door = Door(pooler.url)
    at = conninfo_to_dict(database)
    yield door, f"{at['user']}:{{}}@127.0.0.1:{door.port}/{at['dbname']}"
    door.close()
    pooler.close()


@needs_pooler
def test_a_wrong_password_is_tried_seldom_and_told_once(hosts: Hosts, guarded: tuple[Door, str]) -> None:
    door, place = guarded
    host = hosts.launch(database="postgresql://" + place.format("hunter2"))
    ask_for(host, OUTAGE_S)
    assert 2 <= door.comers <= REFUSED_TRIES_MAX
    assert_told_once(host, "SUPABASE_DB_URL", "password")
    assert "hunter2" not in host.said()


@needs_pooler
def test_a_password_of_special_characters_and_parameters_of_others(
    hosts: Hosts, guarded: tuple[Door, str], query: Query
) -> None:
    _, place = guarded
    url = "postgres://" + place.format(quote(PASSWORD, safe="")) + "?pgbouncer=true&schema=public"
    host = hosts.start(database=url)
    assert host.call("story", "k").status_code == 200
    said = host.said()
    assert "no parameter schema" in said
    assert "pgbouncer" not in said
    assert "connected to the database (transaction pooler)" in said
    assert PASSWORD not in said


def test_a_url_that_cannot_be_read_stops_the_start(hosts: Hosts) -> None:
    host = hosts.launch(database="postgresql://postgres:hunter@2@127.0.0.1/x")
    assert host.ended() == 1
    assert "SUPABASE_DB_URL: set a Postgres URL" in host.said()
    assert "hunter" not in host.said()


def test_a_server_without_encryption_is_refused_where_it_was_asked_for(hosts: Hosts, door: Door) -> None:
    host = hosts.launch(database=make_conninfo(door.url, sslmode="require"))
    until(lambda: "remedy" in host.said(), "the line")
    assert_told_once(host, "does not support SSL", "sslmode=disable")


@needs_ipv6
def test_all_of_it_over_ipv6(hosts: Hosts, database: str, query: Query) -> None:
    door = Door(database, "::1")
    at = conninfo_to_dict(database)
    host = hosts.start("--host", "::", database=f"postgresql://{at['user']}@[::1]:{door.port}/{at['dbname']}")
    assert host.url.startswith("http://[::]:")
    port = host.url.rpartition(":")[2]
    assert ask("GET", f"http://[::1]:{port}/readyz").status_code == 200
    assert host.call("story", "k").status_code == 200
    assert door.comers >= 3
    assert "connected to the database (direct)" in host.said()
    taken = hosts.launch("--host", "::1", "--port", port)
    assert taken.ended() == 1
    assert f"can't listen on [::1]:{port}" in taken.said()
    door.close()
