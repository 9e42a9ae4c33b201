"""Values of a verb's arguments: which JSON each kind takes, within the bounds of the verb's row."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from outlast.core.resources import Kind
from outlast.core.verbs import Argument

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([smhdw])?")
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*(.+)")
_UNITS_S = {None: 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d+)?)([Zz]|[+ -]\d\d:\d\d)", re.ASCII)
_KINDS = {
    Kind.TEXT: "a text",
    Kind.COUNT: "a whole number",
    Kind.INTEGER: "a whole number",
    Kind.NUMBER: "a number",
    Kind.DURATION: "a number of seconds",
    Kind.FLAG: "true or false",
    Kind.TIMESTAMP: "a date with time and offset (2026-01-31T09:30:00Z)",
    Kind.RATE: '{"n": how many, "per": seconds}',
    Kind.OBJECT: "an object",
    Kind.JSON: "JSON",
}


def read_value(argument: Argument, value: Any) -> Any:
    """A JSON value as the store takes it. Raises ValueError, which says what it must be."""
    if value is None and argument.nullable:
        return None
    try:
        return _READERS[argument.kind](argument, value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{argument.name} must be {wanted_value(argument)}") from None


def wanted_value(argument: Argument) -> str:
    """What an argument must be, in words."""
    if argument.choices:
        return " or ".join(argument.choices)
    least, most = argument.minimum, argument.maximum
    span = ""
    if most is not None:
        span = f"{least or 0:,} to {most:,}"
    elif least is not None:
        span = f"{least:,} on"
    if argument.kind is Kind.TEXT and span:
        return f"a text of {span} characters"
    null = ", or null for the default" if argument.nullable else ""
    return f"{_KINDS[argument.kind]}{span and f' from {span}'}{null}"


def parse_timestamp(text: str) -> datetime:
    """A date with time and offset (RFC 3339); a date alone means midnight in UTC. Raises ValueError."""
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    # A plus sign that wasn't percent-encoded arrives as a space.
    offset = match[3].replace(" ", "+").upper().replace("Z", "+00:00")
    return datetime.fromisoformat(f"{match[1]}T{match[2]}{offset}")


def parse_duration(text: str) -> float:
    """Seconds: `90`, `1.5`, `90s`, `5m`, `2h`, `7d`, `1w`. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return (float(match[1]) if "." in match[1] else int(match[1])) * _UNITS_S[match[2]]


def parse_rate(text: str) -> dict[str, float]:
    """A number per time: `100/60s`, `5/1m`. Raises ValueError."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return {"n": int(match[1]), "per": parse_duration(match[2])}


def _check_type(*types: type) -> Callable[[Argument, Any], Any]:
    """Reads a value of these JSON types; `true` isn't a number. Raises TypeError, ValueError."""

    def read(argument: Argument, value: Any) -> Any:
        if type(value) not in types:
            raise TypeError(type(value))
        # guard: arguments-of-no-choice
        if argument.choices and value not in argument.choices:
            raise ValueError(value)
        size = len(value) if isinstance(value, str) else value
        if argument.minimum is not None and size < argument.minimum:
            raise ValueError(value)
        # guard: arguments-beyond-their-bounds
        if argument.maximum is not None and size > argument.maximum:
            raise ValueError(value)
        return value

    return read


def _duration(argument: Argument, value: Any) -> timedelta | float:
    """Within `settings` a duration stays a number."""
    seconds: float = _check_type(int, float)(argument, value)
    return seconds if argument.setting else timedelta(seconds=seconds)


_READERS: dict[Kind, Callable[[Argument, Any], Any]] = {
    Kind.TEXT: _check_type(str),
    Kind.COUNT: _check_type(int),
    Kind.INTEGER: _check_type(int),
    Kind.NUMBER: _check_type(int, float),
    Kind.DURATION: _duration,
    Kind.FLAG: _check_type(bool),
    Kind.TIMESTAMP: lambda _, value: parse_timestamp(value),
    Kind.RATE: _check_type(dict),
    Kind.OBJECT: _check_type(dict),
    Kind.JSON: lambda _, value: value,
}
