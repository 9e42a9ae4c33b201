"""`outlast serve`: run the functions of a folder."""

from __future__ import annotations

from pathlib import Path

import click

from outlast.cli.command import Command, env_file_option, functions_option


@click.command(cls=Command)
@functions_option
@click.option("--host", help="The address to listen on. Default: 127.0.0.1, this machine alone.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The port. Default: PORT, else 8000; 0 takes a free one."
)
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    help="Processes that share the port, replaced when they end. Default: 1; 0 serves in this one.",
)
@click.option("--reload", is_flag=True, default=None, help="Load functions anew when their files change.")
@env_file_option
@click.option("--no-verify-jwt", is_flag=True, help="Don't ask callers who they are. For development.")
@click.pass_obj
def serve(
    own_process: bool | None,
    functions: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    reload: bool | None,
    env_file: Path | None,
    no_verify_jwt: bool,
) -> None:
    """Serve the functions of a folder, and go on with workflows that earlier instances left.

    Without SUPABASE_DB_URL it starts a Postgres for the project under .outlast/.
    """
    from outlast.host.exits import leave
    from outlast.host.hash_seed import hash_alike
    from outlast.host.serve import serve as run
    from outlast.host.settings import Settings

    settings = Settings.load(
        functions=functions,
        host=host,
        port=port,
        workers=workers,
        reload=reload or None,
        env_file=env_file,
        verify_jwt=False if no_verify_jwt else None,
    )
    if own_process:
        hash_alike(settings.db_url or str(settings.home))
    leave(run(settings))
