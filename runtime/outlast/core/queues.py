"""Options of queues: their values, the rules for new calls, and the key of an input.

Options are JSON as in `outlast.queues`, so that code, operators and the database use the same.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

Options = Mapping[str, Any]

BACKLOG_MAX = 1_000_000
"""The default limit of waiting workflows."""

COUNTED_MAX = 10_000
"""A backlog up to this size is counted exactly when a call enters; a larger one is counted now and then."""

KEY_CHARS_MAX = 255
PRIORITY_MAX = 86_400
DELAY_MAX_S = 315_360_000.0
"""Ten years."""

RATE_MAX = 10_000
BATCH_MAX, BATCH_WAIT_MAX_S = 1_000, 600.0
WEIGHT_MIN, WEIGHT_MAX = 0.01, 100.0
ON_BUSY = ("wait", "attach", "skip", "replace")

_MONTH_S = 31 * 86_400.0
_SHORTEST_S = 1e-6
"""The shortest time that the database can store."""

_WHOLE = re.compile(r"-?[0-9]+")
_PATH = re.compile(r"[^.\s\0]+(\.[^.\s\0]+)*")


def _count(most: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"is a whole number from 1 to {most:,}")
        return value

    return check


def _seconds(most: float) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float) or not _SHORTEST_S <= value <= most:
            raise ValueError(f"is a number of seconds, at least 0.000001 and at most {most:,.0f}")
        return value

    return check


def _members(**checks: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, dict) or set(value) - set(checks):
            raise ValueError(f"is an object of {', '.join(checks)}")
        for name, check_member in checks.items():
            if name not in value:
                if name == "smooth":
                    continue
                raise ValueError(f"needs {name!r}")
            try:
                check_member(value[name])
            except ValueError as error:
                raise ValueError(f"has a {name!r} that {error}") from None
        return value

    return check


def _truth(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("is true or false")
    return value


def _on_busy(value: Any) -> Any:
    if value not in ON_BUSY:
        raise ValueError(f"is one of {', '.join(ON_BUSY)}")
    return value


def _key(value: Any) -> Any:
    if value is not True and not (isinstance(value, str) and _PATH.fullmatch(value)):
        raise ValueError("is a dotted path into the input, such as customer.id")
    return value


def _weights(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("is an object of keys and their weights")
    for key, weight in value.items():
        fits = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not fits or not WEIGHT_MIN <= weight <= WEIGHT_MAX or math.isnan(weight):
            raise ValueError(f"gives {key!r} a weight that is not between {WEIGHT_MIN} and {WEIGHT_MAX:g}")
    return value


_rate = _members(n=_count(RATE_MAX), per=_seconds(_MONTH_S), smooth=_truth)

OPTIONS: dict[str, Callable[[Any], Any]] = {
    "key": _key,
    "concurrency": _count(1_000_000),
    "per_key": _count(1_000_000),
    "per_instance": _count(1_000_000),
    "exclusive": _truth,
    "on_busy": _on_busy,
    "rate": _rate,
    "rate_per_key": _rate,
    "drop": _rate,
    "debounce": _members(quiet=_seconds(86_400.0), at_most=_seconds(864_000.0)),
    "batch": _members(n=_count(BATCH_MAX), wait=_seconds(BATCH_WAIT_MAX_S)),
    "weight": _weights,
    "max_backlog": _count(10_000_000),
    "start_within": _seconds(_MONTH_S),
}
"""The check of each option's value. It raises ValueError with what the value should be."""


def check_option(name: str, value: Any) -> None:
    """Raise ValueError, which names the option, if a queue can't have this value."""
    if name not in OPTIONS:
        raise ValueError(f"a queue has no option {name!r}; it has {', '.join(OPTIONS)}")
    try:
        OPTIONS[name](value)
    except ValueError as error:
        raise ValueError(f"{name} {error}, not {value!r:.100}") from None


def check_together(options: Options) -> None:
    """Raise ValueError for options that contradict each other."""
    for one, other, why in (
        ("debounce", "batch", "one makes of many calls one, the other hands many over"),
        ("exclusive", "batch", "a batch takes many of a key at once"),
        ("weight", "batch", "a key has one batch in its turn, however large"),
        ("rate", "drop", "one lets calls wait, the other turns them away"),
    ):
        if options.get(one) and options.get(other):
            raise ValueError(f"{one} and {other} don't go together: {why}")
    for name in ("per_key", "rate_per_key", "weight"):
        if name in options and "key" not in options:
            raise ValueError(f"{name} needs key: it says what the limit is for")
    wait_s = options.get("batch", {}).get("wait", 0.0)
    if options.get("start_within", math.inf) <= wait_s:
        raise ValueError(f"start_within must be longer than the wait of batch, {wait_s:g} s")
    if options.get("on_busy", "wait") != "wait" and not options.get("exclusive"):
        raise ValueError("on_busy needs exclusive=True: without it no key is busy")


def check_consumed(options: Options, consumes: str | None) -> None:
    """Raise ValueError for options that a Supabase Queue can't have: they would drop messages."""
    for name in ("drop", "debounce", "on_busy", "batch", "max_backlog"):
        if consumes is not None and name in options:
            raise ValueError(f"{name} is not for a Supabase Queue: its messages wait there for their turn")
    if consumes is not None and options.get("key") is True:
        raise ValueError("key is a dotted path into the message where the queue is a Supabase Queue")


def has_door(options: Options) -> bool:
    """Whether new calls enter one at a time, so that what is counted before holds until their commit."""
    return (
        "drop" in options
        or "debounce" in options
        or options.get("on_busy", "wait") != "wait"
        or options.get("max_backlog", BACKLOG_MAX) <= COUNTED_MAX
    )


def key_at(path: str, text: str | None) -> str | None:
    """The text, integer or boolean at a dotted path of the input `text` (JSON); otherwise None.

    Does the same as `outlast.key_of` in SQL.
    """
    if text is None:
        return None
    found = json.loads(text, parse_float=Decimal)
    for part in path.split("."):
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and _WHOLE.fullmatch(part) and -len(found) <= int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return key_text(found)


def key_text(value: Any) -> str | None:
    """The text of a key; None for a value that can't be a key."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        value = format(value, "f")
        return value if _WHOLE.fullmatch(value) else None
    if isinstance(value, int):
        return str(value)
    return value or None if isinstance(value, str) else None
