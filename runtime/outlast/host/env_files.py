"""Files of variables (`.env`): read whole, or refused with the line that can't be read; no value is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from outlast.core.errors import OutlastError

ENV_NAME = ".env"
RESERVED = "SUPABASE_"
"""Names that begin so are Supabase's own: files of functions can't set them."""


class EnvFileError(OutlastError):
    """A file of variables can't be read; the message is one line with the remedy."""

    code = "bad_setting"


def read_env_file(path: Path) -> dict[str, str]:
    """The variables of a file; none where there is no file. Raises EnvFileError.

    A line that is none is an error: python-dotenv leaves it out, and somebody may rely on it.
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
    """What the files that all functions share say: `functions/.env` over the project's own.

    The project's own may set all names, Supabase's too. `tell` gets a line for each variable that is skipped.
    Raises EnvFileError.
    """
    of_project = read_env_file(env_file) if env_file else {}
    return {**of_project, **read_own(functions / ENV_NAME, functions, tell)}


def read_own(path: Path, functions: Path, tell: Callable[[str], None]) -> dict[str, str]:
    """What a file within the folder of functions says, see `read_common`."""
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
                # What stands before an unread statement is counted to it.
                blank = len(each.original.string) - len(each.original.string.lstrip())
                line = each.original.line + each.original.string[:blank].count("\n")
                raise EnvFileError(
                    f"{os.path.relpath(path)}:{line}: the line can't be read: write NAME=VALUE, and close "
                    "the quotes around a value"
                )
