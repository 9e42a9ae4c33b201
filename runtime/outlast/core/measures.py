"""Numbers that are measured in the database, not counted by instances."""

from __future__ import annotations

from typing import NamedTuple


class Measures(NamedTuple):
    """Numbers of the whole database. Counts have an upper limit: see `store/measures.sql`."""

    queues: list[tuple[str, float, float]]
    """Queue, how many may begin, and for how many seconds the oldest of them has been ready."""
    open: list[tuple[str, str, float]]
    """Function, state (running, due, waiting, enqueued), count."""
    held: list[tuple[str, str, float]]
    """Function, reason, count."""
    connections: list[tuple[str, float]]
    """State of a session, count."""
