"""What an execution drives: a body, on a loop or in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from outlast.core.stops import Stopped


class Driven(Protocol):
    """A body as its execution drives it."""

    @property
    def over(self) -> bool:
        """Whether it has returned or raised."""

    def run(self, next_completion: Callable[[], bool], waited_for: bool) -> bool | None:
        """Let it go on; whether it is at rest. None: it will call or end.

        At rest it asks `next_completion` to hand over another, which tells whether it did; where it isn't
        waited for, it asks at once.
        """

    def interrupt(self, reason: Stopped) -> None:
        """End all of it that doesn't undo. It is called while it is handed something."""

    def place(self, *, calling: bool) -> str | None:
        """Where its code is (file:line): at the call that it makes now (`calling`), or where it waits."""

    def unwind(self) -> None:
        """End it: the execution was stopped."""
