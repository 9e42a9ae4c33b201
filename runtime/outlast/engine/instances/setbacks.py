"""What fails of many things that one loop does: each is tried again at a time of its own, and told of once.

So none is late for another one that fails.
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
"""How long to wait before the next try of what took too long: others wait while it is tried."""


@dataclass(slots=True)
class _Setback:
    failures: int = 0
    until: float = 0.0
    told: str = ""


class Setbacks:
    """Names that fail, and until when each is left alone."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        """`tell` is called with a name and its error, where that is another one than before."""
        self._tell = tell
        self._known: dict[str, _Setback] = {}

    def note(self, name: str, error: Exception | None) -> None:
        """It has failed; without an error there was only nothing to do for this instance."""
        setback = self._known.setdefault(name, _Setback())
        setback.failures += 1
        # guard: what-is-slow-tried-as-often = RETRY
        pauses = SLOW if isinstance(error, TookTooLong) else RETRY
        # guard: no-pause-of-its-own = monotonic()
        setback.until = monotonic() + pauses.wait_s(setback.failures)
        # What somebody holds for a moment nobody needs to know of.
        if error is None or (isinstance(error, Locked) and setback.failures < HELD_TOLD_AT):
            return
        if (text := repr(error)) != setback.told:
            setback.told = text
            self._tell(name, text)

    def forget(self, name: str | None) -> None:
        """It has done well, or is gone."""
        self._known.pop(name or "", None)

    def keep(self, names: Collection[str]) -> None:
        """All others are gone."""
        for each in self._known.keys() - set(names):
            del self._known[each]

    def rests(self, name: str) -> bool:
        """Whether it is left alone now."""
        return name in self._known and monotonic() < self._known[name].until

    def first(self) -> str | None:
        """Of those that fail, who may be tried again, and has waited longest for it."""
        name = min(self._known, key=lambda each: self._known[each].until, default=None)
        return None if name is None or self.rests(name) else name

    def others(self, name: str | None) -> list[str]:
        """Who fails, but for that one."""
        return [each for each in self._known if each != name]

    def next_s(self) -> float:
        """In how many seconds the first of them may be tried again."""
        return max(
            0.0, min((each.until for each in self._known.values()), default=float("inf")) - monotonic()
        )
