"""How much memory the values of workflows may take in one instance."""

from __future__ import annotations

from dataclasses import dataclass
from sys import getsizeof
from typing import NamedTuple

from outlast.core.bounds import count_structure

FACTOR = 4
"""An object takes about this many times the bytes of its JSON in memory, the JSON text included."""

VALUE_BYTES = 100
"""Bytes in memory for each bracket, comma or colon of JSON, besides its text. Measured: 37 to 139."""

SMALL_BYTES = 64 * 1024
"""A workflow with no more JSON than this is small: a thousand of them do no harm."""

SMALL = 0.1
"""While at most this share of the budget is in use, a value is let in that is larger than the budget."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit of the bytes of JSON in memory. `bytes_max` is in bytes of memory."""

    bytes_max: int

    @property
    def json_bytes_max(self) -> int:
        """The limit in bytes of JSON."""
        return self.bytes_max // FACTOR

    def left(self, used: int) -> int:
        """How many bytes of JSON still fit while `used` are in use."""
        return max(0, self.json_bytes_max - used)

    def idle(self, used: int) -> bool:
        """Whether so little is in use that a value of any size is let in. It would never fit otherwise."""
        return used <= self.json_bytes_max * SMALL

    def fits(self, used: int, more: int) -> bool:
        """Whether `more` bytes are let in while `used` are in use."""
        return used + more <= self.json_bytes_max or self.idle(used)


def weigh(*texts: str | None) -> int:
    """The memory that JSON takes when it is read, as bytes of typical JSON.

    Dense JSON such as `[[],[],…` takes far more memory than its text. Python stores a text at the width of
    its widest character. outlast.load_bytes_of counts alike in SQL.
    """
    return sum(map(_weigh, filter(None, texts)))


def _weigh(text: str) -> int:
    size = len(text) if text.isascii() else getsizeof(text)
    return size + count_structure(text) * (VALUE_BYTES // FACTOR)


class Taken(NamedTuple):
    """Bytes that workflows take here: `active` ones may end by themselves, `waiting` ones wait for others."""

    active: int
    waiting: int
