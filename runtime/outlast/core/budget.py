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
"""While no more than this share of the budget is in use, even what exceeds the budget is let in."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes of JSON that may be in memory at once. `bytes_max` is given in bytes of memory."""

    bytes_max: int

    @property
    def json_bytes_max(self) -> int:
        """What fits into it as JSON."""
        return self.bytes_max // FACTOR

    def left(self, used: int) -> int:
        """How many bytes of JSON still fit while `used` are in use."""
        return max(0, self.json_bytes_max - used)

    def idle(self, used: int) -> bool:
        """Whether so little is in use that something of any size is let in: it would never fit otherwise."""
        return used <= self.json_bytes_max * SMALL

    def fits(self, used: int, more: int) -> bool:
        """Whether `more` bytes are let in while `used` are in use."""
        return used + more <= self.json_bytes_max or self.idle(used)


def weigh(*texts: str | None) -> int:
    """The memory that JSON takes when it is read, as bytes of usual JSON.

    Dense `[[],[],…` takes far more than its text. Python keeps a text at the width of its widest character.
    SQL counts alike: outlast.load_bytes_of.
    """
    return sum(map(_weigh, filter(None, texts)))


def _weigh(text: str) -> int:
    size = len(text) if text.isascii() else getsizeof(text)
    return size + count_structure(text) * (VALUE_BYTES // FACTOR)


class Taken(NamedTuple):
    """Bytes of workflows here: of those that may end by themselves, of those that only wait for others."""

    active: int
    waiting: int
