"""A short fingerprint of a step's arguments. Another one on replay shows that the body has changed."""

from __future__ import annotations

import dataclasses
from typing import Any
from zlib import crc32

from pydantic import BaseModel
from pydantic_core import to_json

CHARS_MAX = 2_000
ITEMS_MAX = 100
DEPTH_MAX = 4
_ALWAYS_SMALL = frozenset({int, float, bool, type(None)})


def fingerprint_of_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """The fingerprint, below 2³². None for large arguments and for those that aren't JSON."""
    if not _are_small(args, len(args), 0) or (kwargs and not _are_small(kwargs.values(), len(kwargs), 0)):
        return None
    try:
        return crc32(to_json((args, kwargs)))
    except Exception:  # noqa: BLE001 - a foreign class may raise anything; then there is none
        return None


def fingerprint_of_text(text: str) -> int | None:
    """The fingerprint of one text."""
    return crc32(text.encode()) if len(text) <= CHARS_MAX else None


def _are_small(values: Any, count: int, depth: int) -> bool:
    if count > ITEMS_MAX or depth >= DEPTH_MAX:
        return False
    for each in values:  # noqa: SIM110 - a generator for `all` takes three times as long, at each call
        if type(each) not in _ALWAYS_SMALL and not _is_small(each, depth + 1):
            return False
    return True


def _is_small(value: Any, depth: int) -> bool:
    if isinstance(value, str | bytes):
        return len(value) <= CHARS_MAX
    if isinstance(value, dict):
        return _are_small(value.values(), len(value), depth)
    if isinstance(value, list | tuple | set | frozenset):
        return _are_small(value, len(value), depth)
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and hasattr(value, "__dict__")):
        return _are_small(value.__dict__.values(), len(value.__dict__), depth)
    return True
