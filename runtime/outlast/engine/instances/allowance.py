"""What may be loaded now, given the memory of the workflows here, also of those that wait for others."""

from __future__ import annotations

from collections.abc import Callable

from outlast.core.budget import SMALL_BYTES, Budget, Taken
from outlast.core.claims import ClaimedWorkflow, Space
from outlast.core.clock import monotonic

LONE_EVERY_S = 10.0
"""If waiting workflows use all memory, one more is loaded this often: they may wait for it."""


class Allowance:
    """Workflows that wait for others keep out only large newcomers, which they don't wait for.

    A newcomer is a workflow without a parent. It would wait as well, and so would the next one, without end.
    """

    def __init__(self, budget: Budget, taken: Callable[[], Taken]) -> None:
        self._budget = budget
        self.taken = taken
        self._lone_at = 0.0

    def used(self, taken: Taken, load_bytes: int = 0) -> int:
        """The memory that counts as used for a newcomer of this size."""
        return taken.active + (taken.waiting if load_bytes > SMALL_BYTES else 0)

    def space(self, taken: Taken) -> Space:
        """The room for workflows that may be loaded now."""
        return Space(self._budget.left(taken.active), self._budget.idle(taken.active))

    def space_for_large(self, taken: Taken) -> Space:
        """The room for large newcomers."""
        lone = not self.held(taken) or monotonic() >= self._lone_at
        left = self._budget.left(taken.active + taken.waiting)
        return Space(left, lone and self._budget.idle(taken.active))

    def held(self, taken: Taken) -> bool:
        """Whether the workflows that wait use all memory."""
        return taken.waiting > self._budget.json_bytes_max

    def fits(self, taken: Taken, workflow: ClaimedWorkflow) -> bool:
        """Whether the workflow may be loaded, by its size as far as it is known."""
        large = _is_large(workflow.load_bytes, workflow.parent)
        left, alone = (self.space_for_large if large else self.space)(taken)
        return workflow.load_bytes <= left or alone

    def took(self, workflow: ClaimedWorkflow) -> None:
        """The workflow was loaded."""
        if _is_large(workflow.load_bytes, workflow.parent):
            self._lone_at = monotonic() + LONE_EVERY_S


def _is_large(load_bytes: int, parent: str | None) -> bool:
    return parent is None and load_bytes > SMALL_BYTES
