"""What a call may add to its input: where and how long it waits, and its attributes."""

from __future__ import annotations

from typing import Any, NamedTuple

from outlast.core.queues import DELAY_MAX_S, PRIORITY_MAX


class Placement(NamedTuple):
    """`queue` replaces the function's own, if given (an sdk Queue)."""

    queue: Any = None
    priority: int = 0
    """Seconds of head start within the queue."""
    delay_s: float = 0.0
    attributes: str | None = None
    """Attributes in JSON, as core.attributes makes it."""


USUAL = Placement()


def check_priority(priority: Any) -> int:
    """Raise ValueError for an invalid priority."""
    if type(priority) is not int or not -PRIORITY_MAX <= priority <= PRIORITY_MAX:
        raise ValueError(
            f"a priority is a whole number from -{PRIORITY_MAX} to {PRIORITY_MAX}: seconds of head start "
            f"within its queue, not {priority!r:.100}"
        )
    return priority


def check_delay(delay_s: float) -> float:
    """Raise ValueError for an invalid delay."""
    if not 0 <= delay_s <= DELAY_MAX_S:
        raise ValueError(f"a delay is between 0 and {DELAY_MAX_S:.0f} seconds (ten years), not {delay_s!r}")
    return delay_s
