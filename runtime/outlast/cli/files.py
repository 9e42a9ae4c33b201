"""Files that commands write, never over an existing one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from outlast.cli.failures import CommandFailed
from outlast.cli.screen import print_json
from outlast.core.places import from_here


def write_new(path: Path, content: bytes) -> bool:
    """Write a file and the folders above it; False if it exists already. Raises CommandFailed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            return False
        raise CommandFailed("not_written", f"{from_here(path)} can't be written: {error.strerror}") from error
    return True


def print_written(written: Iterable[Path], unchanged: Iterable[Path], *, as_json: bool) -> None:
    """Print which files were written, and which existed."""
    shown = {"written": [*map(from_here, written)], "unchanged": [*map(from_here, unchanged)]}
    if as_json:
        print_json({kind: [*map(str, paths)] for kind, paths in shown.items()})
        return
    for path in shown["written"]:
        click.echo(f"wrote {path}")
    for path in shown["unchanged"]:
        click.echo(f"{path} is there already")
