"""Failures in a loop that does many things: each is tried again at its own time, and reported once.

So no thing is late because another one fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from outlast.core.background import RETRY
from outlast.core.claims import HELD_TOLD_AT
from outlast.core.clock import monotonic
from outlast.core.ports import Locked, TookTooLong
from outlast.core.retry import RetryPolicy

SLOW = RetryPolicy(backoff_s=10.0, backoff_max_s=300.0)
"""The pauses before the next try of what took too long: others wait while it is tried."""


@dataclass(slots=True)
class _Setback:
    failures: int = 0
    until: float = 0.0
    told: str = ""


class Setbacks:
    """The names that fail, and until when each is left alone."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        """`tell` is called with a name and its error, if the error differs from the last one."""
        self._tell = tell
        self._known: dict[str, _Setback] = {}

    def note(self, name: str, error: Exception | None) -> None:
        """The name has failed. Without an error, there was only nothing to do for this instance."""
        setback = self._known.setdefault(name, _Setback())
        setback.failures += 1
        # guard: what-is-slow-tried-as-often = RETRY
        pauses = SLOW if isinstance(error, TookTooLong) else RETRY
        # guard: no-pause-of-its-own = monotonic()
        setback.until = monotonic() + pauses.wait_s(setback.failures)
        # A lock that another transaction holds for a moment isn't reported.
        if error is None or (isinstance(error, Locked) and setback.failures < HELD_TOLD_AT):
            return
        if (text := repr(error)) != setback.told:
            setback.told = text
            self._tell(name, text)

    def forget(self, name: str | None) -> None:
        """The name has succeeded, or no longer exists."""
        self._known.pop(name or "", None)

    def keep(self, names: Collection[str]) -> None:
        """Forget all other names."""
        for each in self._known.keys() - set(names):
            del self._known[each]

    def rests(self, name: str) -> bool:
        """Whether the name is left alone now."""
        return name in self._known and monotonic() < self._known[name].until

    def first(self) -> str | None:
        """The failing name that may be tried again and has waited longest for it; None without one."""
        name = min(self._known, key=lambda each: self._known[each].until, default=None)
        return None if name is None or self.rests(name) else name

    def others(self, name: str | None) -> list[str]:
        """All failing names except this one."""
        return [each for each in self._known if each != name]

    def next_s(self) -> float:
        """In how many seconds the first of them may be tried again."""
        return max(
            0.0, min((each.until for each in self._known.values()), default=float("inf")) - monotonic()
        )
