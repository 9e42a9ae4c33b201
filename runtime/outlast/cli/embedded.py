"""`outlast db url|psql|reset`: access to the embedded database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from outlast.cli.command import Command, env_file_option, json_option, read_settings
from outlast.cli.failures import CommandFailed
from outlast.cli.screen import tell

if TYPE_CHECKING:
    from outlast.host.settings import Settings
    from outlast.store.connections import Database

_PROJECT = Path("supabase")


@click.command("url", cls=Command)
@env_file_option
@json_option
def url(env_file: Path | None, as_json: bool) -> None:
    """Print the URL of the embedded database, which answers while a host or `outlast db psql` runs."""
    from outlast.host.embedded import EmbeddedPostgres

    settings = _embedded(env_file)
    with EmbeddedPostgres.start(settings.home) as server:
        found = server.url
    tell({"url": found}, found, as_json=as_json)


@click.command(
    "psql", cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGUMENTS]...")
@env_file_option
def psql(arguments: tuple[str, ...], env_file: Path | None) -> int:
    """Open psql on the embedded database; ARGUMENTS are psql's, as in `outlast db psql -c 'select 1'`."""
    from outlast.host.embedded import EmbeddedPostgres
    from outlast.host.embedded.binaries import locate

    settings = _embedded(env_file)
    # First the psql that came with the server, since it has the same version.
    places = os.pathsep.join((str(locate().programs), os.environ.get("PATH", os.defpath)))
    program = shutil.which("psql", path=places)
    if program is None:
        raise CommandFailed(
            "no_psql", "psql is not installed: install Postgres's client, or use the URL of `outlast db url`"
        )
    with EmbeddedPostgres.start(settings.home) as server:
        return subprocess.call([program, server.url, *arguments])


@click.command("reset", cls=Command)
@click.option("--yes", is_flag=True, help="Don't ask.")
@env_file_option
@json_option
def reset(yes: bool, env_file: Path | None, as_json: bool) -> None:
    """Empty the embedded database, then apply all migrations and supabase/seed.sql again."""
    import asyncio

    from outlast.host.embedded import EmbeddedPostgres
    from outlast.store.connections import Database
    from outlast.store.upkeep import reset as make_anew

    settings = _embedded(env_file)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(
                "it deletes all that the database holds: say --yes", click.get_current_context()
            )
        click.confirm(f"Delete all that the database in {settings.home} holds?", abort=True, err=True)
    with EmbeddedPostgres.start(settings.home) as server:
        maintenance = Database.at(server.url.replace("@/postgres?", "@/template1?"), "outlast/cli")
        if not asyncio.run(make_anew(maintenance)):
            raise CommandFailed("in_use", "a host serves from the database: stop it first")
        applied = asyncio.run(_prepare(Database.at(server.url, "outlast/cli")))
    told = (f"applied {file}" for file in applied)
    tell({"database": "embedded", "applied": applied}, *told, as_json=as_json)


async def _prepare(database: Database) -> list[str]:
    """Do what a first start does to an empty database."""
    from outlast.store.migrations import migrate
    from outlast.store.project import apply_project
    from outlast.store.supabase import play_supabase

    await play_supabase(database)
    applied = [each.path.name for each in await migrate(database)]
    return applied + await apply_project(database, _PROJECT)


def _embedded(env_file: Path | None) -> Settings:
    """Read the settings, if they name no database. Raises CommandFailed."""
    settings = read_settings(env_file=env_file)
    if settings.db_url is not None:
        raise CommandFailed(
            "not_embedded",
            "SUPABASE_DB_URL names the database: use it as it is, or unset it for the embedded one",
        )
    return settings
