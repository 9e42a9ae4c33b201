"""Databases for tests, each a copy of a template on the server that all tests share."""

from __future__ import annotations

import asyncio
import itertools
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from outlast.store.connections import Database
from outlast.store.migrations import migrate, migrations
from outlast.store.supabase import play_supabase
from tests.looks import keeping_looks

EMPTY = "template1"
_schema = zlib.crc32(b"".join(each.path.read_bytes() for each in migrations()))
TEMPLATE = f"outlast_template_{_schema:08x}"
"""Of these very migrations: on a server that runs of other ones use too (tests/mutants), each has its own."""

SUPABASE_TEMPLATE = f"supabase_template_{_schema:08x}"
_numbers = itertools.count(1)
_administrators: dict[str, psycopg.Connection[Any]] = {}


@contextmanager
def new_database(postgres: str, template: str = TEMPLATE) -> Iterator[str]:
    """The URL of a new database. It is dropped at the end of the block, whoever is still connected.

    Postgres copies the template's files. By default it would write each page of them to its log too, at ten
    times the cost.
    """
    name = f"test_{os.getpid()}_{next(_numbers)}"
    make = sql.SQL("create database {} template {} strategy file_copy")
    drop = sql.SQL("drop database {} with (force)")
    with _to_administer(postgres) as connection:
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        url = make_conninfo(postgres, dbname=name)
        try:
            with keeping_looks(url):
                yield url
        finally:
            connection.execute(drop.format(sql.Identifier(name)))


@contextmanager
def administering(postgres: str) -> Iterator[None]:
    """All databases of this server are made and dropped over one connection until the end of the block."""
    with _connection(postgres) as connection:
        _administrators[postgres] = connection
        try:
            yield
        finally:
            del _administrators[postgres]


@contextmanager
def neighbour(postgres: str) -> Iterator[None]:
    """A session in another database of this server, as other tests have: in a transaction, with a lock.

    Postgres shows sessions and locks of all databases. A test that counts them and doesn't ask for its own
    database's always fails here, and not just when another test happens to hold one.
    """
    with psycopg.connect(postgres, application_name="outlast/neighbour") as connection:
        connection.execute("select pg_advisory_xact_lock_shared(4711)")
        yield
        connection.rollback()


@contextmanager
def _to_administer(postgres: str) -> Iterator[psycopg.Connection[Any]]:
    kept = _administrators.get(postgres)
    if kept is not None:
        yield kept
        return
    with _connection(postgres) as connection:
        yield connection


def _connection(postgres: str) -> psycopg.Connection[Any]:
    return psycopg.connect(postgres, autocommit=True)


def make_templates(postgres: str) -> None:
    """Make the templates that most tests use.

    Roles belong to the server. Made first, in one place, they are the same for each test in any order.
    """
    make_template(postgres, SUPABASE_TEMPLATE, _like_supabase)
    make_template(postgres, TEMPLATE, _migrated)


def make_template(postgres: str, name: str, prepare: Callable[[str], None], template: str = EMPTY) -> None:
    """Make a template once on a server, whichever test process comes first. `prepare` gets its URL."""
    with _connection(postgres) as connection:
        connection.execute("select pg_advisory_lock(hashtext(%s))", (name,))
        made = "select from pg_database where datname = %s and datistemplate"
        if connection.execute(made, (name,)).fetchone() is not None:
            return
        quoted = sql.Identifier(name)
        connection.execute(sql.SQL("drop database if exists {}").format(quoted))
        create = sql.SQL("create database {} template {} strategy file_copy")
        connection.execute(create.format(quoted, sql.Identifier(template)))
        prepare(make_conninfo(postgres, dbname=name))
        connection.execute(sql.SQL("alter database {} with is_template true").format(quoted))


def _migrated(url: str) -> None:
    asyncio.run(migrate(Database.at(url, "tests")))


def _like_supabase(url: str) -> None:
    asyncio.run(play_supabase(Database.at(url, "tests")))
    _migrated(url)
