"""The data that `outlast doctor` reads from the database. It isn't judged here."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from psycopg.errors import InsufficientPrivilege, QueryCanceled, UndefinedColumn, UndefinedTable
from psycopg.sql import Identifier

from outlast.core.clock import Clock
from outlast.store.connections import Database, as_unreachable
from outlast.store.migrations import migrations, pending_over, unknown_over
from outlast.store.queries import load

_SQL = load("doctor.sql")
_MADE = re.compile(r"^create (?:unique )?index if not exists (\w+) on .*?;$", re.MULTILINE | re.DOTALL)
_DROPPED = re.compile(r"^drop index if exists outlast\.(\w+);$", re.MULTILINE)


@dataclass(slots=True)
class Examined:
    """The documents of doctor.sql by name, and which parts of the schema are missing or unknown."""

    skew_s: float
    """How far the database's clock is ahead of this machine's, as exactly as the network latency allows."""
    server: dict[str, Any]
    pending: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    expected_indexes: dict[str, str] = field(default_factory=dict)
    """The indexes by name, each with the statement that creates it."""
    tables: dict[str, Any] = field(default_factory=dict)
    work: dict[str, Any] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    aside: list[dict[str, Any]] = field(default_factory=list)
    """Supabase Queues in which messages were refused: how many are hidden, and the noted message."""


async def examine(database: Database) -> Examined:
    """Read it all. If the schema isn't up to date, only that is read. Raises Unreachable."""
    connection = await database.connect(statement_timeout_s=30)
    async with as_unreachable(), connection:

        async def found(name: str) -> dict[str, Any]:
            cursor = await connection.execute(_SQL[name])
            row = await cursor.fetchone()
            assert row is not None
            document: dict[str, Any] = row[0]
            return document

        before = Clock().now_s()
        server = await found("server")
        between = (before + Clock().now_s()) / 2
        examined = Examined(server["now_s"] - between, server)
        if server["hidden"]:
            examined.tables = await found("tables")
            return examined  # row-level security would hide everything else
        examined.pending = [each.path.name for each in await pending_over(connection)]
        examined.unknown = await unknown_over(connection)
        if examined.pending:
            return examined
        examined.expected_indexes = expected_indexes()
        examined.tables = await found("tables")
        if any(each["lacking"] for each in examined.tables["tables"]):
            return examined  # the rest can't be read
        examined.work = await found("work")
        examined.plans = await found("plans")
        for noted in examined.plans["aside"]:
            query = _SQL["aside"].format(table=Identifier("pgmq", f"q_{noted['queue']}".lower()))
            # The queue may be gone, or this role may not read it. The instances report that themselves.
            with suppress(InsufficientPrivilege, QueryCanceled, UndefinedColumn, UndefinedTable):
                row = await (await connection.execute(query, noted)).fetchone()
                assert row is not None
                examined.aside.append({**noted, **row[0]})
        return examined


def expected_indexes() -> dict[str, str]:
    """The indexes of Outlast's migrations by name, each with the statement that creates it."""
    made: dict[str, str] = {}
    for migration in migrations():
        text = migration.text()
        for each in _MADE.finditer(text):
            made[each[1]] = " ".join(each[0].split())
        for each in _DROPPED.finditer(text):
            made.pop(each[1], None)
    return made
