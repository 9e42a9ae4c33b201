"""How many bytes may be in memory at once: of the instance, and of each caller."""

from __future__ import annotations

from enum import Enum


class Full(Enum):
    """Whose budget is used up."""

    CALLERS = "caller"
    INSTANCES = "instance"


class ByteBudget:
    """Counts bytes. Something that comes alone may have any size: it would never fit otherwise."""

    def __init__(self, bytes_max: int, caller_bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.caller_bytes_max = caller_bytes_max
        self._used = 0
        self._of: dict[str, int] = {}

    def full(self, caller: str | None, held: int, more: int) -> Full | None:
        """Whose budget has no room for `more` bytes of a call that holds `held`.

        Without a caller only the instance's limit counts.
        """
        if caller is not None:
            used = self._of.get(caller, 0)
            # guard: bytes-of-a-caller
            if used > held and used + more > self.caller_bytes_max:
                return Full.CALLERS
        # guard: bytes-of-an-instance
        if self._used > held and self._used + more > self.bytes_max:
            return Full.INSTANCES
        return None

    def take(self, caller: str | None, held: int, more: int) -> Full | None:
        """Take `more` bytes, or nothing: then whose budget is used up."""
        full = self.full(caller, held, more)
        if full is None:
            self._used += more
            if caller is not None:
                self._of[caller] = self._of.get(caller, 0) + more
        return full

    def give_back(self, caller: str | None, held: int) -> None:
        """Give back bytes that are no longer in memory."""
        self._used -= held
        if caller is None:
            return
        if left := self._of.get(caller, 0) - held:
            self._of[caller] = left
        else:
            self._of.pop(caller, None)
