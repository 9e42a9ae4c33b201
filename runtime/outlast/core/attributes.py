"""Attributes: a few values by which a workflow is found. The database checks them in the same way."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

ATTRIBUTES_MAX = 32
VALUE_CHARS_MAX = 256
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # what jsonb can't hold: NUL, and half of a surrogate pair
_FORM = (
    "attributes are an object of at most 32 keys, such as customer or order.region (a letter, then letters, "
    'digits, "_", "." and "-", 64 at most), and of values that are texts of at most 256 characters, numbers, '
    "or true or false"
)


def attributes_json(given: Any, *, nulls: bool = False) -> str | None:
    """Attributes as the store takes them, in JSON; None if there are none.

    With `nulls` a value may be None, which removes the attribute. Raises ValueError, which says what is
    wrong.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping) or len(given) > ATTRIBUTES_MAX:
        raise ValueError(f"{_FORM}; not {_show(given)}")
    for key, value in given.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError(f"{_FORM}; the key {_show(key)} is none")
        if not (_is_value(value) or (nulls and value is None)):
            raise ValueError(f"{_FORM}; the value of {key} is {_show(value)}")
    return json.dumps(dict(given)) if given else None


def merged(attributes: str | None, changes: str) -> str | None:
    """Attributes after changes, both JSON; null removes one. Raises ValueError if there are too many."""
    whole = {**json.loads(attributes or "{}"), **json.loads(changes)}
    left = {key: value for key, value in whole.items() if value is not None}
    if len(left) > ATTRIBUTES_MAX:
        raise ValueError(f"{_FORM}; there would be {len(left)}")
    return json.dumps(left) if left else None


def all_changes(changes: Iterable[str]) -> str:
    """Several changes (JSON), in their order, as one."""
    whole: dict[str, Any] = {}
    for each in changes:
        whole |= json.loads(each)
    return json.dumps(whole)


def _is_value(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, str):
        return len(value) <= VALUE_CHARS_MAX and not _UNSTORABLE.search(value)
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and abs(value) < 10**15


def _show(value: Any) -> str:
    return f"{value!r:.60}"
