"""What is measured in the database rather than counted by instances."""

from __future__ import annotations

from typing import NamedTuple


class Measures(NamedTuple):
    """Numbers of the whole database at a moment. Counts stop somewhere: see `store/measures.sql`."""

    queues: list[tuple[str, float, float]]
    """Name, how many are ready in it, and for how many seconds the one that has been longest."""
    open: list[tuple[str, str, float]]
    """Function, state (running, due, waiting, enqueued), how many."""
    held: list[tuple[str, str, float]]
    """Function, reason, how many."""
    connections: list[tuple[str, float]]
    """State of a session, how many."""
