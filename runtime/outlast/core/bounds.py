"""Bounds of JSON: bytes of what is recorded, number of values of what comes in, and numbers that fit a
double.

A row is written in one piece while the whole instance waits. `[[],[],…` takes thirty times its length in
memory when it is read. A number that doesn't fit a double would be read as infinity, which JSON can't
express.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn

from outlast.core.errors import NotSerializable, TooManyValues

OUTPUT_BYTES_MAX = 16 * 1024 * 1024
"""Enough for the largest body in base64, and some more."""

_output_bytes_max = OUTPUT_BYTES_MAX

VALUES_MAX = 100_000
_STRUCTURE = (b"[", b"{", b",", b":")
_values_max = VALUES_MAX

_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_SUSPECT = (b"0" * 200, b"0e000", b"0e+000")
"""With all digits mapped to 0, a number of 309 places or more contains one of these."""

_SHOWN_MAX = 20


def limit_outputs(bytes_max: int) -> None:
    """Set the bound, once, before anything else runs."""
    global _output_bytes_max
    _output_bytes_max = bytes_max


def check_size(size: int, of: str) -> None:
    """Raise NotSerializable, with the remedy, if `size` bytes of JSON are too many. `of` names them."""
    if size > _output_bytes_max:
        raise NotSerializable(
            f"{of} is {size} bytes of JSON, and at most {_output_bytes_max} are recorded: keep it elsewhere "
            "(in Storage, in a table) and return where it is, or raise OUTLAST_OUTPUT_BYTES_MAX"
        )


def limit_values(values_max: int) -> None:
    """Set the bound, once, before anything else runs."""
    global _values_max
    _values_max = values_max


def check_values(text: bytes) -> int:
    """Estimate how many values the JSON has. Raises TooManyValues.

    Counting brackets, commas and colons is cheap, and nothing is parsed. Those within strings are only
    subtracted if there are too many.
    """
    count = _count(text)
    if count > _values_max:
        count = _count_outside_texts(text)
    # guard: unbounded-unfolding
    if count > _values_max:
        raise TooManyValues(
            f"the body has more than {_values_max} values (brackets, commas and colons of its JSON are "
            "counted): send less at once, or one text that is read by parts"
        )
    return count


def count_structure(text: str) -> int:
    """The number of brackets, commas and colons, also within strings: at least the number of values."""
    return sum(map(text.count, "[{,:"))


def _count(text: bytes) -> int:
    return sum(map(text.count, _STRUCTURE))


def _count_outside_texts(text: bytes) -> int:
    """The same number without those in strings. Each string counts as a name or a value."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') > 4 * (_values_max + 1):
        return _values_max + 1
    return sum(map(_count, text.split(b'"')[::2]))


def check_numbers(text: bytes) -> None:
    """Raise ValueError for JSON with a number that doesn't fit a double; the text names it."""
    alike = text.translate(_ALIKE)  # ten times as fast as a regular expression, on any text
    if any(map(alike.__contains__, _SUSPECT)):
        json.loads(text, parse_float=_check, parse_int=_check, parse_constant=_refuse)


def _check(number: str) -> None:
    # guard: infinite-input
    if math.isinf(float(number)):
        _refuse(number)


def _refuse(number: str) -> NoReturn:
    shown = number if len(number) <= _SHOWN_MAX else f"{number[:_SHOWN_MAX]}…"
    raise ValueError(f"the number {shown} is beyond what a double holds; send it as a text")
