"""What all tests share: one Postgres for the session, one database for each test that asks."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from outlast.host.embedded import EmbeddedPostgres
from outlast.store.connections import Database
from outlast.store.migrations import migrate

TEMPLATE = "outlast_template"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """The URL of a Postgres shared by all test processes, with a migrated template database."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with EmbeddedPostgres.start(shared / "postgres-of-tests", durable=False) as server:
        with (shared / "template.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _make_template(server.url, shared)
        yield server.url


def _make_template(url: str, shared: Path) -> None:
    made = shared / "template.made"
    if made.exists():
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(TEMPLATE)))
    asyncio.run(migrate(Database.at(make_conninfo(url, dbname=TEMPLATE), "tests")))
    made.touch()


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """The URL of a new empty database."""
    yield from _database(postgres, "template1")


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The URL of a new database with the current schema."""
    yield from _database(postgres, TEMPLATE)


def _database(postgres: str, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        make = sql.SQL("create database {} template {}")
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        yield make_conninfo(postgres, dbname=name)
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
