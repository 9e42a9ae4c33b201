"""Two hosts whose only way to the database is a PgBouncer in transaction mode: no session is anybody's own.

The hosts find that out by themselves: they are told nothing, and its port is none of Supabase's.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from outlast.store.connections import Database
from tests.cli.test_check import run
from tests.crash.conftest import EFFECTS, FUNCTIONS, Query, query_on
from tests.crash.test_database import call_until_answered, story_of
from tests.engine.test_leftovers import FOUND
from tests.hosts import SECRET, Host, Hosts, ask, until
from tests.pooler import Pooler, program

BINARY = program()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BINARY is None, reason="SKIPPED LOUDLY: there is no pgbouncer here"),
]

POOL = 6
SETTINGS: dict[str, Any] = {"lease_ttl_s": 1.5}
CLIENTS = 8


@pytest.fixture
def pooler(empty_database: str) -> Iterator[Pooler]:
    assert BINARY is not None
    pooler = Pooler(BINARY, empty_database, POOL)
    pooler.start()
    yield pooler
    print(f"--- pooler\n{pooler.said()}")  # noqa: T201 - captured: pytest shows it of a test that failed
    pooler.close()


@pytest.fixture
def query(empty_database: str) -> Query:
    """Past the pooler."""
    query = query_on(empty_database)
    query(EFFECTS)
    return query


@pytest.fixture
def hosts(tmp_path: Path, pooler: Pooler) -> Iterator[Hosts]:
    """Hosts that know no way but the pooler, not even to migrate."""
    hosts = Hosts(tmp_path, FUNCTIONS, pooler.url)
    yield hosts
    hosts.close()


def pair_of(hosts: Hosts) -> list[Host]:
    """Two hosts that find an empty database at the same time."""
    pair = [hosts.launch(**SETTINGS), hosts.launch(**SETTINGS)]
    return [each.until_ready() for each in pair]


class Load:
    """Patient clients that call one workflow after the other until they are told to stop."""

    def __init__(self, pair: list[Host]) -> None:
        self.keys: list[str] = []
        self._pair = pair
        self._enough = threading.Event()
        self._threads = ThreadPoolExecutor(CLIENTS)
        self._clients = [self._threads.submit(self._client, name) for name in range(CLIENTS)]

    def stop(self) -> None:
        """Wait for the last answers. Raises what a client met."""
        self._enough.set()
        for each in self._clients:
            each.result(60)
        self._threads.shutdown()

    def _client(self, name: int) -> None:
        number = 0
        while not self._enough.is_set():
            self.keys.append(key := f"c{name}-{number}")
            answer, _ = call_until_answered(self._pair[name % 2], "story", key)
            assert (answer.status_code, answer.json()) == (200, story_of(key)), answer.text
            number += 1


def assert_each_once(load: Load, hosts: Hosts, query: Query) -> None:
    """Nothing was lost, nothing done twice: no process ended, so not even an unrecorded step ran again."""
    status = "select status, recovery_attempts, count(*) from outlast.workflow_status group by 1, 2"
    assert query(status) == [{"status": "SUCCESS", "recovery_attempts": 0, "count": len(load.keys)}]
    paid = Counter(row["key"] for row in query("select key from effects"))
    assert paid == dict.fromkeys(load.keys, 1)
    steps = "select workflow_id from outlast.operation_outputs group by 1 having count(*) <> 4"
    assert not query(steps)
    seen = Counter(tuple(each.split()[:2]) for each in hosts.testimony())
    for key in load.keys:
        assert (seen["first", key], seen["last", key]) == (1, 1), key


def assert_no_session_was_missed(pair: list[Host], pooler: Pooler) -> None:
    """Nobody relied on a statement that was prepared, or a setting that was made, in another's session."""
    for said in [*(each.said() for each in pair), pooler.said()]:
        for symptom in (
            "prepared statement",
            "does not exist",
            "unsupported startup parameter",
            "already exists",
        ):
            assert symptom not in said


def test_a_restart_of_the_pooler_under_load_loses_and_doubles_nothing(
    hosts: Hosts, pooler: Pooler, query: Query
) -> None:
    pair = pair_of(hosts)
    load = Load(pair)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        seen = len(load.keys)
        until(lambda seen=seen: len(load.keys) > seen + 3 * CLIENTS, "load")  # type: ignore[misc]
        pooler.end(number)
        pooler.start()
    seen = len(load.keys)
    until(lambda: len(load.keys) > seen + 3 * CLIENTS, "load")
    load.stop()
    assert_each_once(load, hosts, query)
    assert_no_session_was_missed(pair, pooler)


