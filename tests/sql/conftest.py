"""Hosts, and a server with pg_cron, for tests of what SQL sets going."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from outlast.store.connections import Database
from outlast.store.migrations import migrate
from outlast.store.supabase import play_supabase
from tests.cron import NET, CronServer, programs
from tests.hosts import Hosts

FUNCTIONS = Path(__file__).parent / "functions"


@pytest.fixture
def hosts(tmp_path: Path, supabase_database: str) -> Iterator[Hosts]:
    """Hosts on a database like Supabase's."""
    _make_tables(supabase_database)
    hosts = Hosts(tmp_path, FUNCTIONS, supabase_database)
    yield hosts
    hosts.close()


@pytest.fixture
def cron() -> Iterator[CronServer]:
    """A database with pg_cron, a stand-in for pg_net, Supabase's roles, and the current schema."""
    found = programs()
    if found is None:
        pytest.skip("pg_cron is not installed (Debian: postgresql-15-cron)")
    server = CronServer(found)
    try:
        server.start()
        server.rows("create extension pg_cron")
        server.rows(NET)
        database = Database.at(server.url, "tests")
        asyncio.run(play_supabase(database))
        asyncio.run(migrate(database))
        yield server
    finally:
        server.close()


@pytest.fixture
def cron_hosts(tmp_path: Path, cron: CronServer) -> Iterator[Hosts]:
    """Hosts on the database with pg_cron."""
    _make_tables(cron.url)
    hosts = Hosts(tmp_path, FUNCTIONS, cron.url)
    yield hosts
    hosts.close()


def _make_tables(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table notes (text text, workflow_id text)")
