"""How long a body runs before everybody else on the host's loop has a turn."""

from __future__ import annotations

from outlast.core.clock import monotonic

SLICE_S = 0.0005
"""After so long a replay lets everybody else on the host's loop run: a call of theirs takes some 20 turns."""

RESTLESS_MAX = 5
"""Full runs of its loop after which a body isn't waited for: it may be asking in a loop for what's next."""

PAUSE_STEP_S = 0.001
PAUSE_MAX_S = 0.05
"""So long it then waits for its next turn, each time a little longer, until something is handed to it."""


class Pace:
    """That of one body."""

    __slots__ = ("_restless", "_until", "cut_short")

    def __init__(self) -> None:
        self.cut_short = False
        """Whether others are to have a turn before it goes on."""
        self._until = 0.0
        self._restless = 0

    def begin_turn(self) -> None:
        """It runs from now on."""
        self._until = monotonic() + SLICE_S
        self.cut_short = False

    def turn_is_over(self) -> bool:
        """Whether it is the others' turn."""
        # guard: replay-holds-the-loop
        if monotonic() > self._until:
            self.cut_short = True
        return self.cut_short

    @property
    def waited_for(self) -> bool:
        """Whether it is to come to rest before anything else is handed to it."""
        return self._restless < RESTLESS_MAX

    def rested(self) -> None:
        """It came to rest, or was handed something."""
        self._restless = 0

    def went_on(self) -> float:
        """It ran through a whole turn and isn't at rest; how long it has to pause now.

        It asks again and again, as anyio does for what can't be cancelled yet.
        """
        self._restless += 1
        # guard: restless-bodies-never-pause
        if self._restless > RESTLESS_MAX:
            return min(PAUSE_MAX_S, PAUSE_STEP_S * (self._restless - RESTLESS_MAX))
        return 0.0
