"""Whether a value came back from JSON the same, and if not, which part of it didn't."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, time
from enum import Enum
from typing import Any

_ATOMS = frozenset({str, int, bool, type(None)})


def difference(back: Any, value: Any, path: str = "") -> str | None:
    """The part of `value` that came back changed, in words; None if nothing did.

    Equality isn't enough: True == 1, and a str Enum equals its text. Identity isn't needed: for `float`, 0
    comes back as 0.0, and a time in a zone comes back as the same time at its offset.
    """
    if type(back) is type(value) and type(value) in _ATOMS:
        return None if back == value else _describe(back, value, path)
    if _kind(back) is not _kind(value):
        return None if _same_number(back, value) else _describe(back, value, path)
    if isinstance(value, datetime | time):
        return None if _same_time(back, value) else _describe(back, value, path)
    if isinstance(value, list | tuple):
        if len(back) != len(value):
            return _describe(back, value, path)
        return _first_difference(zip(range(len(value)), back, value, strict=True), path, "[{}]")
    if isinstance(value, dict):
        if back.keys() != value.keys():
            return _describe(back, value, path)
        parts = zip(value, map(back.__getitem__, value), value.values(), strict=True)
        return _first_difference(parts, path, "[{!r}]")
    with suppress(Exception):  # a foreign __eq__ may raise anything
        if bool(back == value):
            return None
    # Objects without an own __eq__ differ from their copies, so their members are compared.
    held, held_back = _members(value), _members(back)
    if not held or held.keys() != held_back.keys():
        return _describe(back, value, path)
    return _first_difference(((key, held_back[key], each) for key, each in held.items()), path, ".{}")


def brief(value: Any) -> str:
    """A value for a message: the beginning of its repr, and its type."""
    name = type(value).__qualname__
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a foreign __repr__ may raise anything
        return f"a {name}"
    return f"{text[:80]}{'…' if len(text) > 80 else ''} ({name})"


def _first_difference(parts: Iterable[tuple[Any, Any, Any]], path: str, place: str) -> str | None:
    """The first difference of parts, given as (where, back, value).

    `place` formats where; most parts are the same.
    """
    for where, back, value in parts:
        if type(back) is type(value) and type(value) in _ATOMS and back == value:
            continue
        at = (path + place.format(where)).removeprefix(".")
        if (found := difference(back, value, at)) is not None:
            return found
    return None


def _describe(back: Any, value: Any, path: str) -> str:
    return f"{f'{path}: ' if path else ''}{brief(value)} would come back from JSON as {brief(back)}"


def _kind(value: Any) -> Any:
    """The type; for a generic model without the parameters that pydantic has chosen."""
    kind = type(value)
    if (plain := getattr(kind, "__stands_for__", None)) is not None:
        return plain  # our own text or bytes that can be awaited
    return getattr(kind, "__pydantic_generic_metadata__", {}).get("origin") or kind


def _same_number(a: Any, b: Any) -> bool:
    return all(isinstance(each, int | float) and not isinstance(each, bool | Enum) for each in (a, b)) and (
        bool(a == b)
    )


def _same_time(a: datetime | time, b: datetime | time) -> bool:
    """Whether wall time and offset are the same.

    Within an hour that a zone repeats, Python calls no two times equal.
    """
    return (
        a.utcoffset() == b.utcoffset()
        and (a.tzinfo is None) == (b.tzinfo is None)
        and a.replace(tzinfo=None, fold=0) == b.replace(tzinfo=None, fold=0)
    )


def _members(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}
    held = dict(getattr(value, "__dict__", None) or {})
    for beside in ("__pydantic_extra__", "__pydantic_private__"):
        held.update(getattr(value, beside, None) or {})
    return held
