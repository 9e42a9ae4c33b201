"""The `Prefer` header (RFC 7240): how long a caller wants to wait."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_TOKEN = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^,;\s]*))?\s*')


@dataclass(frozen=True, slots=True)
class Preference:
    """How long to wait for the result, and what of `Prefer` that honours."""

    wait_s: float
    applied: str | None = None


def preference_of(values: list[str], budget_s: float) -> Preference:
    """Read `Prefer` values: `respond-async`, `wait=N` (seconds, cut to `budget_s`). Unknown ones are ignored."""
    if not values:
        return Preference(budget_s)
    asynchronous = False
    wait_s: float | None = None
    for part in ",".join(values).split(","):
        match = _TOKEN.match(part)
        if match is None:
            continue
        name, value = match[1].lower(), (match[2] or "").strip('"')
        if name == "respond-async":
            asynchronous = True
        elif name == "wait" and wait_s is None and re.fullmatch(r"\d{1,9}", value):
            wait_s = min(float(value), budget_s)
    applied = ["respond-async"] if asynchronous else []
    if wait_s is not None:
        applied.append(f"wait={math.floor(wait_s)}")
    if not applied:
        return Preference(budget_s)
    return Preference(wait_s if wait_s is not None else 0.0, ", ".join(applied))
