"""When to look how workflows that run elsewhere stand: soon at first, less often the longer a wait lasts."""

from __future__ import annotations

from collections.abc import Iterable

LOOK_MIN_S = 0.02
LOOK_MAX_S = 2.0
LATE_MAX = 1 / 8
"""An end is seen late by at most this part of what the wait has lasted, within the two bounds above."""


class Looks:
    """When each workflow is to be looked at. Times are `monotonic` ones.

    Looks are put together: one that is due takes along all that have waited half of their pause. So what has
    been waited for long is soon looked at by one query, however the waits began.
    """

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._looked: dict[str, float] = {}

    def begin(self, workflow_id: str, now: float) -> None:
        """Somebody begins to wait for it, or it has just left this instance: it is due at once."""
        self._began[workflow_id] = now
        self._looked.pop(workflow_id, None)

    def again(self, workflow_ids: Iterable[str]) -> None:
        """The look at these brought nothing: they are due at once."""
        for each in workflow_ids:
            self._looked.pop(each, None)

    def forget(self, workflow_id: str) -> None:
        """Nobody waits for it any more."""
        self._began.pop(workflow_id, None)
        self._looked.pop(workflow_id, None)

    def take_due(self, workflow_ids: Iterable[str], now: float) -> list[str]:
        """Those that this look is for. They count as looked at now."""
        due = [each for each in workflow_ids if self._due_at(each, 0.5) <= now]
        self._looked |= dict.fromkeys(due, now)
        return due

    def pause_s(self, workflow_ids: Iterable[str], now: float) -> float:
        """How long until the first of these, of which there is one, is due."""
        return max(0.0, min(self._due_at(each, 1.0) for each in workflow_ids) - now)

    def _due_at(self, workflow_id: str, part: float) -> float:
        """When it is due after that part of its pause."""
        looked = self._looked.get(workflow_id)
        if looked is None:
            return 0.0
        lasted_s = looked - self._began[workflow_id]
        return looked + part * min(LOOK_MAX_S, max(LOOK_MIN_S, lasted_s * LATE_MAX))
