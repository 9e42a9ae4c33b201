"""How much memory this process may take: the container's limit, or the machine's."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
RESERVED_BYTES = 128 * 1024 * 1024
"""For the interpreter, the packages and the requests of callers."""

BUDGET_MIN_BYTES = 32 * 1024 * 1024
PART = 0.5
"""The part of the rest that is for values of workflows. Their code needs some, too."""

BODIES_PART = 16
BODIES_MIN_BYTES = 16 * 1024 * 1024
BODIES_MAX_BYTES = 256 * 1024 * 1024


def memory_limit_bytes(cgroup: Path = CGROUP) -> int:
    """The smallest limit that holds for this process: of its cgroup (v2 or v1), RLIMIT_AS, the machine."""
    import resource  # missing on Windows, where only tests run

    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits += filter(None, map(_number, _limit_files(cgroup)))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return min(limits)


def budget_bytes(limit_bytes: int, workers: int) -> int:
    """What the values of running workflows may take, if all workers together have `limit_bytes`."""
    return max(BUDGET_MIN_BYTES, int((limit_bytes // workers - RESERVED_BYTES) * PART))


def bodies_bytes(limit_bytes: int, workers: int) -> int:
    """What bodies of requests may take at once. Reading one makes several copies of it."""
    return min(BODIES_MAX_BYTES, max(BODIES_MIN_BYTES, limit_bytes // workers // BODIES_PART))


def _limit_files(cgroup: Path) -> list[Path]:
    """The files of this process's own group and all above it; a container sees its own group as the root."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    files = [cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = cgroup, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = cgroup / "memory", "memory.limit_in_bytes"
        else:
            continue
        below = base / path.lstrip("/")
        files += [each / name for each in (below, *below.parents) if each.is_relative_to(base)]
    return files


def _number(file: Path) -> int | None:
    """The number in the file; None for no limit."""
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
