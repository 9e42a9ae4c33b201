"""The databases that are measured on: one durable Postgres of the harness's own, one database a contender."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from outlast.host.embedded import EmbeddedPostgres
from outlast.host.embedded.binaries import locate
from outlast.store.connections import Database
from outlast.store.migrations import migrate


class Postgres:
    """A running server: the embedded one's binaries and settings, fsync on."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._made = 0

    @classmethod
    @contextlib.contextmanager
    def running(cls, home: Path) -> Iterator[Postgres]:
        """Start it on an empty folder; stop it and remove its data at the end."""
        shutil.rmtree(home, ignore_errors=True)
        with EmbeddedPostgres.start(home, durable=True) as server:
            yield cls(server.url)
        shutil.rmtree(home, ignore_errors=True)

    def empty(self, label: str) -> str:
        """The URL of a new empty database."""
        self._made += 1
        name = f"{label}_{self._made}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return make_conninfo(self.url, dbname=name)

    def migrated(self, label: str) -> str:
        """The URL of a new database with Outlast's tables."""
        url = self.empty(label)
        asyncio.run(migrate(Database.at(url, "benchmarks")))
        return url

    def version(self) -> str:
        """As the server says it."""
        return str(value(self.url, "show server_version"))

    def settings(self) -> dict[str, str]:
        """The settings that decide what a commit costs."""
        names = [
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "shared_buffers",
            "max_wal_size",
            "wal_level",
        ]
        rows = select(self.url, "select name, current_setting(name) from unnest(%s::text[]) as name", names)
        return {str(name): str(setting) for name, setting in rows}

    def pids(self) -> list[int]:
        """Its processes that are backends of somebody."""
        return [
            pid
            for (pid,) in select(self.url, "select pid from pg_stat_activity where pid <> pg_backend_pid()")
        ]


def select(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query over a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode(), parameters or None).fetchall()


def value(url: str, query: str, *parameters: Any) -> Any:
    """The one value of a query."""
    return select(url, query, *parameters)[0][0]


def run(url: str, statement: str, *parameters: Any) -> int:
    """Run a statement; the number of rows it touched."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement.encode(), parameters or None).rowcount


def program(name: str) -> str:
    """The path of one of Postgres's own programs."""
    return str(locate().programs / name)
