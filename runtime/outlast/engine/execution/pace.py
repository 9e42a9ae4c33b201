"""How long a body runs before all others on the host's loop have a turn."""

from __future__ import annotations

from outlast.core.clock import monotonic

SLICE_S = 0.0005
"""After this time a replay lets others on the host's loop run. Their calls take about 20 turns each."""

RESTLESS_MAX = 5
"""After so many full turns the engine no longer waits for a body to rest: it may be polling in a loop."""

PAUSE_STEP_S = 0.001
PAUSE_MAX_S = 0.05
"""Such a body then pauses before each turn, each time a little longer, until it is handed something."""


class Pace:
    """The pace of one body."""

    __slots__ = ("_restless", "_until", "cut_short")

    def __init__(self) -> None:
        self.cut_short = False
        """Whether others must have a turn before the body goes on."""
        self._until = 0.0
        self._restless = 0

    def begin_turn(self) -> None:
        """The body's turn begins."""
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
        """Whether the body must come to rest before it is handed the next completion."""
        return self._restless < RESTLESS_MAX

    def rested(self) -> None:
        """The body came to rest, or was handed something."""
        self._restless = 0

    def went_on(self) -> float:
        """The body used a whole turn and isn't at rest. Returns how long it must pause now.

        It polls, as anyio does for a task that can't be cancelled yet.
        """
        self._restless += 1
        # guard: restless-bodies-never-pause
        if self._restless > RESTLESS_MAX:
            return min(PAUSE_MAX_S, PAUSE_STEP_S * (self._restless - RESTLESS_MAX))
        return 0.0
