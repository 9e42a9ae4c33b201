"""What running steps emit: told to those who look now, never recorded."""

from __future__ import annotations

from typing import NamedTuple

EMITTED_BYTES_MAX = 64 * 1024
"""Of JSON, for one value."""


class Emission(NamedTuple):
    """One value, and what said it.

    Of one step the newest (`epoch`, `attempt`) counts: what an earlier one said may be said again.
    """

    step_id: str
    name: str
    """Of the step."""
    epoch: int
    """Rises when the workflow is taken over from an instance that was lost."""
    attempt: int
    number: int
    """From 1 in each attempt, without gaps."""
    value: str
    """JSON text."""
    after: int
    """The completion order of the last record that the workflow had then."""
