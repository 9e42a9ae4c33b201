"""`outlast doctor` on servers and machines in a bad state: each is made for real, and its remedy is tried.

One of them can't be made: no Postgres 14 is at hand. There a relay on the wire says that the server is one.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from outlast.host.doctor.findings import Finding
from outlast.host.doctor.of_database import Bounds, look_at_database
from outlast.host.embedded import EmbeddedPostgres
from outlast.host.embedded.binaries import locate
from outlast.host.settings import Settings
from outlast.store.connections import Database
from outlast.store.migrations import migrate
from tests.cli.conftest import Runs
from tests.cli.test_doctor import FUNCTION, SECRET, doctor, ids, one
from tests.faketime import FAKETIME, moved
from tests.hosts import until
from tests.scratch import scratch_folder
from tests.store.relay import relayed

OLD_XID = 1_600_000_000
"""More than the 1,500,000,000 that doctor bears, less than the 2,100,000,000 at which Postgres stops."""
_XIDS_OF_A_FILE = 32 * 8192 * 4
"""Of the transaction log (`pg_xact`): 32 pages of two bits for each transaction."""


class Server:
    """A Postgres of a test's own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running = EmbeddedPostgres.start(home)  # with 100 connections, as users have it
        asyncio.run(migrate(Database.at(self.url, "tests")))

    @property
    def url(self) -> str:
        return self._running.url

    def run(self, *statements: str) -> None:
        """Each in a transaction of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            for each in statements:
                connection.execute(each.encode())

    def grow_old(self) -> None:
        """Let it have seen as many transactions as in years, by the tool that Postgres has for it."""
        self.stop()
        data = self._home / "postgres" / "data"
        owner = data.stat()
        segment = data / "pg_xact" / f"{OLD_XID // _XIDS_OF_A_FILE:04X}"
        segment.write_bytes(bytes(32 * 8192))
        segment.chmod(0o600)
        as_owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            os.chown(segment, owner.st_uid, owner.st_gid)
            as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        command = [str(locate().programs / "pg_resetwal"), "-x", str(OLD_XID), "."]
        subprocess.run(command, check=True, timeout=30, cwd=data, **as_owner)
        self._running = EmbeddedPostgres.start(self._home)

    def stop(self) -> None:
        """End it, in order."""
        self._running.stop()
        until(lambda: not (self._home / "postgres" / "data" / "postmaster.pid").exists(), "the server's end")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all tests here: each leaves it as it should be."""
    with scratch_folder() as folder:
        made = Server(folder / ".outlast")
        yield made
        made.stop()


def test_autovacuum_that_is_off_for_the_whole_server(server: Server) -> None:
    server.run("alter system set autovacuum = off", "select pg_reload_conf()")
    until(lambda: "autovacuum_off_everywhere" in ids(doctor(server.url)), "the finding")
    assert "set autovacuum = on" in one(doctor(server.url), "autovacuum_off_everywhere").remedy
    server.run("alter system set autovacuum = on", "select pg_reload_conf()")
    until(lambda: "autovacuum_off_everywhere" not in ids(doctor(server.url)), "the remedy's effect")


def test_connections_that_are_nearly_all_taken(server: Server) -> None:
    assert "connections_short" not in ids(doctor(server.url))
    with ExitStack() as instances:
        for _ in range(92):
            instances.enter_context(psycopg.connect(server.url))
        found = one(doctor(server.url), "connections_short")
        assert "of the server's 100 connections" in found.what
        assert "run fewer instances" in found.remedy
    until(lambda: "connections_short" not in ids(doctor(server.url)), "fewer connections")


@pytest.mark.slow
def test_a_server_that_comes_near_its_last_transaction(server: Server) -> None:
    assert "wraparound_near" not in ids(doctor(server.url))
    server.run("alter system set autovacuum_freeze_max_age = 2000000000")  # else it would mend itself
    server.grow_old()
    found = one(doctor(server.url), "wraparound_near")
    assert "1,59" in found.what
    server.run(found.sql)
    assert "wraparound_near" not in ids(doctor(server.url))


def test_a_server_that_is_too_old(database: str) -> None:
    """Nothing older than 15 is at hand: a relay says that this one is 14. The remedy is to use another."""

    async def looked(at: str) -> list[Finding]:
        return await look_at_database(Database.at(at, "outlast/tests"), Settings.load(), Bounds())

    async def both() -> tuple[Finding, list[Finding]]:
        async with relayed(database) as relay:
            relay.answered = told_of_another
            old = one(await looked(relay.url), "database_old")
        return old, await looked(database)

    found, of_a_newer = asyncio.run(both())
    assert found.what == "the database is Postgres 14"
    assert "15 or newer" in found.remedy
    assert "database_old" not in ids(of_a_newer)


def told_of_another(said: bytes) -> bytes:
    """What the server says, as one of Postgres 14 would: numbers of the same length."""
    head, found, rest = said.partition(b'"version_num" : ')
    return head + found + b"140010" + rest[6:] if found else said


@pytest.mark.skipif(FAKETIME is None, reason="SKIPPED LOUDLY: libfaketime is missing: tests/torture/setup")
@pytest.mark.slow
def test_clocks_that_are_apart(project: Path, outlast: Runs, database: str) -> None:
    (project / "functions").mkdir()
    (project / "functions" / "hello.py").write_text(FUNCTION)
    here = {"SUPABASE_DB_URL": database, "SUPABASE_SECRET_KEY": SECRET}
    ran = outlast("doctor", "--json", **here, **moved(-30))
    found = {each["id"]: each for each in json.loads(ran.out)["findings"]}
    assert ran.status == 1
    assert found["clock_skew"]["what"].endswith(" s apart")
    assert "by NTP" in found["clock_skew"]["remedy"]
    right = json.loads(outlast("doctor", "--json", **here).out)["findings"]
    assert "clock_skew" not in [each["id"] for each in right]
