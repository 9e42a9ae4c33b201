"""`outlast db`: migrates and shows the database's schema; no host need run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from outlast.cli.command import CommandGroup, env_file_option, json_option, read_settings
from outlast.cli.embedded import psql, reset, url
from outlast.cli.failures import CommandFailed
from outlast.cli.files import print_written, write_new
from outlast.cli.screen import Column, print_json, print_table, say, tell

if TYPE_CHECKING:
    from outlast.host.settings import Settings
    from outlast.store.connections import Database
    from outlast.store.migrations import Migration
    from outlast.store.upkeep import Upkeep


@click.group(cls=CommandGroup)
def db() -> None:
    """Bring the database's schema up to date; open the embedded one."""


for _command in (url, psql, reset):
    db.add_command(_command)


@db.command()
@click.option(
    "--into",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Don't apply: copy the files into DIR (supabase/migrations), for `supabase db push`.",
)
@env_file_option
@json_option
def migrate(folder: Path | None, env_file: Path | None, as_json: bool) -> None:
    """Apply the migrations that the database lacks. Instances do the same when they start."""
    if folder is not None:
        _copy(folder, as_json)
        return
    import asyncio

    from outlast.store.migrations import migrate as apply
    from outlast.store.supabase import play_supabase

    settings = read_settings(env_file=env_file)
    with open_database(settings) as database:
        if settings.db_url is None:
            asyncio.run(play_supabase(database))
        applied = asyncio.run(apply(database))
    document = {"database": _name(settings), "applied": [_migration_row(each) for each in applied]}
    told = [f"applied {each.path.name}" for each in applied] or ["the schema is up to date"]
    tell(document, *told, as_json=as_json)


@db.command()
@env_file_option
@json_option
def status(env_file: Path | None, as_json: bool) -> None:
    """Show the sizes of tables, what waits, what is oldest, and which migrations the database lacks."""
    import asyncio

    from outlast.store.migrations import migrations, versions
    from outlast.store.upkeep import upkeep

    settings = read_settings(env_file=env_file)
    with open_database(settings) as database:
        pending, newer = asyncio.run(versions(database))
        found = None if pending else asyncio.run(upkeep(database))
    lacking = {each.version for each in pending}
    rows = [{**_migration_row(each), "applied": each.version not in lacking} for each in migrations()]
    rows += [{"version": version, "name": None, "applied": True} for version in newer]
    if pending:
        say("warning", f"the database lacks {len(pending)} migrations: run `outlast db migrate`")
    if newer:
        say("warning", "the database has migrations that this version of outlast doesn't know: it is older")
    if as_json:
        more = {} if found is None else upkeep_row(found)
        print_json({"database": _name(settings), "current": not lacking, "migrations": rows, **more})
        return
    columns = [
        Column("MIGRATION", "version"),
        Column("NAME", "name", lambda row: str(row["name"] or "(unknown here)")),
        Column("STATUS", lambda row: "applied" if row["applied"] else "pending", coloured=True),
    ]
    print_table(columns, rows, "no migrations")
    if found is not None:
        print_upkeep(found)


@db.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed, by function.")
@click.option(
    "--days",
    type=click.FloatRange(0, 36_500, min_open=True),
    help="Remove what ended longer ago, unless its function says so. Default: OUTLAST_RETENTION_DAYS.",
)
@env_file_option
@json_option
def prune(dry_run: bool, days: float | None, env_file: Path | None, as_json: bool) -> None:
    """Remove ended workflows that were kept for long enough. Instances do the same when they are idle."""
    import asyncio

    from outlast.store import upkeep

    settings = read_settings(env_file=env_file)
    keep_s = settings.retention_s if days is None else days * 86_400
    with open_database(settings) as database:
        _refuse_older(database)
        if not dry_run:
            removed = asyncio.run(upkeep.prune(database, keep_s))
            text = f"removed {removed} ended workflow{'' if removed == 1 else 's'}"
            tell({"removed": removed}, text, as_json=as_json)
            return
        rows = asyncio.run(upkeep.prunable(database, keep_s))
    if as_json:
        print_json({"would_remove": sum(each["workflows"] for each in rows), "functions": rows})
    else:
        print_prunable(rows)


@db.command()
@click.option("--url", required=True, metavar="URL", help="Where the host is: https://outlast.example.com")
@click.option(
    "--every",
    "every_s",
    default=30,
    show_default=True,
    metavar="SECONDS",
    type=click.IntRange(5, 3540),
    help="How often the database looks. Below 60 it needs pg_cron 1.5; whole minutes above.",
)
@click.option(
    "--into",
    "folder",
    metavar="DIR",
    default="supabase/migrations",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Where the project keeps its migrations.",
)
@json_option
def wake(url: str, every_s: int, folder: Path, as_json: bool) -> None:
    """Write the migration that wakes a host which has scaled to zero (pg_cron and pg_net)."""
    path, written = write_wake(url, every_s, folder)
    told = f"wrote {path}: apply it with `supabase db push`" if written else f"{path} is there already"
    tell({"path": str(path), "written": written}, told, as_json=as_json)


@contextlib.contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """Open the database of the settings; the embedded server runs as long as it is used."""
    from outlast.store.connections import Database

    if settings.db_url is None:
        from outlast.host.embedded import EmbeddedPostgres

        with EmbeddedPostgres.start(settings.home) as server:
            yield Database.at(server.url, "outlast/cli")
        return
    try:
        database = Database.at(settings.db_url, "outlast/cli", settings.db_sessions)
    except ValueError as error:
        raise CommandFailed("bad_setting", f"SUPABASE_DB_URL: {error}") from None
    yield database


