"""What all tests share: one Postgres for the session, one database for each test that asks."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

from outlast.host.embedded import EmbeddedPostgres
from outlast.store.connections import Database
from outlast.store.migrations import migrate
from outlast.store.supabase import play_supabase

TEMPLATE = "outlast_template"
SUPABASE_TEMPLATE = "supabase_template"
_numbers = itertools.count(1)

# How fast an example is, or is made, says nothing on a machine that does other things too.
settings.register_profile("outlast", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("outlast")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """The URL of a Postgres shared by all test processes, with a migrated template database."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with EmbeddedPostgres.start(shared / "postgres-of-tests", durable=False) as server:
        # Roles belong to the server. Made first, in one place, they are the same for each test in any order.
        make_template(server.url, SUPABASE_TEMPLATE)
        make_template(server.url, TEMPLATE)
        yield server.url


def make_template(url: str, name: str) -> None:
    """Make a template database once on a server, whichever test process comes first."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext(%s))", (name,))
        made = "select from pg_database where datname = %s and datistemplate"
        if connection.execute(made, (name,)).fetchone() is not None:
            return
        quoted = sql.Identifier(name)
        connection.execute(sql.SQL("drop database if exists {}").format(quoted))
        connection.execute(sql.SQL("create database {}").format(quoted))
        database = Database.at(make_conninfo(url, dbname=name), "tests")
        if name == SUPABASE_TEMPLATE:
            asyncio.run(play_supabase(database))
        asyncio.run(migrate(database))
        connection.execute(sql.SQL("alter database {} with is_template true").format(quoted))


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """The URL of a new empty database."""
    yield from _database(postgres, "template1")


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The URL of a new database with the current schema."""
    yield from _database(postgres, TEMPLATE)


@pytest.fixture
def supabase_database(postgres: str) -> Iterator[str]:
    """The URL of a new database with Supabase's roles and `auth` schema, and the current schema."""
    yield from _database(postgres, SUPABASE_TEMPLATE)


def _database(postgres: str, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        make = sql.SQL("create database {} template {}")
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        yield make_conninfo(postgres, dbname=name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
