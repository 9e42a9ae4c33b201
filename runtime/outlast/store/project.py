"""Applies the project's own `supabase/migrations` and `seed.sql` to its embedded database, each once.

On other databases the Supabase CLI does this. Both use the same tables to note what was applied.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import psycopg
from psycopg.sql import SQL

from outlast.core.errors import OutlastError
from outlast.store.connections import AsyncConn, Database, as_unreachable
from outlast.store.migrations import Migration, lock_migrations, migrations, migrations_in
from outlast.store.queries import load

_SQL = load("project.sql")


class ProjectRefused(OutlastError):
    """One of the project's files failed. The message names the file, the cause and the remedy."""

    code = "project_refused"


async def apply_project(database: Database, folder: Path) -> list[str]:
    """Apply the files of `folder` (a project's `supabase/`) that are missing. Returns their names.

    A file is applied as a whole or not at all. Raises ProjectRefused, Unreachable.
    """
    own = {migration.version for migration in migrations()}
    wanted = [each for each in migrations_in(folder / "migrations") if each.version not in own]
    seed = folder / "seed.sql"
    text = seed.read_text("utf-8") if seed.is_file() else None
    if not wanted and text is None:
        return []
    connection = await database.connect(statement_timeout_s=0)
    async with as_unreachable(), connection:
        async with connection.transaction():
            await lock_migrations(connection)
            await connection.execute(_SQL["prepare"])
        applied = [each.path.name for each in wanted if await _migrate(connection, each)]
        if text is not None and await _seed(connection, seed, text):
            applied.append(seed.name)
    return applied


async def _migrate(connection: AsyncConn, migration: Migration) -> bool:
    async with connection.transaction():
        await lock_migrations(connection)
        if migration.version in await _column(connection, "applied"):
            return False
        await _run(connection, migration.path, migration.text())
        await connection.execute(
            _SQL["add_migration"], {"version": migration.version, "name": migration.name}
        )
    return True


async def _seed(connection: AsyncConn, seed: Path, text: str) -> bool:
    name = "supabase/seed.sql"
    async with connection.transaction():
        await lock_migrations(connection)
        if name in await _column(connection, "seeded"):
            return False
        await _run(connection, seed, text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        await connection.execute(_SQL["add_seed"], {"path": name, "hash": digest})
    return True


async def _run(connection: AsyncConn, path: Path, text: str) -> None:
    try:
        await connection.execute(_SQL["mark"])
        await connection.execute(SQL(text))
    except psycopg.Error as error:
        if connection.broken:
            raise
        cause = str(error).strip().splitlines()[0]
        raise ProjectRefused(
            f"{path} failed on the embedded database: {cause}; mend it, or set SUPABASE_DB_URL to a database "
            "that has what it needs"
        ) from error


async def _column(connection: AsyncConn, query: str) -> set[str]:
    cursor = await connection.execute(_SQL[query])
    return {row[0] for row in await cursor.fetchall()}