def _refuse_older(database: Database) -> None:
    """Raise CommandFailed if the schema lacks what this version of Outlast needs."""
    import asyncio

    from outlast.store.migrations import versions

    pending, _ = asyncio.run(versions(database))
    if pending:
        raise CommandFailed(
            "migrations_pending",
            f"the database lacks {len(pending)} migrations, the first is {pending[0].path.name}: run "
            "`outlast db migrate`",
        )


def _copy(folder: Path, as_json: bool) -> None:
    """Copy the files that `folder` lacks. Never overwrites a file, because it may have been applied."""
    from outlast.store.migrations import migrations

    wanted: dict[Path, bytes] = {}
    edited: list[str] = []
    for migration in migrations():
        target = folder / migration.path.name
        others = [each for each in folder.glob(f"{migration.version}_*.sql") if each != target]
        text = migration.path.read_bytes()
        if others:
            raise CommandFailed(
                "migration_conflict",
                f"{others[0]} has the timestamp of one of Outlast's migrations and is "
                "another file: rename it",
            )
        if target.exists() and _lines(target.read_bytes()) != _lines(text):
            edited.append(str(target))
        wanted[target] = text
    if edited:
        raise CommandFailed(
            "migration_conflict",
            f"not as this version of Outlast has it: {', '.join(edited)}. Who changed such a file puts it "
            "back; a copy of before its release was changed by Outlast since. Delete it and run this again; "
            "a database that the former file was applied to must be made anew (`supabase db reset`, "
            "`outlast db reset`)",
        )
    written = [target for target, text in wanted.items() if write_new(target, text)]
    print_written(written, [each for each in wanted if each not in written], as_json=as_json)


def _lines(text: bytes) -> bytes:
    """Line ends as in git: a checkout on Windows may have others."""
    return text.replace(b"\r\n", b"\n")


def _name(settings: Settings) -> str:
    """The name of the database, without its password."""
    if settings.db_url is None:
        return "embedded"
    from outlast.store.address import Address

    return Address.read(settings.db_url, "outlast/cli", None).name


def _migration_row(migration: Migration) -> dict[str, Any]:
    return {"version": migration.version, "name": migration.name}


_NAME = "outlast_wake"


def write_wake(url: str, every_s: int, folder: Path) -> tuple[Path, bool]:
    """Write the migration unless it exists; return its file, and whether it was written.

    Raises CommandFailed, BadWakeUrl. An existing file is never changed, because it may have been applied:
    another URL makes another migration.
    """
    from outlast.core.clock import Clock
    from outlast.store.migrations import migrations, migrations_in
    from outlast.store.wake import wake_migration

    text = wake_migration(url, every_s)
    there = migrations_in(folder)
    former = [each for each in there if each.name == _NAME]
    if former and former[-1].text() == text:
        return former[-1].path, False
    newest = max(int(each.version) for each in [*there, *migrations()])
    version = max(int(Clock().now().strftime("%Y%m%d%H%M%S")), newest + 1)
    path = folder / f"{version:014}_{_NAME}.sql"
    return path, write_new(path, text.encode())


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def upkeep_row(found: Upkeep) -> dict[str, Any]:
    """The upkeep for programs."""
    oldest = dict(found.oldest)
    return {
        "workflows": oldest.pop("estimate"),
        "counts": found.counts,
        "oldest": oldest,
        "tables": found.tables,
    }


def print_upkeep(found: Upkeep) -> None:
    """Print for people: tables, then what waits and what is oldest."""
    click.echo()
    tables = [
        Column("TABLE", "name"),
        Column("SIZE", "bytes", lambda row: size_text(row["bytes"])),
        Column("INDEXES", "index_bytes", lambda row: size_text(row["index_bytes"])),
        Column("ROWS", "rows"),
        Column("DEAD", "dead"),
        Column("VACUUMED", "vacuumed_at", lambda row: str(row["vacuumed_at"] or "")[:19]),
    ]
    print_table(tables, found.tables, "no tables")
    click.echo()
    counts = [
        Column("STATUS", "status"),
        Column("WORKFLOWS", "count", lambda row: f"{row['count']}{'+' if row['more'] else ''}"),
    ]
    print_table(counts, found.counts, "nothing is live")
    click.echo(f"about {found.oldest['estimate']} workflows in all")
    for key, text in (
        ("ended_at", "the oldest that has ended did so at"),
        ("due_at", "the oldest that waits to be claimed is due since"),
        ("undelivered_at", "the oldest message that is not delivered was sent at"),
    ):
        if found.oldest[key] is not None:
            click.echo(f"{text} {found.oldest[key][:19]}")


def print_prunable(rows: Sequence[dict[str, Any]]) -> None:
    """Print what would be removed."""
    columns = [
        Column("FUNCTION", "function"),
        Column("WORKFLOWS", "workflows"),
        Column("ENDED FROM", "oldest", lambda row: row["oldest"][:19]),
        Column("TO", "newest", lambda row: row["newest"][:19]),
    ]
    print_table(columns, list(rows), "nothing was kept for long enough")


def size_text(size: int) -> str:
    """A size in bytes, for people."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"
