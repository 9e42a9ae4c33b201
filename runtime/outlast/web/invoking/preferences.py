"""The `Prefer` header (RFC 7240): how long a caller wants to wait."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

_READ_CHARS_MAX = 1_000
_BETWEEN_COMMAS = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.?)*(?:"|$))+', re.DOTALL)
_PREFERENCE = re.compile(
    r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^";\s]*)\s*)?(?:;.*)?', re.DOTALL
)


class Preference(NamedTuple):
    """How long to wait for the result, and which part of `Prefer` is applied."""

    wait_s: float
    applied: str | None = None


def preference_of(values: list[str], budget_s: float) -> Preference:
    """Read `Prefer` values: `respond-async`, `wait=N` (seconds, cut to `budget_s`). All else is ignored."""
    if not values:
        return Preference(budget_s)
    asynchronous = False
    wait_s: float | None = None
    for name, value in _preferences(values):
        if name == "respond-async":
            asynchronous = True
        elif name == "wait" and wait_s is None and re.fullmatch(r"[0-9]{1,9}", value):
            wait_s = min(float(value), budget_s)
    applied = ["respond-async"] if asynchronous else []
    if wait_s is not None:
        applied.append(f"wait={math.floor(wait_s)}")
    if not applied:
        return Preference(budget_s)
    return Preference(wait_s if wait_s is not None else 0.0, ", ".join(applied))


def _preferences(values: list[str]) -> list[tuple[str, str]]:
    """Names (lower-case) and values. Malformed ones are left out."""
    found = []
    for part in _BETWEEN_COMMAS.findall(",".join(values)[:_READ_CHARS_MAX]):
        if (match := _PREFERENCE.fullmatch(part)) is not None:
            found.append((match[1].lower(), (match[2] or "").strip('"')))
    return found
