"""Memory of processes, as Linux accounts it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Sums over some processes, in MiB. PSS divides shared pages among those who share them."""

    rss_mb: float
    pss_mb: float
    processes: int


def memory_of(pids: Iterable[int]) -> Memory:
    """Read /proc/PID/smaps_rollup of each; processes that are gone count nothing."""
    rss = pss = processes = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = dict(
                line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
            )
            rss += int(fields["Rss"].split()[0])
            pss += int(fields["Pss"].split()[0])
            processes += 1
    return Memory(rss / 1024, pss / 1024, processes)


def cpu_s(pids: Iterable[int]) -> float:
    """User and system seconds that these processes have used so far (proc(5), stat fields 14 and 15)."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / 100
