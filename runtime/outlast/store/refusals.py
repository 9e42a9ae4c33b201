"""Rows that refused what was to be done to them: they are left out for a while, ever longer."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.clock import monotonic

REFUSALS_MAX = 1_000
"""So many are known: the ones that refused last."""

PAUSE_S, PAUSE_MAX_S = 1.0, 300.0


class Refusals:
    """Workflows whose rows a trigger or a constraint of the project's keeps as they are."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}
        """Until when each is left out, and for how long in all."""

    def now(self) -> list[str]:
        """Who is to be left out."""
        now = monotonic()
        return [each for each, (until, _) in self._known.items() if now < until]

    def note(self, refused: Iterable[str]) -> None:
        """These have refused."""
        for each in refused:
            _, pause_s = self._known.pop(each, (0.0, PAUSE_S / 2))
            pause_s = min(PAUSE_MAX_S, 2 * pause_s)
            self._known[each] = monotonic() + pause_s, pause_s
        for each in list(self._known)[:-REFUSALS_MAX]:
            del self._known[each]
