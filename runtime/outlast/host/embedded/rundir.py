"""The short folder of the server's sockets, where no other user can be before us.

A socket's path may have about 100 bytes, a project's path may have more, so the sockets live in
`/tmp/outlast-UID-HASH`. HASH is made from the identity (device and inode) of `HOME/postgres`: the same for
everybody who uses it, whatever their TMPDIR says, and another for a copy of the folder. The folder is used
only if it is a real folder of the server's user with mode 0700; `/tmp` is sticky, so it then stays ours.
"""

from __future__ import annotations

import hashlib
import os
import stat

_BASES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - checked by _is_safe
CONTROL = "control"


def candidates(folder_fd: int, uid: int) -> list[str]:
    """The paths where the sockets of the folder open at `folder_fd` may be, best first."""
    seen = os.fstat(folder_fd)
    name = hashlib.sha256(f"{seen.st_dev}:{seen.st_ino}".encode()).hexdigest()[:16]
    return [f"{base}/outlast-{uid}-{name}" for base in _BASES]


def existing(folder_fd: int, uid: int) -> list[str]:
    """Those candidates that exist and can't have been made by another user."""
    return [path for path in candidates(folder_fd, uid) if _is_ours(path, uid)]


def make(folder_fd: int, uid: int) -> str | None:
    """Make the folder, as `uid`, in the first place that allows it; None if none does."""
    for path in candidates(folder_fd, uid):
        if not _is_safe(os.path.dirname(path), uid):
            continue
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except OSError:
            continue
        if _is_ours(path, uid):
            return path
    return None


def _is_ours(path: str, uid: int) -> bool:
    try:
        seen = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == uid and seen.st_mode & 0o777 == 0o700


def _is_safe(base: str, uid: int) -> bool:
    """Whether entries made in `base` can be renamed or removed by nobody but their owner and root."""
    try:
        seen = os.stat(base)
    except OSError:
        return False
    shared = seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return seen.st_uid in (0, uid) and (not shared or bool(seen.st_mode & stat.S_ISVTX))
