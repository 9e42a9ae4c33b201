"""Workflows whose rows refused a change: they are left out for a while, longer each time."""

from __future__ import annotations

from collections.abc import Iterable

from outlast.core.clock import monotonic

REFUSALS_MAX = 1_000
"""So many are remembered: those that refused last."""

PAUSE_S, PAUSE_MAX_S = 1.0, 300.0
FORGOTTEN_AFTER_S = 60.0
"""A workflow that has not refused for this long, after its pause, is forgotten."""


class Refusals:
    """Workflows whose rows can't be changed because of a trigger or a constraint of the project."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}
        """Until when each is left out, and how long its last pause was."""
        self._news: list[str] = []

    def now(self) -> list[str]:
        """The workflows to leave out now."""
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
        """The workflows that have refused for the first time since the last call."""
        news, self._news = self._news[-REFUSALS_MAX:], []
        return news
