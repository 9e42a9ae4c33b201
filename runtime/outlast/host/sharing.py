"""What the workers of a host share: memory for counts and log lines, and the port of metrics."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outlast.core.lines import Line
from outlast.core.observations import Observer
from outlast.observe.kept_lines import KeptLines, read_lines
from outlast.observe.metrics.exposition import Exposition, Read
from outlast.observe.metrics.tallies import Numbers, Tallies

if TYPE_CHECKING:
    from outlast.web.management.metrics import Scrape


@dataclass(frozen=True, slots=True)
class Shared:
    """Made before workers are forked.

    Each worker has a slot; its replacement continues with the same slot.
    """

    numbers: tuple[Numbers, ...]
    """Where each worker counts; empty if nothing is counted."""
    lines: tuple[KeptLines, ...]
    listener: socket.socket | None = None

    @classmethod
    def by(cls, workers: int, listener: socket.socket | None = None, *, counts: bool = True) -> Shared:
        """Share between `workers` processes; 0 means one process without a parent."""
        slots = range(max(1, workers))
        return cls(tuple(Numbers() for _ in slots if counts), tuple(KeptLines() for _ in slots), listener)

    def part(self, slot: int) -> Part:
        """The part of the process in this slot."""
        tallies = Tallies(self.numbers[slot]) if self.numbers else None
        siblings = tuple(each for place, each in enumerate(self.numbers) if place != slot)
        return Part(tallies, siblings, self.lines[slot], self.lines, self.listener, slot == 0)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one process. It keeps its own lines in `lines`."""

    tallies: Tallies | None
    siblings: tuple[Numbers, ...]
    lines: KeptLines
    all_lines: tuple[KeptLines, ...]
    listener: socket.socket | None
    is_first: bool = True
    """Whether it does what only one of the workers does for all."""

    def listeners(self) -> list[Observer]:
        """The observers that count."""
        if self.tallies is None:
            return []
        from outlast.observe.metrics.counting import Counting

        return [Counting(self.tallies)]

    def scrape(self, read: Read, version: str) -> Scrape | None:
        """Return a function that reports all counts; None if nothing is counted. `read` asks the database."""
        if self.tallies is None:
            return None
        return Exposition(self.tallies, read, version, self.siblings).text

    def read_lines(self, workflow_id: str) -> Sequence[Line]:
        """See core.lines.ReadLines."""
        return read_lines(self.all_lines, workflow_id)
