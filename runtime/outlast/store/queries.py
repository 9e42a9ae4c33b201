"""Named queries out of the `.sql` files beside this module."""

from __future__ import annotations

import re
from importlib.resources import files

from psycopg.sql import SQL

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)


def load(file: str) -> dict[str, SQL]:
    """The queries of `file` by name, without lines of comment.

    Those would make a long statement too long for the driver to keep what it made of it (psycopg's
    MAX_CACHED_STATEMENT_LENGTH): it would be parsed anew each time.
    """
    parts = _NAME.split((files(__package__) / file).read_text("utf-8"))
    # The files are part of the package: nobody's input gets into them.
    return {
        name: SQL(_COMMENT.sub("", text).strip()) for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }
