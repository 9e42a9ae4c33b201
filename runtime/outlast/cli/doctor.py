"""`outlast doctor`: says what is wrong, and how to mend it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from outlast.cli.command import Command, env_file_option, functions_option, json_option
from outlast.cli.screen import one_line, print_json

if TYPE_CHECKING:
    from outlast.host.doctor.findings import Finding


@click.command(cls=Command)
@functions_option
@env_file_option
@json_option
def doctor(functions: Path | None, env_file: Path | None, as_json: bool) -> int:
    """Check settings, files, database and workflows; say what is wrong, and how to mend it.

    Exit status 1 if something must be mended. It changes nothing. It imports the functions, as serving does.
    """
    from outlast.host.doctor.findings import is_wrong

    findings = _look(functions, env_file)
    wrong = is_wrong(findings)
    if as_json:
        print_json({"ok": not wrong, "findings": [each.row() for each in findings]})
    else:
        for each in findings:
            click.echo(f"{each.kind.level}  {each.kind.id}: {one_line(each.what)}")
            click.echo(f"       remedy: {one_line(each.remedy)}")
        click.echo("nothing is wrong" if not wrong else f"{_count(findings)} to be mended")
    return int(wrong)


def _look(functions: Path | None, env_file: Path | None) -> list[Finding]:
    import asyncio

    from outlast.cli.db import open_database
    from outlast.core.errors import OutlastError
    from outlast.host.doctor.findings import finding
    from outlast.host.doctor.of_database import look_at_database
    from outlast.host.doctor.of_host import look_at_host
    from outlast.host.settings import Settings

    try:
        settings = Settings.load(functions=functions, env_file=env_file)
    except OutlastError as error:
        return [finding("bad_setting", error=str(error))]
    with contextlib.redirect_stdout(sys.stderr):
        found = look_at_host(settings)
    try:
        with open_database(settings) as database:
            return found + asyncio.run(look_at_database(database, settings))
    except OutlastError as error:
        return [*found, finding("bad_setting", error=str(error))]


def _count(findings: list[Finding]) -> str:
    number = sum(each.kind.level == "wrong" for each in findings)
    return f"{number} finding{'' if number == 1 else 's'}"
