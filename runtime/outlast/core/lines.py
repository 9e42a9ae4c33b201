"""The last lines that workflows logged and printed on an instance, for display only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

LINES_MAX = 100
"""How many lines of a workflow are kept."""

CHARS_MAX = 2_000
"""Characters of a line that are kept."""


class Line(NamedTuple):
    """A line. `logger` is `stdout` or `stderr` if it was printed. Lines of a body have no step."""

    number: int
    at_s: float
    level: str
    logger: str
    step_id: str | None
    step: str | None
    attempt: int | None
    message: str

    @property
    def at(self) -> datetime:
        """When it was written."""
        return datetime.fromtimestamp(self.at_s, UTC)


ReadLines = Callable[[str], Sequence[Line]]
"""The last lines of a workflow, by its id, in order. Takes some milliseconds; any thread may call it."""


def no_lines(_: str) -> Sequence[Line]:
    """No lines: for hosts that keep none."""
    return ()
