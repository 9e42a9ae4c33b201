"""Brings the schema up to date: applies the files of `supabase/migrations`, each once, under a lock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from psycopg.sql import SQL

from outlast.core.errors import OutlastError
from outlast.store.connections import AsyncConn, Database, as_unreachable

_FILE = re.compile(r"(\d{14})_(\w+)\.sql")
_BOOKED = "\ninsert into outlast.schema_migrations (version) values ('{}') on conflict do nothing;\n"
"""How Outlast's own migrations note that they were applied. A project's migrations don't have this."""
_LOCK = 0x6F75746C617374  # "outlast"
_LOCKED = SQL("select pg_advisory_xact_lock(%s)")
# These override the settings of database and role: creating an index on a large table takes long.
_WAIT = SQL("set local lock_timeout to default; set local statement_timeout to 0")
# Not to_regclass: in a transaction that waited for the lock it may answer from an old cache.
_FOUND = SQL(
    "select row_security_active(c.oid), current_user from pg_class c "
    "join pg_namespace n on n.oid = c.relnamespace "
    "where n.nspname = 'outlast' and c.relname = 'schema_migrations'"
)
_APPLIED = SQL("select version from outlast.schema_migrations")


class RowsHidden(OutlastError):
    """Row-level security hides all rows of Outlast's tables from the role: they look empty."""

    code = "rows_hidden"

    def __init__(self, user: str) -> None:
        super().__init__(
            f"row level security hides the rows of outlast's tables from {user}; "
            f'remedy: connect as their owner, or as a superuser run `alter role "{user}" bypassrls`'
        )


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration file: its timestamp, name and path."""

    version: str
    name: str
    path: Path

    def text(self) -> str:
        """The file's SQL."""
        return self.path.read_text("utf-8")

    @property
    def is_own(self) -> bool:
        """Whether it is one of Outlast's own. A checkout's folder may hold a project's migrations too."""
        return _BOOKED.format(self.version) in self.text()


def migrations() -> list[Migration]:
    """All of Outlast's own migrations in this package, the oldest first."""
    # guard: own-migrations-alone = migrations_in(migrations_folder())
    return [each for each in migrations_in(migrations_folder()) if each.is_own]


def migrations_in(folder: Path) -> list[Migration]:
    """The migrations of a folder, the oldest first; none if there is no such folder."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _FILE.fullmatch(path.name))]
    return sorted((Migration(m[1], m[2], path) for m, path in found), key=lambda each: each.version)


async def lock_migrations(connection: AsyncConn) -> None:
    """Lock migrations until the end of the transaction. Also works through a transaction pooler."""
    await connection.execute(_LOCKED, (_LOCK,))


def migrations_folder() -> Path:
    """The folder of the migration files: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "supabase" / "migrations"


async def versions(database: Database) -> tuple[list[Migration], list[str]]:
    """The migrations that `database` lacks, and versions in it that this package doesn't know.

    Raises Unreachable and RowsHidden.
    """
    connection = await database.connect()
    async with as_unreachable(), connection:
        return await pending_over(connection), await unknown_over(connection)


async def migrate(database: Database) -> list[Migration]:
    """Apply what is missing, only once even if many instances start together. Returns what was applied.

    Raises Unreachable and RowsHidden.
    """
    connection = await database.connect(statement_timeout_s=0)
    async with as_unreachable(), connection:
        return await migrate_over(connection)


async def migrate_over(connection: AsyncConn) -> list[Migration]:
    """The same over an open connection, without a limit on statements."""
    applied = []
    for migration in await pending_over(connection):
        async with connection.transaction():
            # guard: migrations-give-up
            await connection.execute(_WAIT)
            # guard: migrations-without-lock
            await lock_migrations(connection)
            if migration not in await pending_over(connection):
                continue
            # The text is part of the package. Without parameters one message may hold many statements.
            await connection.execute(SQL(migration.text()))
            applied.append(migration)
    return applied


async def pending_over(connection: AsyncConn) -> list[Migration]:
    """The migrations that the database of `connection` lacks."""
    done = await applied_over(connection)
    return [migration for migration in migrations() if migration.version not in done]


async def unknown_over(connection: AsyncConn) -> list[str]:
    """Versions of Outlast's migrations that this package doesn't know, the oldest first."""
    return sorted(await applied_over(connection) - {migration.version for migration in migrations()})


async def applied_over(connection: AsyncConn) -> set[str]:
    """The versions that the database has; none if there is no schema yet. Raises RowsHidden."""
    row = await (await connection.execute(_FOUND)).fetchone()
    if row is None:
        return set()
    hides, user = row
    done = {version for (version,) in await (await connection.execute(_APPLIED)).fetchall()}
    # A policy may show some rows. In an existing schema this table is never empty.
    if hides and not done:
        raise RowsHidden(user)
    return done
