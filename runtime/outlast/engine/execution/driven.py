"""The protocol of a body as its execution drives it, on a loop or in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from outlast.core.stops import Stopped


class Driven(Protocol):
    """A body that an execution drives."""

    @property
    def over(self) -> bool:
        """Whether the body has returned or raised."""

    def run(self, next_completion: Callable[[], bool], waited_for: bool) -> bool | None:
        """Let the body run. Returns whether it is at rest; None if it will call or end by itself.

        At rest the body calls `next_completion`, which hands over another completion and says whether it did.
        If the body isn't waited for, it calls `next_completion` at once.
        """

    def interrupt(self, reason: Stopped) -> None:
        """End all tasks of the body that don't undo. Called while the body is handed a completion."""

    def place(self, *, calling: bool) -> str | None:
        """The place in its code (file:line): of the call that it makes now (`calling`), or where it waits."""

    def unwind(self) -> None:
        """End the body, because the execution was stopped."""
