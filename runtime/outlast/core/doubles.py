"""Numbers in JSON that no double holds: they would be read as infinity, which no JSON can say again."""

from __future__ import annotations

import json
import math
from typing import NoReturn

_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_SUSPECT = (b"0" * 200, b"0e000", b"0e+000")
"""All digits alike, no number without one of these has 309 places with its exponent."""

_SHOWN_MAX = 20


def check_numbers(text: bytes) -> None:
    """Let JSON pass all of whose numbers a double holds. Raises ValueError that names another."""
    alike = text.translate(_ALIKE)  # ten times as fast as a regular expression, on any text
    if any(each in alike for each in _SUSPECT):
        json.loads(text, parse_float=_check, parse_int=_check, parse_constant=_refuse)


def _check(number: str) -> None:
    # guard: infinite-input
    if math.isinf(float(number)):
        _refuse(number)


def _refuse(number: str) -> NoReturn:
    shown = number if len(number) <= _SHOWN_MAX else f"{number[:_SHOWN_MAX]}…"
    raise ValueError(f"the number {shown} is beyond what a double holds; send it as a text")
