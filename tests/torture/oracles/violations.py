"""Violations as they are found: counted all, kept and printed only so many."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass

_PRINTED_OF_A_KIND = 5
_KEPT_OF_A_KIND = 50
_PRINTED_CHARS = 1_200


@dataclass(frozen=True)
class Violation:
    """What must not be, of which workflow (or host), and what was seen."""

    what: str
    subject: str
    seen: str


class Violations:
    """All of them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.kept: list[Violation] = []
        self._known: set[tuple[str, str]] = set()

    def add(self, what: str, subject: str, seen: str) -> None:
        """One more; the same of the same subject counts once."""
        if (what, subject) in self._known:
            return
        self._known.add((what, subject))
        self.counts[what] += 1
        if self.counts[what] <= _KEPT_OF_A_KIND:
            self.kept.append(Violation(what, subject, seen))
        if self.counts[what] <= _PRINTED_OF_A_KIND:
            say(f"VIOLATION {what}: {subject}\n    {seen[:_PRINTED_CHARS]}")

    def __bool__(self) -> bool:
        return bool(self.counts)


def say(text: str) -> None:
    """Tell whoever runs this, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
