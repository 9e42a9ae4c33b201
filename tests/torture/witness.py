"""The outside witness: an append-only file to which every step's body tells that it runs, before all else.

A line is one write, so it survives its process; the file is read as it grows.
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple


class Run(NamedTuple):
    """A step's body began: when (Unix seconds), in which process, with which token."""

    at_s: float
    pid: int
    token: str


class Witness:
    """All runs of all steps, by workflow and label."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "witness"
        self._path.touch()
        self._read = 0
        self.runs: defaultdict[tuple[str, str], list[Run]] = defaultdict(list)
        self.count = 0

    def listen(self) -> list[tuple[str, str]]:
        """Take in what was told since; the steps that were run not for the first time."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._read += whole
        # Bodies tell monotonic time, which no fault moves; commits are dated by the machine's wall clock.
        offset_s = time.clock_gettime(time.CLOCK_REALTIME) - time.monotonic()
        again = []
        for line in data[:whole].decode().splitlines():
            workflow_id, label, pid, began, token = line.split(" ")
            runs = self.runs[workflow_id, label]
            runs.append(Run(float(began) + offset_s, int(pid), token))
            self.count += 1
            if len(runs) > 1:
                again.append((workflow_id, label))
        return again
