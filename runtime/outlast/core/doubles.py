"""Numbers in JSON that no double holds: they would be read as infinity, which no JSON can say again."""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

_SUSPECT = re.compile(rb"\d{200}|[\d.][eE]\+?\d{3}")
"""In no number without one of these the digits and the exponent come to 309 places."""

_SHOWN_MAX = 20


def check_numbers(text: bytes) -> None:
    """Let JSON pass all of whose numbers a double holds. Raises ValueError that names another."""
    if _SUSPECT.search(text):
        json.loads(text, parse_float=_check, parse_int=_check, parse_constant=_refuse)


def _check(number: str) -> None:
    if math.isinf(float(number)):
        _refuse(number)


def _refuse(number: str) -> NoReturn:
    shown = number if len(number) <= _SHOWN_MAX else f"{number[:_SHOWN_MAX]}…"
    raise ValueError(f"the number {shown} is beyond what a double holds; send it as a text")
