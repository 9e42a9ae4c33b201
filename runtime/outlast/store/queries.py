"""Named queries out of the `.sql` files beside this module.

A line `-- include: FILE.sql NAME` stands for a query of another file, as a part of this one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files

from psycopg.sql import SQL

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)
_INCLUDE = re.compile(r"^ *-- include: (\w+\.sql) (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_INDENT = re.compile(r"^ +", re.MULTILINE)
_UNNEST = re.compile(r"unnest\((\$\d+)::(\w+)\[\]\)")
_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Numbered:
    """A query as the server takes it: its parameters are numbered, in the order of `parameters`."""

    name: str
    text: str
    parameters: tuple[str, ...]

    def arrays(self) -> list[tuple[str, str]]:
        """The names of the parameters that stand in `unnest`, and the types of their elements."""
        return [(self.parameters[int(number[1:]) - 1], kind) for number, kind in _UNNEST.findall(self.text)]


def load(file: str) -> dict[str, SQL]:
    """The queries of `file` by name, without comments and indentation.

    Those would make a long statement too long for the driver to keep what it made of it (psycopg's
    MAX_CACHED_STATEMENT_LENGTH): it would be parsed anew each time.
    """
    # The files are part of the package: nobody's input gets into them.
    return {name: SQL(text) for name, text in _texts(file)}


def load_numbered(file: str) -> dict[str, Numbered]:
    """The queries of `file` by name, for libpq."""
    return {name: _number(name, text) for name, text in _texts(file)}


def for_one_row(query: Numbered) -> Numbered:
    """The same query for one row: where it has `unnest` of an array it takes a value, or null.

    To take arrays of one element apart is an eighth of what a lone commit takes.
    """
    return Numbered(f"{query.name}_one", _UNNEST.sub(r"\1::\2", query.text), query.parameters)


def _texts(file: str) -> list[tuple[str, str]]:
    whole = (files(__package__) / file).read_text("utf-8")
    parts = _NAME.split(_INCLUDE.sub(lambda found: dict(_texts(found[1]))[found[2]], whole))
    return [
        (name, _INDENT.sub("", _COMMENT.sub("", text)).strip())
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    ]


def _number(name: str, text: str) -> Numbered:
    numbers: dict[str, int] = {}
    text = _PARAMETER.sub(lambda found: f"${numbers.setdefault(found[1], len(numbers) + 1)}", text)
    return Numbered(name, text.replace("%%", "%"), tuple(numbers))
