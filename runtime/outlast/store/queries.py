"""Named queries from the `.sql` files beside this module.

A line `-- include: FILE.sql NAME` is replaced by a query of another file.
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
    """A query with numbered parameters, as the server takes it. `parameters` has their names in order."""

    name: str
    text: str
    parameters: tuple[str, ...]

    def arrays(self) -> list[tuple[str, str]]:
        """The names of the parameters within `unnest`, and the types of their elements."""
        return [(self.parameters[int(number[1:]) - 1], kind) for number, kind in _UNNEST.findall(self.text)]


def load(file: str) -> dict[str, SQL]:
    """The queries of `file` by name, without comments and indentation.

    These would make a long statement too long for the driver's cache (psycopg's MAX_CACHED_STATEMENT_LENGTH).
    Then the driver would parse it each time.
    """
    # The files are part of the package: no user input gets into them.
    return {name: SQL(text) for name, text in _texts(file)}


def load_numbered(file: str) -> dict[str, Numbered]:
    """The queries of `file` by name, for libpq."""
    return {name: _number(name, text) for name, text in _texts(file)}


def for_one_row(query: Numbered) -> Numbered:
    """The same query for one row: instead of `unnest` of an array it takes a value, or null.

    Unpacking arrays of one element takes an eighth of the time of a lone commit.
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
