"""Metrics of a host: where its processes count, and who tells of all of them."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from outlast.observe.metrics.exposition import Exposition, Read
from outlast.observe.metrics.tallies import Shared, Tallies


@dataclass(frozen=True, slots=True)
class Place:
    """Where each worker counts, by its slot, and the port for scrapes. Made before they are forked."""

    shared: tuple[Shared, ...]
    listener: socket.socket | None = None

    @classmethod
    def of(cls, workers: int, listener: socket.socket | None) -> Place:
        """For so many workers; 0 is one process without others."""
        return cls(tuple(Shared() for _ in range(max(1, workers))), listener)

    def counted(self, slot: int) -> Counted:
        """What a process counts into. A worker that replaces another goes on in its slot."""
        siblings = tuple(each for place, each in enumerate(self.shared) if place != slot)
        return Counted(Tallies(self.shared[slot]), siblings, self.listener)


@dataclass(frozen=True, slots=True)
class Counted:
    """What one process has counted, and where its siblings count."""

    tallies: Tallies
    siblings: tuple[Shared, ...]
    listener: socket.socket | None

    def exposition(self, read: Read, version: str) -> Exposition:
        """All of it, for scrapes."""
        return Exposition(self.tallies, read, version, self.siblings)
