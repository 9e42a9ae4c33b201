"""Databases for tests, each a copy of a template on the server that all tests share."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from outlast.store.connections import Database
from outlast.store.migrations import migrate
from outlast.store.supabase import play_supabase

EMPTY = "template1"
TEMPLATE = "outlast_template"
SUPABASE_TEMPLATE = "supabase_template"
_numbers = itertools.count(1)


@contextmanager
def new_database(postgres: str, template: str = TEMPLATE) -> Iterator[str]:
    """The URL of a new database. It is dropped at the end of the block, whoever is still connected.

    Postgres copies the template's files. By default it would write each page of them to its log too, at ten
    times the cost.
    """
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        make = sql.SQL("create database {} template {} strategy file_copy")
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield make_conninfo(postgres, dbname=name)
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def make_templates(postgres: str) -> None:
    """Make the templates once on a server, whichever test process comes first.

    Roles belong to the server. Made first, in one place, they are the same for each test in any order.
    """
    for name in (SUPABASE_TEMPLATE, TEMPLATE):
        _make_template(postgres, name)


def _make_template(postgres: str, name: str) -> None:
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext(%s))", (name,))
        made = "select from pg_database where datname = %s and datistemplate"
        if connection.execute(made, (name,)).fetchone() is not None:
            return
        quoted = sql.Identifier(name)
        connection.execute(sql.SQL("drop database if exists {}").format(quoted))
        connection.execute(sql.SQL("create database {}").format(quoted))
        database = Database.at(make_conninfo(postgres, dbname=name), "tests")
        if name == SUPABASE_TEMPLATE:
            asyncio.run(play_supabase(database))
        asyncio.run(migrate(database))
        connection.execute(sql.SQL("alter database {} with is_template true").format(quoted))
