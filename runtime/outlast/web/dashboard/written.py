"""JSON taken apart as it is written: no digit is changed, and nothing is parsed that nobody asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_SPACE = re.compile(r"[ \t\n\r]*")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_decoder = json.JSONDecoder()


class Recorded(str):
    """JSON as it was recorded, digit by digit."""


def members(text: str) -> Iterator[tuple[str, str]]:
    """The members of a JSON object: names, and values as they are written."""
    at = _after_space(text, 0) + 1
    while True:
        at = _after_space(text, at)
        if text[at] == "}":
            return
        name, at = _decoder.raw_decode(text, at)
        begin = _after_space(text, _after_space(text, at) + 1)
        at = _end_of(text, begin)
        yield name, text[begin:at]
        at = _after_space(text, at)
        if text[at] == ",":
            at += 1


def items(text: str) -> Iterator[str]:
    """The items of a JSON array, as they are written."""
    at = _after_space(text, 0) + 1
    while True:
        at = _after_space(text, at)
        if text[at] == "]":
            return
        begin, at = at, _end_of(text, at)
        yield text[begin:at]
        at = _after_space(text, at)
        if text[at] == ",":
            at += 1


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _end_of(text: str, begin: int) -> int:
    """Where the value ends that begins there."""
    try:
        return _decoder.raw_decode(text, begin)[1]
    except RecursionError:  # nothing that is nested so deeply is parsed here
        depth = 0
        for found in _TOKEN.finditer(text, begin):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
            if depth == 0:
                return found.end()
        raise
