"""Files of variables (`.env`): read completely, or refused with the unreadable line; no value is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from outlast.core.errors import OutlastError

ENV_NAME = ".env"
RESERVED = "SUPABASE_"
"""Names with this prefix are Supabase's own: files of functions can't set them."""


class EnvFileError(OutlastError):
    """A file of variables can't be read; the message is one line with the remedy."""

    code = "bad_setting"


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a file; empty if there is no file. Raises EnvFileError.

    A line that isn't an assignment is an error. python-dotenv skips it, but the user may rely on it.
    """
    from dotenv import dotenv_values

    try:
        if not path.is_file():
            return {}
        check_lines(path)
        found = dotenv_values(path, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise EnvFileError(
            f"{os.path.relpath(path)} can't be read ({reason}): make it a readable text"
        ) from None
    return {name: value for name, value in found.items() if value is not None}


def read_common(env_file: Path | None, functions: Path, tell: Callable[[str], None]) -> dict[str, str]:
    """The variables that all functions share: `functions/.env` over the project's own file.

    The project's file may set all names, also Supabase's. `tell` gets a line for each variable that is
    skipped. Raises EnvFileError.
    """
    of_project = read_env_file(env_file) if env_file else {}
    return {**of_project, **read_own(functions / ENV_NAME, functions, tell)}


def read_own(path: Path, functions: Path, tell: Callable[[str], None]) -> dict[str, str]:
    """The variables of a file within the folder of functions, see `read_common`."""
    found = read_env_file(path)
    for name in found:
        if name.startswith(RESERVED):
            shown = f"{functions.name}/{path.relative_to(functions)}"
            tell(f"{shown}: {name} was skipped: names that begin with {RESERVED} are Supabase's own")
    return {name: value for name, value in found.items() if not name.startswith(RESERVED)}


def check_lines(path: Path) -> None:
    """Raises EnvFileError for a line that can't be read, OSError and UnicodeDecodeError for the file."""
    from dotenv.parser import parse_stream

    with path.open(encoding="utf-8") as file:
        for each in parse_stream(file):
            if each.error:
                # python-dotenv counts the blank lines before a statement as part of it
                blank = len(each.original.string) - len(each.original.string.lstrip())
                line = each.original.line + each.original.string[:blank].count("\n")
                raise EnvFileError(
                    f"{os.path.relpath(path)}:{line}: the line can't be read: write NAME=VALUE, and close "
                    "the quotes around a value"
                )
