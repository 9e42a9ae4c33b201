"""Rows as array literals, one for each column: the driver's own conversion of lists is many times slower."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Literal = Callable[[Sequence[Any]], str]

_NUL_REFUSED = "a text can't contain NUL (0x00) bytes"

# Postgres stores no text with NUL, so no value can contain these.
_NEXT = "\0,"
_NULL = "\0N"


def texts(values: Sequence[str | None]) -> str:
    """The literal of a `text[]`. Raises ValueError for a text with NUL."""
    absent = values.count(None)
    if absent == len(values):
        return "{" + ",".join(["NULL"] * absent) + "}"
    joined = _NEXT.join([_NULL if value is None else value for value in values] if absent else values)  # type: ignore[arg-type]
    if joined.count("\0") != len(values) - 1 + absent:
        raise ValueError(_NUL_REFUSED)
    # Escaping all values at once and splitting them afterwards is faster.
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace(_NEXT, '","')
    literal = '{"' + escaped + '"}'
    return literal.replace('"' + _NULL + '"', "NULL") if absent else literal


def numbers(values: Iterable[float | None]) -> str:
    """The literal of an array of numbers."""
    return "{" + ",".join(map(repr, values)).replace("None", "NULL") + "}"


def values(columns: Iterable[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The values of the only row; nulls if there is no row."""
    return dict(zip(columns, *rows, strict=True)) if rows else dict.fromkeys(columns)


def literals(columns: Mapping[str, Literal], rows: Sequence[Sequence[Any]]) -> dict[str, str | None]:
    """One array literal for each of `columns`. `rows` have their values in that order."""
    if not rows:
        return dict.fromkeys(columns, "{}")
    return {
        name: literal(column)
        for (name, literal), column in zip(columns.items(), zip(*rows, strict=True), strict=True)
    }
