"""Memory of processes, as Linux accounts it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Sums over some processes, in MiB. PSS divides shared pages among those who share them."""

    rss_mib: float
    pss_mib: float
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
    """Seconds that all threads of these processes have spent on a processor (schedstat, in nanoseconds)."""
    spent = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9