def test_what_a_killed_instance_leaves_goes_on_when_its_lease_is_over(
    hosts: Hosts, pooler: Pooler, query: Query
) -> None:
    lost, other = pair_of(hosts)
    keys = [f"h{n}" for n in range(20)]
    ids = [lost.begin("holding", key, gate="gate") for key in keys]
    until(lambda: all(hosts.witnessed(f"hold {key}") for key in keys), "the steps")
    (owner,) = {row["owner"] for row in query("select owner from outlast.workflow_status")}
    lost.kill()
    taken = "select count(*) from outlast.workflow_status where workflow_id = any(%s) and owner <> %s"
    until(lambda: query(taken, ids, owner)[0]["count"] == len(ids), "the takeover")
    early = """
        select from outlast.workflow_status w join outlast.instances i on i.instance_id = %s
        where w.workflow_id = any(%s) and (w.updated_at < i.lease_until or w.recovery_attempts <> 1)
    """
    assert not query(early, owner, ids)
    hosts.open_gate("gate")
    assert [other.call("holding", key, gate="gate").json() for key in keys] == [other.pid] * len(keys)
    assert {hosts.witnessed(f"last {key}") for key in keys} == {1}
    assert_no_session_was_missed([lost, other], pooler)


def test_messages_need_no_session(hosts: Hosts, pooler: Pooler, query: Query) -> None:
    pair = pair_of(hosts)
    heard = "select count(*) from outlast.operation_outputs where kind = 'receive' and completion_order > 0"
    suspended = "select 1 from outlast.workflow_status where awaits is not null and claimable_at > now()"
    workflow_id = pair[0].begin("hearing", "k", count=3)
    for number in range(3):
        until(lambda: query(suspended), "the suspension")
        url = f"{pair[number % 2].url}/workflows/v1/{workflow_id}/messages/news"
        if number == 1:
            query("select outlast.send(%s, '1', 'news')", workflow_id)
        else:
            answer = ask("POST", url, json=number, headers={"apikey": SECRET})
            assert (answer.status_code, set(answer.json())) == (202, {"workflow_id", "message_id"})
        until(lambda number=number: query(heard)[0]["count"] == number + 1, "the record")  # type: ignore[misc]
    assert pair[1].manage("GET", f"{workflow_id}?wait=20").json()["output"] == [0, 1, 2]
    assert_no_session_was_missed(pair, pooler)


def test_no_setting_stays_in_the_sessions_that_all_share(
    hosts: Hosts, pooler: Pooler, query: Query, empty_database: str
) -> None:
    load = Load(pair_of(hosts))
    until(lambda: len(load.keys) > 5 * CLIENTS, "load")
    names = ["jit", "statement_timeout", "idle_in_transaction_session_timeout", "enable_seqscan"]
    settings = "select name, setting from pg_settings where name = any(%s) order by 1"
    expected = query(settings, names)

    async def look() -> None:
        """Hold all its sessions at once, each by a transaction, after others worked over them."""
        database = Database.at(pooler.url, "tests", sessions=False)
        sessions = set()
        async with asyncio.timeout(30), AsyncExitStack() as held:
            for _ in range(POOL):
                connection = await held.enter_async_context(await database.connect())
                await held.enter_async_context(connection.transaction())
                pid = await (await connection.execute("select pg_backend_pid()")).fetchone()
                cursor = await connection.execute(settings.encode(), (names,))
                assert [
                    {"name": name, "setting": setting} for name, setting in await cursor.fetchall()
                ] == expected
                sessions.add(pid)
        assert len(sessions) == POOL

    asyncio.run(look())
    load.stop()
    assert_each_once(load, hosts, query)


COMMANDS = {
    "db migrate": 0,
    "db status": 0,
    "db prune": 0,
    "doctor": 1,  # it has no functions
    "workflows export": 0,
    "check --replay": 2,  # of nothing
}


def test_no_command_leaves_anything_in_a_session_of_a_pooler(empty_database: str, tmp_path: Path) -> None:
    """A pooler's session is a stranger's the moment after: this one has one for all."""
    pooler = Pooler(BINARY or "", empty_database, 1)
    pooler.start()
    try:
        query = query_on(make_conninfo(pooler.url, application_name="stranger"))
        before = query(FOUND)
        for command, status in COMMANDS.items():
            ran = run(tmp_path, pooler.url, *command.split())
            assert ran.returncode == status, ran
            assert query(FOUND) == before, (command, ran)
    finally:
        pooler.close()
