"""Rows that refused what was to be done to them: they are left out for a while, ever longer."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.clock import monotonic

REFUSALS_MAX = 1_000
"""So many are known: the ones that refused last."""

PAUSE_S, PAUSE_MAX_S = 1.0, 300.0
FORGOTTEN_AFTER_S = 60.0
"""Who was left out no more for so long, and has not refused since, has done well."""


class Refusals:
    """Workflows whose rows a trigger or a constraint of the project's keeps as they are."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}
        """Until when each is left out, and for how long in all."""
        self._news: list[str] = []

    def now(self) -> list[str]:
        """Who is to be left out."""
        now = monotonic()
        return [each for each, (until, _) in self._known.items() if now < until]

    def note(self, refused: Iterable[str]) -> None:
        """These have refused."""
        now = monotonic()
        for each in refused:
            # guard: refusals-never-forgotten
            if each in self._known and now > self._known[each][0] + FORGOTTEN_AFTER_S:
                del self._known[each]
            if each not in self._known:
                self._news.append(each)
            _, pause_s = self._known.pop(each, (0.0, PAUSE_S / 2))
            pause_s = min(PAUSE_MAX_S, 2 * pause_s)
            self._known[each] = now + pause_s, pause_s
        for each in list(self._known)[:-REFUSALS_MAX]:
            del self._known[each]

    def news(self) -> list[str]:
        """Who has refused since the last look, for the first time."""
        news, self._news = self._news[-REFUSALS_MAX:], []
        return news
