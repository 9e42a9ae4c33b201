"""`outlast check --replay`: checks that the code of this folder fits what is recorded. It runs no step."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from outlast.cli.command import Command, env_file_option, functions_option, json_option, read_settings
from outlast.cli.db import open_database
from outlast.cli.screen import one_line, print_json, say
from outlast.core.printable import escape

if TYPE_CHECKING:
    from outlast.host.settings import Settings

DIVERGED, EMPTY = 1, 2

_Findings = tuple[int, list[tuple[str, str]], dict[str, int]]
"""See outlast.testing.checking, which is imported only when needed."""

_sample = click.option(
    "--sample",
    type=click.IntRange(0, 1_000_000),
    default=200,
    show_default=True,
    help="So many ended workflows beside the open ones.",
)


@click.command(cls=Command)
@click.option("--replay", is_flag=True, help="Replay histories against the code of this folder.")
@click.option(
    "--from", "bundle", type=click.Path(path_type=Path), help="A file of `outlast workflows export`."
)
@functions_option
@_sample
@click.option(
    "--open",
    "most",
    type=click.IntRange(0, 100_000),
    default=100_000,
    show_default=True,
    help="So many open workflows at most, the oldest first.",
)
@env_file_option
@json_option
@click.pass_obj
def check(
    own_process: bool | None,
    replay: bool,
    bundle: Path | None,
    functions: Path | None,
    sample: int,
    most: int,
    env_file: Path | None,
    as_json: bool,
) -> int:
    """Check that the code of this folder fits what is recorded: before a deploy, in CI.

    Open workflows and a sample of ended ones are replayed from the database, which is only read, or from a
    file. No step is run. Exit status 1 if one would do something else, 2 if there are none.
    """
    from outlast.host.hash_seed import hash_alike

    if not replay:
        raise click.UsageError("say what to check: --replay")
    settings = read_settings(functions=functions, env_file=env_file)
    if own_process:
        hash_alike(settings.db_url or str(settings.home))  # as the hosts that recorded them
    documents = _load_from_file(bundle) if bundle is not None else _load_from_database(settings, sample, most)
    (count, diverging, gone), served = _replay(documents, settings) if documents else ((0, [], {}), [])
    if as_json:
        rows = [each["workflow_status"] for each in documents]
        functions_of = {each["workflow_id"]: each["function"] for each in rows}
        told = [
            {"workflow_id": name, "function": function, "served": function in served, "message": what}
            for name, what in diverging
            for function in (functions_of[name],)
        ]
        print_json({"checked": count, "diverging": told, "passed": sum(gone.values())})
    else:
        for name, what in diverging:
            click.echo(escape(name))
            for line in what.splitlines():
                click.echo(f"  {escape(line)}")
        click.echo(f"{count} histories, {len(diverging)} diverge")
    for function, number in sorted(gone.items()):
        text = f"{number} ended workflows of {function} were passed by, which this folder doesn't serve"
        say("warning", one_line(text))
    if not count:
        say("warning", "there are no histories: nothing was checked")
        return EMPTY
    return DIVERGED if diverging else 0


@click.command(cls=Command)
@_sample
@click.option(
    "--redact", is_flag=True, help="Leave out who called and with which request; secrets become ***."
)
@env_file_option
def export(sample: int, redact: bool, env_file: Path | None) -> None:
    """Write histories for `outlast check --replay --from`, one in each line: open and ended ones."""
    for document in _load_from_database(read_settings(env_file=env_file), sample):
        click.echo(json.dumps(_redact(document) if redact else document))


def _load_from_database(settings: Settings, sample: int, most: int = 100_000) -> list[dict[str, Any]]:
    from outlast.store.histories import histories

    async def read() -> list[dict[str, Any]]:
        return [json.loads(each) async for each in histories(database, sample, most)]

    with open_database(settings) as database:
        return asyncio.run(read())


def _load_from_file(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8").split("\n")  # texts may hold other breaks
        return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--from {path} can't be read as lines of JSON: {error}") from error


def _replay(documents: list[dict[str, Any]], settings: Settings) -> tuple[_Findings, list[str]]:
    """The findings, and which functions the folder serves."""
    from outlast.functions.catalog import Catalog
    from outlast.host.surroundings import Surroundings

    surroundings = Surroundings(settings, lambda line: say("warning", line))
    catalog = Catalog(settings.functions, lambda _: None, declare=surroundings.declare)
    with _output_aside():
        catalog.load()
        # Imported by name, because only this command needs it: hosts load nothing that tests use.
        checking = import_module("outlast.testing.checking")
        found: _Findings = checking.check_histories(documents, catalog.all_workflows())
    return found, catalog.workflow_names()


@contextlib.contextmanager
def _output_aside() -> Iterator[None]:
    """Send what functions print to standard error, no matter which stream they kept from before."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _redact(document: dict[str, Any]) -> dict[str, Any]:
    from outlast.observe.redaction import redactor

    row = document["workflow_status"] | dict.fromkeys(
        ("request", "claims", "subject", "idempotency_key", "fingerprint")
    )
    found: dict[str, Any] = json.loads(redactor.redact(json.dumps({**document, "workflow_status": row})))
    return found
