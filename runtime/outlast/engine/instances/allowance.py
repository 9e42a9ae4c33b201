"""What may be loaded now: by what the workflows here take, those that only wait for others too."""

from __future__ import annotations

from collections.abc import Callable

from outlast.core.budget import SMALL_BYTES, Budget, Taken
from outlast.core.claims import ClaimedWorkflow, Space
from outlast.core.clock import monotonic

LONE_EVERY_S = 10.0
"""Those that wait may wait for what isn't loaded yet. Where they hold all memory one more is so often."""


class Allowance:
    """Who waits for others is in nobody's way that it may wait for, and keeps large newcomers out.

    A newcomer is what no workflow has started: it would wait as well, and so the next one, without end.
    """

    def __init__(self, budget: Budget, taken: Callable[[], Taken]) -> None:
        self._budget = budget
        self.taken = taken
        self._lone_at = 0.0

    def used(self, taken: Taken, load_bytes: int = 0) -> int:
        """What counts as used for a newcomer that takes so much."""
        return taken.active + (taken.waiting if load_bytes > SMALL_BYTES else 0)

    def space(self, taken: Taken) -> Space:
        """What may come yet."""
        return Space(self._budget.left(taken.active), self._budget.idle(taken.active))

    def space_for_large(self, taken: Taken) -> Space:
        """The same for large newcomers."""
        lone = not self.held(taken) or monotonic() >= self._lone_at
        left = self._budget.left(taken.active + taken.waiting)
        return Space(left, lone and self._budget.idle(taken.active))

    def held(self, taken: Taken) -> bool:
        """Whether those that wait hold all there is."""
        return taken.waiting > self._budget.json_bytes_max

    def fits(self, taken: Taken, workflow: ClaimedWorkflow) -> bool:
        """Whether it may come, as large as it is known to be."""
        large = _is_large(workflow.load_bytes, workflow.parent)
        left, alone = (self.space_for_large if large else self.space)(taken)
        return workflow.load_bytes <= left or alone

    def took(self, workflow: ClaimedWorkflow) -> None:
        """It has come."""
        if _is_large(workflow.load_bytes, workflow.parent):
            self._lone_at = monotonic() + LONE_EVERY_S


def _is_large(load_bytes: int, parent: str | None) -> bool:
    return parent is None and load_bytes > SMALL_BYTES
