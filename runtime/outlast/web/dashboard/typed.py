"""Values of arguments as people type them into a field of a form: `90s`, `100/60s`, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from outlast.core.resources import Kind
from outlast.core.values import parse_duration, parse_rate
from outlast.core.verbs import Argument


class _Typed(NamedTuple):
    """How a kind is typed: what reads it (raises ValueError), what is wanted in words, and an example."""

    read: Callable[[str], Any]
    wanted: str
    example: str = ""


def _rate(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else parse_rate(text)


_TEXT = _Typed(str, "a text")
_WHOLE = _Typed(int, "a whole number")
_KINDS = {
    Kind.COUNT: _WHOLE,
    Kind.INTEGER: _WHOLE,
    Kind.NUMBER: _Typed(float, "a number"),
    Kind.DURATION: _Typed(parse_duration, "seconds, or 5m, 2h, 7d", "90s, 5m, 2h"),
    Kind.FLAG: _Typed(lambda text: text == "true", "true or false"),
    Kind.RATE: _Typed(_rate, "how many in which time: 100/60s", "100/60s"),
    Kind.TIMESTAMP: _Typed(str, "a date with time and offset", "2026-11-29T09:00:00Z"),
    Kind.OBJECT: _Typed(json.loads, 'an object, as JSON: {"customer": "42"}', '{"customer": "42"}'),
    Kind.JSON: _Typed(json.loads, "JSON: a text stands in double quotes", "JSON"),
}


def read_typed(argument: Argument, text: str) -> Any:
    """The value as JSON has it, its bounds not checked yet. Raises ValueError, which says what to give."""
    if argument.nullable and text == "null":
        return None
    kind = _KINDS.get(argument.kind, _TEXT)
    try:
        return kind.read(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{argument.name} can't be {text[:100]!r}; give {kind.wanted}") from None


def typed_example(argument: Argument) -> str:
    """What a field shows while it is empty; empty where its words say enough."""
    return _KINDS.get(argument.kind, _TEXT).example
