"""Named points at which tests kill the process, to prove what survives. Without a test they do nothing."""

from __future__ import annotations

import os
import signal

_armed: dict[str, int] = {}


def arm(point: str) -> None:
    """Let the process be killed at `point`, written `NAME` or `NAME:N` for the N-th time it is reached."""
    name, _, count = point.partition(":")
    _armed[name] = int(count or 1)


def is_armed() -> bool:
    """Whether any point is armed."""
    return bool(_armed)


def reach(name: str) -> None:
    """Mark that the point `name` is reached. Kills this process (SIGKILL) if it was armed for now."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
