"""Runs a test's transactions on a real Postgres; everything else stays in memory.

Both commit as one: a process is killed only at points, and there is none between the COMMIT's answer and the
record. Each world has its own database, made from one template with the project's migrations.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from outlast.core.ports import Fence, TransactionWork
from outlast.core.records import StepRecord
from outlast.host.embedded import EmbeddedPostgres
from outlast.store.connections import AsyncConn, Database, as_unreachable
from outlast.store.migrations import migrate
from outlast.store.pool import Pool
from outlast.store.project import apply_project
from outlast.store.supabase import play_supabase
from outlast.store.transactions import PostgresTransactions, _BodyFailed, _check_open
from outlast.testing.rows import Record
from outlast.testing.statements.journal import JournalStatements
from outlast.testing.worlds import World

TEMPLATE = "outlast_test_template"
CONNECTIONS = 5
_numbers = itertools.count(1)


@contextmanager
def server(folder: Path, project: Path) -> Iterator[str]:
    """The URL of a Postgres that all test processes of `folder` share; `project`: its `supabase/`."""
    with EmbeddedPostgres.start(folder / "postgres-of-outlast-tests", durable=False) as started:
        _make_template(started.url, project)
        yield started.url


def _make_template(url: str, project: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext(%s))", (TEMPLATE,))
        made = "select from pg_database where datname = %s and datistemplate"
        if connection.execute(made, (TEMPLATE,)).fetchone() is not None:
            return
        name = sql.Identifier(TEMPLATE)
        connection.execute(sql.SQL("drop database if exists {}").format(name))
        connection.execute(sql.SQL("create database {}").format(name))
        asyncio.run(_fill(Database.at(make_conninfo(url, dbname=TEMPLATE), "outlast tests"), project))
        connection.execute(sql.SQL("alter database {} with is_template true").format(name))


async def _fill(database: Database, project: Path) -> None:
    await play_supabase(database)
    await migrate(database)
    await apply_project(database, project)


class Databases:
    """The databases of one test: one for each world, dropped at its end."""

    def __init__(self, url: str) -> None:
        self._server = url
        self._made: list[str] = []

    def make(self) -> None:
        """Make another database, which is the current one from now on."""
        name = f"outlast_test_{os.getpid()}_{next(_numbers)}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            made = sql.SQL("create database {} template {}")
            connection.execute(made.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        self._made.append(name)

    @property
    def current(self) -> str:
        """The URL of the current database."""
        return make_conninfo(self._server, dbname=self._made[-1])

    def execute(self, statement: str, parameters: Any) -> list[dict[str, Any]]:
        """Run a statement on the current database, commit, and return its rows, if any."""
        with psycopg.connect(self.current, row_factory=dict_row) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def connect(self, world: World, instance_id: str) -> SharedTransactions:
        """The store of transactions of a process."""
        return SharedTransactions(world, instance_id, self.current)

    def drop(self, keep: int = 0) -> None:
        """Drop all but the first `keep`."""
        left, self._made = self._made[keep:], self._made[:keep]
        with psycopg.connect(self._server, autocommit=True) as connection:
            for name in left:
                connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


class _OpenPool(Pool):
    """A pool that knows its connections, so that they can be closed when the process is killed."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, CONNECTIONS)
        self.made: list[AsyncConn] = []

    async def _connect(self, ends: float, *, once: bool) -> AsyncConn:
        connection = await super()._connect(ends, once=once)
        self.made.append(connection)
        return connection


class SharedTransactions(PostgresTransactions):
    """See TransactionStore: effects in Postgres, records in memory."""

    def __init__(self, world: World, instance_id: str, url: str) -> None:
        self._connections = _OpenPool(Database.at(url, "outlast tests"))
        super().__init__(self._connections, instance_id)
        self._world = world

    async def transact(self, work: TransactionWork, fence: Fence | None) -> StepRecord | None:
        try:
            async with as_unreachable(), self._pool.connection() as connection:
                record = await self._attempt(connection, work, fence)
        except _BodyFailed as failed:
            raise failed.error from failed.error.__cause__
        if fence is None:
            return record
        if record is None:
            return JournalStatements(self._world.database, self._instance_id).recorded_step(fence)
        await self._committed(record, fence)
        return record

    async def _attempt(
        self, connection: AsyncConn, work: TransactionWork, fence: Fence | None
    ) -> StepRecord | None:
        record = await super()._attempt(connection, work, fence)
        if record is not None and fence is not None:
            world, key = self._world, (fence.workflow_id, fence.step_id)
            world.database.records[key] = Record(record, fence.nonce, world.database.now())
            world.seen.commits[key] += 1
            world.points.changed()
        return record

    async def _insert(self, connection: AsyncConn, record: StepRecord, fence: Fence, mark: str) -> bool:
        await _check_open(connection, mark)
        row = self._world.database.workflows.get(fence.workflow_id)
        if row is None or row.epoch != fence.epoch or row.owner != self._instance_id:
            return False
        if (fence.workflow_id, fence.step_id) in self._world.database.records:
            return False
        if self._world.points.reach(
            lambda: f"before the COMMIT of transaction {record.name} ({fence.step_id})"
        ):
            await self._world.points.here()
        return True

    async def _committed(self, record: StepRecord, fence: Fence) -> None:
        points = self._world.points
        if points.reach(lambda: f"after the COMMIT of transaction {record.name} ({fence.step_id})"):
            await points.here()

    def lose(self) -> None:
        """Close the connections of a process that is gone."""
        for connection in self._connections.made:
            connection.pgconn.finish()
