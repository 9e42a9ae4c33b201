"""Hosts with little memory: a limit of the kernel's, and the most that a process had."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hosts import Host, until

MIB = 2**20
LIMIT_MIB = 256
CGROUPS = Path("/sys/fs/cgroup/memory")


@contextlib.contextmanager
def confining() -> Iterator[Callable[[Host], None]]:
    """Give a host a memory limit of the kernel's, where cgroups can be made here; all go with the test."""
    group = CGROUPS / f"outlast-{uuid.uuid4().hex[:12]}"
    with contextlib.suppress(OSError):
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(LIMIT_MIB * MIB))

    def put(host: Host) -> None:
        if group.exists():
            (group / "cgroup.procs").write_text(str(host.pid))

    yield put
    if group.exists():
        with contextlib.suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                os.kill(int(pid), 9)
            until(lambda: not (group / "cgroup.procs").read_text(), "the end of its processes")
            group.rmdir()


def high_water_mib(host: Host) -> int:
    """The most memory that the process ever had."""
    lines = Path(f"/proc/{host.pid}/status").read_text().splitlines()
    (line,) = [each for each in lines if each.startswith("VmHWM")]
    return int(line.split()[1]) // 1024
