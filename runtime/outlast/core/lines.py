"""What workflows have logged and printed on an instance of late, as it is shown. Nothing depends on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

LINES_MAX = 100
"""So many lines of a workflow are shown, the last ones."""

CHARS_MAX = 2_000
"""Of a line."""


class Line(NamedTuple):
    """A line. `logger` is `stdout` or `stderr` where it was printed. A body's have no step."""

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
        """When it came."""
        return datetime.fromtimestamp(self.at_s, UTC)


ReadLines = Callable[[str], Sequence[Line]]
"""The last lines of a workflow, by its id, in their order. It takes some milliseconds, in any thread."""


def no_lines(_: str) -> Sequence[Line]:
    """Where nothing is kept."""
    return ()
