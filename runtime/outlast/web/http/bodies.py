"""How large one body may be."""

from __future__ import annotations

from typing import NamedTuple


class BodyLimits(NamedTuple):
    """Limits of a body: by default, for functions that ask for more, and before it is verified."""

    bytes_max: int
    asked_bytes_max: int
    unverified_bytes_max: int

    def limit_of(self, asked: int | None, *, verified: bool = True) -> int:
        """The limit of a function that asks for `asked` bytes, or for none in particular."""
        usual = self.bytes_max if verified else min(self.bytes_max, self.unverified_bytes_max)
        return usual if asked is None else min(asked, max(self.bytes_max, self.asked_bytes_max))
