"""`outlast list`: lists the functions of a folder, as the host would load them. Needs no running host."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from outlast.cli.command import Command, env_file_option, functions_option, json_option, read_settings
from outlast.cli.screen import Column, one_line, print_json, print_table, say
from outlast.core.places import from_here

if TYPE_CHECKING:
    from outlast.functions.catalog import FunctionFile
    from outlast.host.settings import Settings


@click.command("list", cls=Command)
@functions_option
@env_file_option
@json_option
def list_functions(functions: Path | None, env_file: Path | None, as_json: bool) -> None:
    """List the functions of this folder, and which of them can't be loaded."""
    settings = read_settings(functions=functions, env_file=env_file)
    rows = _load(settings)
    if as_json:
        print_json({"functions": rows})
    else:
        print_table(_COLUMNS, rows, f"no functions in {settings.functions}: `outlast new hello` writes one")


def _load(settings: Settings) -> list[dict[str, Any]]:
    """Import every file. What files print meanwhile, and warnings, go to standard error."""
    from outlast.core.observations import FunctionBroken, Observation
    from outlast.functions.catalog import Catalog
    from outlast.host.surroundings import Surroundings
    from outlast.observe.redaction import redactor

    broken: list[FunctionBroken] = []

    def observe(observation: Observation) -> None:
        if isinstance(observation, FunctionBroken):
            broken.append(observation)

    surroundings = Surroundings(settings, lambda line: say("warning", line))
    catalog = Catalog(settings.functions, observe, declare=surroundings.declare)
    with contextlib.redirect_stdout(sys.stderr):
        catalog.load()
    files = catalog.files()
    for each in broken:
        if each.function not in {file.name for file in files}:
            say("warning", redactor.redact(one_line(f"{each.function}: {each.error}")))
    return [
        {
            "name": file.name,
            "path": str(from_here(file.path)),
            "version": file.version,
            "serves": sorted(file.served),
            "versions": _versions(file),
            "aliases": sorted({alias for each in file.workflows() for alias in each.aliases}),
            "error": file.error and redactor.redact(file.error),
            "enabled": file.enabled,
        }
        for file in files
    ]


def _versions(file: FunctionFile) -> dict[str, list[int]]:
    """By name the versions, also superseded ones, of functions that declare any."""
    found: dict[str, list[int]] = {}
    for name, workflow in file.named_workflows() if file.error is None else ():
        if workflow.version is not None:
            found.setdefault(name, []).append(workflow.version)
    return {name: sorted(numbers) for name, numbers in sorted(found.items())}


def _status(row: dict[str, Any]) -> str:
    if not row["enabled"]:
        return "disabled"
    return "served" if row["error"] is None else "broken"


def _serves(row: dict[str, Any]) -> str:
    if row["error"] is not None:
        return one_line(row["error"])
    versions = row["versions"]
    names = sorted({*row["serves"], *versions})
    told = [name + "".join(f" (version {each})" for each in versions.get(name, ())) for name in names]
    return ", ".join([*told, *(f"{each} (former name)" for each in row["aliases"])])


_COLUMNS = (
    Column("NAME", "name"),
    Column("FILE", "path"),
    Column("VERSION", "version"),
    Column("STATUS", _status, coloured=True),
    Column("SERVES", _serves),
)
